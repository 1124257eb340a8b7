use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{ClusterOptions, LocalCluster, uses_existing_cluster};
use crate::error::{Error, Result};

/// Maximum number of clusters of one test process. More would be slower on the small machines that tests run on.
const CLUSTERS: u32 = 2;

// The pool. Its statics are independent of runtimes, since each test has one of its own. Its clusters end with the
// process.
static FREE: Semaphore = Semaphore::const_new(CLUSTERS as usize);
static IDLE: Mutex<Vec<Arc<LocalCluster>>> = Mutex::new(Vec::new());

/// Exclusive use of a cluster until dropped. The next test finds the objects that this test leaves. After a failed test
/// the next one gets a new cluster.
#[derive(Debug)]
pub struct Lease {
    cluster: Arc<LocalCluster>,
    _permit: SemaphorePermit<'static>,
}

impl LocalCluster {
    /// Leases one of up to two clusters of this process, which start on first use. Waits while both are in use. An
    /// existing cluster is leased to one test at a time.
    pub async fn lease() -> Result<Lease> {
        let permits = if uses_existing_cluster() { CLUSTERS } else { 1 };
        let permit = FREE.acquire_many(permits).await.map_err(|error| Error::Cluster(error.to_string()))?;
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let cluster = match idle {
            Some(cluster) if cluster.is_up() => cluster,
            _ => Arc::new(Self::start(ClusterOptions::default()).await?),
        };
        Ok(Lease { cluster, _permit: permit })
    }
}

impl Deref for Lease {
    type Target = LocalCluster;

    fn deref(&self) -> &LocalCluster {
        &self.cluster
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !thread::panicking() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&self.cluster));
        }
    }
}
