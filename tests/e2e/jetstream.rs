//! Streams and consumers in a NATS server.

use async_nats::jetstream::{self, consumer::pull, context::Context, stream};
use futures::TryStreamExt;

/// JetStream of the server at `url`.
pub async fn connect(url: &str) -> Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// Makes a stream with one message in it.
pub async fn make_stream(context: &Context, name: &str) {
    let subject = format!("{name}.subject");
    let config = stream::Config { name: name.to_owned(), subjects: vec![subject.clone()], ..stream::Config::default() };
    context.create_stream(config).await.unwrap();
    context.publish(subject, "a message".into()).await.unwrap().await.unwrap();
}

/// Makes a durable consumer.
pub async fn make_consumer(context: &Context, stream: &str) {
    let config = pull::Config { durable_name: Some("consumer".to_owned()), ..pull::Config::default() };
    context.get_stream(stream).await.unwrap().create_consumer(config).await.unwrap();
}

/// How many messages a stream has; `None` where there is no such stream.
pub async fn messages(context: &Context, name: &str) -> Option<u64> {
    let mut stream = context.get_stream(name).await.ok()?;
    Some(stream.info().await.ok()?.state.messages)
}

/// Deletes every stream.
pub async fn clear(context: &Context) {
    let names: Vec<String> = context.stream_names().try_collect().await.unwrap();
    for name in names {
        context.delete_stream(name).await.unwrap();
    }
}
