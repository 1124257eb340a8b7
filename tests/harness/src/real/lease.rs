use std::{
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::RealCluster;
use crate::{cluster::ClusterOptions, error::Result};

/// Maximum number of clusters of one test process. A test mostly waits, for probes and grace periods of Kubernetes, so
/// two processors can serve three of them.
pub const CLUSTERS: usize = 3;

// The pool. Its clusters end with the process.
static POOL: Mutex<Pool> = Mutex::new(Pool { leased: 0, idle: Vec::new() });
static RETURNED: Condvar = Condvar::new();

struct Pool {
    leased: usize,
    idle: Vec<RealCluster>,
}

/// Exclusive use of a cluster until dropped. The next test finds the objects that this test leaves. After a failed test
/// the next one gets a new cluster.
#[derive(Debug)]
pub struct RealLease(Option<RealCluster>);

impl RealCluster {
    /// Leases one of up to [`CLUSTERS`] clusters of this process, which start on first use. Waits while all are in use.
    /// Blocks: do not call it in a runtime.
    pub fn lease() -> Result<RealLease> {
        let mut pool =
            RETURNED.wait_while(pool(), |pool| pool.leased == CLUSTERS).unwrap_or_else(PoisonError::into_inner);
        pool.leased += 1;
        let idle = pool.idle.pop();
        drop(pool);
        let mut lease = RealLease(idle.filter(|cluster| cluster.is_up()));
        if lease.0.is_none() {
            lease.0 = Some(Self::start_blocking(&ClusterOptions::default())?);
        }
        Ok(lease)
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
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
        let used = self.0.take();
        // A cluster of a failed test ends here, before another one can start.
        let kept = used.filter(|_| !thread::panicking());
        let mut pool = pool();
        pool.idle.extend(kept);
        pool.leased -= 1;
        RETURNED.notify_one();
    }
}
