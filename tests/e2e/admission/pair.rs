//! Two replicas behind one address.

use nats_manager_harness::eventually;

use super::{forwarder::Forwarder, reached_at};
use crate::{
    manager::{Manager, free_port},
    world::{SOON, World},
};

/// Replicas that elect a leader, and what is in front of them.
pub struct Pair {
    pub forwarder: Forwarder,
    pub replicas: Vec<Replica>,
}

pub struct Replica {
    pub manager: Manager,
    pub port: u16,
}

impl Pair {
    /// Two replicas started at once, both ready.
    pub async fn start(world: &World) -> Self {
        let mut pair = Self { forwarder: Forwarder::start().await, replicas: Vec::new() };
        for _ in 0..2 {
            pair.add(world);
        }
        pair.is_ready().await;
        pair
    }

    /// Starts another replica.
    pub fn add(&mut self, world: &World) {
        let port = free_port();
        let mut options = reached_at(port, self.forwarder.port);
        options.args.push("--leader-elect".to_owned());
        // A log of every request would be most of the work.
        options.env.insert("LOG_LEVEL".to_owned(), "info".to_owned());
        let manager = world.spawn(&options);
        self.forwarder.add(port, manager.probes_port);
        self.replicas.push(Replica { manager, port });
    }

    /// Waits until every replica gets connections.
    pub async fn is_ready(&self) {
        eventually("all replicas are ready", SOON, || async {
            let ready = self.forwarder.ready();
            self.replicas.iter().all(|replica| ready.contains(&replica.port))
        })
        .await;
    }
}
