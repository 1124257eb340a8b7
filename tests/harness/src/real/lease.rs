use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use super::RealCluster;
use crate::{cluster::ClusterOptions, error::Result};

// One cluster a process: two are too much for the small machines that tests run on. It ends with the process.
static SHARED: Mutex<Option<RealCluster>> = Mutex::new(None);

/// Exclusive use of the cluster of this process until dropped. The next test finds the objects that this test leaves.
/// After a failed test the next one gets a new cluster.
#[derive(Debug)]
pub struct RealLease(MutexGuard<'static, Option<RealCluster>>);

impl RealCluster {
    /// Leases the cluster of this process, which starts on first use. Waits while another test has it. Blocks: do not
    /// call it in a runtime.
    pub fn lease() -> Result<RealLease> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.as_ref().is_some_and(|cluster| cluster.is_up()) {
            *shared = None; // the old cluster ends before the new one starts
            *shared = Some(Self::start_blocking(&ClusterOptions::default())?);
        }
        Ok(RealLease(shared))
    }
}

impl Deref for RealLease {
    type Target = RealCluster;

    #[allow(clippy::expect_used, reason = "lease() sets it, and only drop() takes it")]
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
