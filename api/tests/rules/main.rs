//! The rules with cluster facts. Rules that depend only on the spec are also covered by `cases.yaml`, where the CEL of
//! the CRD is evaluated as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the functions that the tests share are tests too")]

mod cluster;
mod data;
mod facts;
mod go_types;
mod memory;
mod messages;
mod metadata;
mod resources;
mod scheduling;
mod storage;
mod stored;
