//! Start of the manager: which requests it sends until it is ready, on an apiserver stand-in that answers from memory.

use std::collections::BTreeSet;

use nats_manager_harness::{
    ManagerProcess, MemoryApiserver, free_address,
    memory_apiserver::{ReceivedRequest, ServedApiserver},
};
use tempfile::TempDir;

use crate::manager::ManagerOptions;

/// Watches of caches: 13 for the controller, 5 for the webhook.
const WATCHES: usize = 18;
/// Requests of a start with everything in place: a list and a watch for each of them. The Lease is read, written, listed
/// and watched.
const REQUESTS: usize = 2 * WATCHES + 4;

/// Apiserver stand-in with everything that an earlier manager has left, and a folder for logs.
struct Started {
    apiserver: MemoryApiserver,
    served: ServedApiserver,
    folder: TempDir,
    options: ManagerOptions,
}

impl Started {
    /// Starts a manager, and stops it when it has created the CA and the webhook configurations.
    async fn once() -> Self {
        let apiserver = MemoryApiserver::with_installation();
        let folder = tempfile::tempdir().unwrap();
        let served = apiserver.serve(folder.path()).await.unwrap();
        let address = free_address().unwrap();
        let args = [
            "--leader-elect".to_owned(),
            format!("--webhook-bind-address={address}"),
            format!("--webhook-url=https://{address}"),
        ];
        let options = ManagerOptions { args: args.to_vec(), ..ManagerOptions::default() };
        let started = Self { apiserver, served, folder, options };
        started.manager().ready().await.terminate().await.unwrap();
        started.apiserver.clear_received();
        started
    }

    fn manager(&self) -> ManagerProcess {
        self.options.spawn(&self.served.kubeconfig, self.folder.path())
    }
}

fn describe(request: &ReceivedRequest) -> String {
    format!("{} {} {}", request.verb, request.resource, request.selected).trim_end().to_owned()
}

#[tokio::test]
async fn start_sends_all_lists_before_it_waits_for_an_answer() {
    let started = Started::once().await;
    // The lists of all caches, and the list and the read of the Lease.
    let at_once = WATCHES + 2;
    started.apiserver.hold_until(at_once);
    started.manager().ready().await.terminate().await.unwrap();
    let received: Vec<String> = started.apiserver.received().iter().map(describe).collect();
    let (first, _) = received.split_at(at_once);
    let (lists, others): (Vec<&String>, _) = first.iter().partition(|request| request.starts_with("list "));
    assert_eq!((lists.len(), others), (WATCHES + 1, vec![&"get leases nats-manager".to_owned()]), "{received:#?}");
}

#[tokio::test]
async fn start_opens_one_connection() {
    let started = Started::once().await;
    started.manager().ready().await.terminate().await.unwrap();
    assert_eq!(started.apiserver.accepted().len(), 1);
}

#[tokio::test]
async fn start_sends_no_request_twice() {
    let started = Started::once().await;
    let manager = started.manager().ready().await;
    let received: Vec<String> = started.apiserver.received().iter().map(describe).collect();
    let distinct: BTreeSet<&String> = received.iter().collect();
    assert_eq!(distinct.len(), received.len(), "{received:#?}");
    for request in received.iter().filter_map(|request| request.strip_prefix("watch ")) {
        let position = |verb: &str| received.iter().position(|received| *received == format!("{verb} {request}"));
        assert!(position("list") < position("watch"), "{request}: {received:#?}");
    }
    assert!(received.len() <= REQUESTS, "{} requests: {received:#?}", received.len());
    manager.terminate().await.unwrap();
}
