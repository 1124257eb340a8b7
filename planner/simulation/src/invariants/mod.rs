//! The invariants of the design, each in a file of its own.
//!
//! 1. [`disruption`], [`requests`]: never two servers unavailable because of the manager; no voluntary disruption that
//!    costs a quorum or the last complete replica.
//! 2. [`requests`]: no PVC is deleted before its server's peer is gone and every stream is complete on the others.
//! 3. [`crate::nats::process`]: a standalone store with streams never starts with a cluster block.
//! 4. [`crate::nats::stream`]: no acknowledged message is lost.
//! 5. [`convergence`]: the actual state reaches the desired one, or the plan names what blocks it.
//! 6. [`truth`]: no failure is hidden, and no outage is reported that clients do not see.
//! 7. [`crate::nats::process`]: no server starts beside others with a version that theirs cannot be changed to.

pub mod convergence;
pub mod disruption;
pub mod requests;
pub mod truth;

use crate::world::World;

/// Records the violations that the model of NATS has found.
pub fn collect(world: &mut World) {
    for (invariant, text) in std::mem::take(&mut world.nats.violations) {
        world.ledger.violate(invariant, world.now, text);
    }
}
