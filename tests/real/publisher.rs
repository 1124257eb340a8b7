//! Client that publishes continuously and records the acknowledged messages.

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

/// Pause between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// Publisher of the numbers from 1 on, each once, until stopped.
pub struct Publisher {
    acknowledged: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl World<'_> {
    /// Starts to publish to the stream.
    pub fn publisher(&self) -> Publisher {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(publish(self.client.clone(), Arc::clone(&acknowledged), Arc::clone(&stop)));
        Publisher { acknowledged, stop, task }
    }

    /// Checks that the stream has every acknowledged message once and in order. It may have others, since
    /// acknowledgements can get lost.
    pub async fn verify(&self, acknowledged: &[u64]) {
        assert!(!acknowledged.is_empty(), "nothing was acknowledged");
        let mut found = self.messages().await;
        found.retain(|number| acknowledged.binary_search(number).is_ok());
        let lost: Vec<_> = acknowledged.iter().filter(|number| !found.contains(number)).collect();
        assert!(lost.is_empty(), "{} of {} messages are lost: {lost:?}", lost.len(), acknowledged.len());
        assert_eq!(found, acknowledged, "messages are out of order or duplicated");
    }
}

impl Publisher {
    /// Returns the number of acknowledged messages so far.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until ten more messages are acknowledged.
    pub async fn makes_progress(&self) {
        let before = self.count();
        eventually("messages are acknowledged", SOON, || async {
            if self.count() >= before + 10 { Seen::Done(()) } else { Seen::NotYet(format!("{} are", self.count())) }
        })
        .await;
    }

    /// Stops the publisher and returns the acknowledged messages.
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
        let result = match connected.publish(SUBJECT, number.to_string().into()).await {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        if result.is_ok() {
            acknowledged.lock().unwrap().push(number);
        } else {
            // The servers may have changed: connect to those that are ready now.
            context = None;
        }
    }
}
