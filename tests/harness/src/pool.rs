//! Pool of clusters: a test leases a cluster, and the next test finds it running.

use std::{
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::error::Result;

/// Clusters of one test process. They end with the process.
pub(crate) struct Pool<C> {
    contents: Mutex<Contents<C>>,
    returned: Condvar,
}

struct Contents<C> {
    /// Number of clusters that may still be leased.
    free: usize,
    idle: Vec<C>,
}

/// Exclusive use of a cluster until dropped. The next test finds the objects that this test leaves. After a failed test
/// the next one gets a new cluster.
pub struct Lease<C: 'static> {
    cluster: Option<C>,
    pool: &'static Pool<C>,
    share: usize,
}

impl<C> Pool<C> {
    /// Returns a pool of up to `most` clusters.
    pub(crate) const fn new(most: usize) -> Self {
        Self { contents: Mutex::new(Contents { free: most, idle: Vec::new() }), returned: Condvar::new() }
    }

    /// Leases an idle cluster that `is_up`, or a new one. The lease counts as `share` clusters, at most those of the
    /// pool. Blocks while fewer are free, and while a cluster starts.
    pub(crate) fn lease(
        &'static self,
        share: usize,
        is_up: impl FnOnce(&C) -> bool,
        start: impl FnOnce() -> Result<C>,
    ) -> Result<Lease<C>> {
        let enough = self.returned.wait_while(self.contents(), |contents| contents.free < share);
        let mut contents = enough.unwrap_or_else(PoisonError::into_inner);
        contents.free -= share;
        let idle = contents.idle.pop();
        drop(contents);
        let mut lease = Lease { cluster: idle.filter(is_up), pool: self, share };
        if lease.cluster.is_none() {
            lease.cluster = Some(start()?);
        }
        Ok(lease)
    }

    fn contents(&self) -> MutexGuard<'_, Contents<C>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Deref for Lease<C> {
    type Target = C;

    #[allow(clippy::expect_used, reason = "lease() sets it, and only drop() takes it")]
    fn deref(&self) -> &C {
        self.cluster.as_ref().expect("there is a cluster")
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        let used = self.cluster.take();
        // A cluster of a failed test ends here, before another one can start.
        let kept = used.filter(|_| !thread::panicking());
        let mut contents = self.pool.contents();
        contents.idle.extend(kept);
        contents.free += self.share;
        drop(contents);
        self.pool.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicU8, Ordering},
    };

    use super::*;
    use crate::error::Error;

    /// Leases a cluster, which is a number here: that of its start.
    fn lease(pool: &'static Pool<u8>, share: usize, starts: &AtomicU8) -> Lease<u8> {
        pool.lease(share, |number| *number != 0, || Ok(starts.fetch_add(1, Ordering::Relaxed))).unwrap()
    }

    #[test]
    fn clusters_are_leased_again_unless_they_are_down_or_their_test_failed() {
        static POOL: Pool<u8> = Pool::new(2);
        let starts = AtomicU8::new(0);
        assert_eq!(*lease(&POOL, 1, &starts), 0);
        assert_eq!(*lease(&POOL, 1, &starts), 1, "number 0 counts as down");
        let (first, second) = (lease(&POOL, 1, &starts), lease(&POOL, 1, &starts));
        assert_eq!((*first, *second), (1, 2));
        drop(second);
        let failed = catch_unwind(AssertUnwindSafe(move || {
            let _first = first;
            panic!("a failed test");
        }));
        assert!(failed.is_err());
        assert_eq!(*lease(&POOL, 2, &starts), 2, "number 1 has ended");
        assert!(POOL.lease(2, |_| false, || Err(Error::NoKubeconfig)).is_err());
        assert_eq!(*lease(&POOL, 2, &starts), 3, "a failed start is not counted");
    }

    #[test]
    fn lease_waits_until_enough_clusters_are_free() {
        static POOL: Pool<u8> = Pool::new(2);
        let starts = AtomicU8::new(1);
        let (first, second) = (lease(&POOL, 1, &starts), lease(&POOL, 1, &starts));
        thread::scope(|scope| {
            let whole = scope.spawn(|| *lease(&POOL, 2, &starts));
            drop(first);
            thread::yield_now();
            assert!(!whole.is_finished(), "one of two is free");
            drop(second);
            assert_eq!(whole.join().unwrap(), 2);
        });
    }
}
