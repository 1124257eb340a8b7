//! Two replicas behind one address.

use nats_manager_harness::eventually;

use super::{forwarder::Forwarder, webhook_options_at};
use crate::{
    manager::{ManagerProcess, free_address},
    world::{TIMEOUT, World},
};

/// Replicas with leader election behind a forwarder.
pub struct Pair {
    pub forwarder: Forwarder,
    pub replicas: Vec<Replica>,
}

pub struct Replica {
    pub manager: ManagerProcess,
    pub port: u16,
}

impl Pair {
    /// Starts two replicas at once, and waits until both are ready.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, &[&[], &[]]).await
    }

    /// Starts a replica with each of these arguments at once, and waits until all are ready.
    pub async fn start_with(world: &World, replicas: &[&[String]]) -> Self {
        let mut pair = Self { forwarder: Forwarder::start().await, replicas: Vec::new() };
        for args in replicas {
            pair.add_with(world, args);
        }
        pair.is_ready().await;
        pair
    }

    /// Starts another replica.
    pub fn add(&mut self, world: &World) {
        self.add_with(world, &[]);
    }

    /// Starts another replica with more arguments.
    pub fn add_with(&mut self, world: &World, args: &[String]) {
        let port = free_address().unwrap().port();
        let mut options = webhook_options_at(port, self.forwarder.port);
        options.args.push("--leader-elect".to_owned());
        options.args.extend_from_slice(args);
        // Debug messages about every request would take most of the time.
        options.env.insert("LOG_LEVEL".to_owned(), "info".to_owned());
        let manager = world.spawn(&options);
        self.forwarder.add(port, manager.probes);
        self.replicas.push(Replica { manager, port });
    }

    /// Replaces both replicas by replicas with these arguments as a Deployment does: the next one ends when its
    /// successor is ready.
    pub async fn roll(&mut self, world: &World, args: &[String]) {
        for _ in 0..2 {
            let old = self.replicas.remove(0);
            self.add_with(world, args);
            self.is_ready().await;
            assert_eq!(old.manager.terminate().await.unwrap(), Some(0));
        }
    }

    /// Waits until every replica gets connections.
    pub async fn is_ready(&self) {
        eventually("all replicas are ready", TIMEOUT, || async {
            let ready = self.forwarder.ready();
            self.replicas.iter().all(|replica| ready.contains(&replica.port))
        })
        .await;
    }
}
