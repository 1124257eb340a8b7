//! Streams and consumers of a NATS server.

use async_nats::jetstream::{self, consumer::pull, context::Context, stream};
use futures::TryStreamExt;

/// Connects to the server at `url`, and returns its JetStream context.
pub async fn connect(url: &str) -> Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// Creates a stream that contains one message.
pub async fn create_stream(context: &Context, name: &str) {
    let subject = format!("{name}.subject");
    let config = stream::Config { name: name.to_owned(), subjects: vec![subject.clone()], ..stream::Config::default() };
    context.create_stream(config).await.unwrap();
    context.publish(subject, "a message".into()).await.unwrap().await.unwrap();
}

/// Creates a durable pull consumer of a stream.
pub async fn create_consumer(context: &Context, stream: &str) {
    let config = pull::Config { durable_name: Some("consumer".to_owned()), ..pull::Config::default() };
    context.get_stream(stream).await.unwrap().create_consumer(config).await.unwrap();
}

/// Returns the number of messages in a stream, or `None` if the stream does not exist.
pub async fn message_count(context: &Context, name: &str) -> Option<u64> {
    let mut stream = context.get_stream(name).await.ok()?;
    Some(stream.info().await.ok()?.state.messages)
}

/// Deletes all streams of the account.
pub async fn delete_streams(context: &Context) {
    let names: Vec<String> = context.stream_names().try_collect().await.unwrap();
    for name in names {
        context.delete_stream(name).await.unwrap();
    }
}
