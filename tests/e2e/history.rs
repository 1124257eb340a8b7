//! Every state that an object had, as a watch shows it.

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

/// The states of the objects of one API, oldest first. A state that repeats the one before is left out.
pub struct History<T> {
    states: Arc<Mutex<Vec<T>>>,
    writer: JoinHandle<()>,
}

impl<T: Clone + PartialEq + Send + 'static> History<T> {
    /// Records from now on what `state` returns of each version of an object.
    pub fn record<K>(api: Api<K>, state: impl Fn(K) -> Option<T> + Send + 'static) -> Self
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let states = Arc::<Mutex<Vec<T>>>::default();
        let into = states.clone();
        let writer = tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut found = events.filter_map(|object| std::future::ready(object.ok())).boxed();
            while let Some(object) = found.next().await {
                let Some(state) = state(object) else { continue };
                let mut states = into.lock().unwrap();
                if states.last() != Some(&state) {
                    states.push(state);
                }
            }
        });
        Self { states, writer }
    }

    /// Returns the states so far.
    pub fn states(&self) -> Vec<T> {
        self.states.lock().unwrap().clone()
    }
}

impl<T> Drop for History<T> {
    fn drop(&mut self) {
        self.writer.abort();
    }
}
