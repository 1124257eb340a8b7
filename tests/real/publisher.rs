//! Somebody who publishes all the time, and remembers what he was promised.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::context::Context;
use kube::Client;
use nats_manager_harness::{Seen, eventually};
use tokio::task::JoinHandle;

use crate::{
    streams::{SUBJECT, connect},
    world::{SOON, World},
};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// Publishes the numbers from 1 on, each once, until it is stopped.
pub struct Publisher {
    acknowledged: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl World<'_> {
    /// Begins to publish to the stream.
    pub fn publisher(&self) -> Publisher {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(publish(self.client.clone(), Arc::clone(&acknowledged), Arc::clone(&stop)));
        Publisher { acknowledged, stop, task }
    }

    /// Fails unless every message that was acknowledged is in the stream, once and in order. Others may be there: an
    /// acknowledgement can get lost on its way.
    pub async fn verify(&self, acknowledged: &[u64]) {
        assert!(!acknowledged.is_empty(), "nothing was acknowledged");
        let mut found = self.messages().await;
        found.retain(|number| acknowledged.binary_search(number).is_ok());
        let lost: Vec<_> = acknowledged.iter().filter(|number| !found.contains(number)).collect();
        assert!(lost.is_empty(), "{} of {} messages are lost: {lost:?}", lost.len(), acknowledged.len());
        assert_eq!(found, acknowledged, "messages are not in order, or there twice");
    }
}

impl Publisher {
    /// How many messages were acknowledged so far.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until more messages are acknowledged than there are now.
    pub async fn goes_on(&self) {
        let before = self.count();
        eventually("messages are acknowledged", SOON, || async {
            if self.count() >= before + 10 { Seen::Done(()) } else { Seen::NotYet(format!("{} are", self.count())) }
        })
        .await;
    }

    /// Ends it; the messages that were acknowledged.
    pub async fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

async fn publish(client: Client, acknowledged: Arc<Mutex<Vec<u64>>>, stop: Arc<AtomicBool>) {
    let mut context: Option<Context> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
        let Some(connected) = &context else {
            if let Ok(Seen::Done(new)) = connect(&client).await {
                context = Some(new);
            }
            continue;
        };
        number += 1;
        let answer = match connected.publish(SUBJECT, number.to_string().into()).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        if answer.is_ok() {
            acknowledged.lock().unwrap().push(number);
        } else {
            // Its server may be gone for good, and others there.
            context = None;
        }
    }
}
