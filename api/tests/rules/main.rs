//! The rules beside the cluster facts. What a spec alone decides is in `cases.yaml` too, where the
//! CEL of the CRD is asked as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the functions that the tests share are tests too")]

mod among;
mod answers;
mod cluster;
mod data;
mod memory;
mod metadata;
mod resources;
mod storage;
mod stored;
