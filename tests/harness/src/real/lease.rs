use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use super::RealCluster;
use crate::{cluster::ClusterOptions, error::Result};

// One for the process: two would be too much for the small machines that tests run on. It ends with the process.
static SHARED: Mutex<Option<RealCluster>> = Mutex::new(None);

/// The cluster of this process, for one test until it is dropped. What the test leaves in it is there for the next one,
/// but after a test that failed the next one gets a new cluster.
#[derive(Debug)]
pub struct RealLease(MutexGuard<'static, Option<RealCluster>>);

impl RealCluster {
    /// Hands out the cluster of this process, started when it is first needed; waits while another test has it. Not for
    /// use in a runtime, as it blocks.
    pub fn lease() -> Result<RealLease> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.as_ref().is_some_and(|cluster| cluster.is_up()) {
            *shared = None; // the old one is gone before the new one comes
            *shared = Some(Self::start_blocking(&ClusterOptions::default())?);
        }
        Ok(RealLease(shared))
    }
}

impl Deref for RealLease {
    type Target = RealCluster;

    #[allow(clippy::expect_used, reason = "lease() has put it there, and nobody else takes it away")]
    fn deref(&self) -> &RealCluster {
        self.0.as_ref().expect("there is a cluster")
    }
}

impl Drop for RealLease {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0 = None;
        }
    }
}
