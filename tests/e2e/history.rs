//! History of an object's states, recorded by a watch.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// States of the objects of one API, oldest first, without consecutive duplicates.
pub struct History<T> {
    states: Arc<Mutex<Vec<T>>>,
    writer: JoinHandle<()>,
}

impl<T: Clone + PartialEq + Send + 'static> History<T> {
    /// Starts a watch, and records `state` of each version of an object that it reports.
    pub fn record<K>(api: Api<K>, state: impl Fn(K) -> Option<T> + Send + 'static) -> Self
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let states = Arc::<Mutex<Vec<T>>>::default();
        let recorded = states.clone();
        let writer = tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut found = events.filter_map(|object| std::future::ready(object.ok())).boxed();
            while let Some(object) = found.next().await {
                let Some(state) = state(object) else { continue };
                let mut states = recorded.lock().unwrap();
                if states.last() != Some(&state) {
                    states.push(state);
                }
            }
        });
        Self { states, writer }
    }

    /// Returns the states recorded so far.
    pub fn states(&self) -> Vec<T> {
        self.states.lock().unwrap().clone()
    }
}

impl<T> Drop for History<T> {
    fn drop(&mut self) {
        self.writer.abort();
    }
}
