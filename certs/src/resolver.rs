//! Certificate of the next handshake, which is replaced without an interruption.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::Leaf;

/// Resolver that gives each handshake the leaf that is current at its start. Established connections keep theirs. A
/// read takes no lock, so that neither handshakes nor swaps wait.
///
/// Before the first leaf, a handshake fails with a TLS alert.
#[derive(Debug, Default)]
pub struct Resolver {
    leaf: ArcSwapOption<Leaf>,
}

impl Resolver {
    /// Creates a resolver without a leaf.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `leaf` from the next handshake on. Returns the previous leaf.
    pub fn swap(&self, leaf: Leaf) -> Option<Arc<Leaf>> {
        self.leaf.swap(Some(Arc::new(leaf)))
    }

    /// Returns the leaf that is served.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        self.leaf.load_full()
    }

    /// Returns the time at which the served leaf expires.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.leaf().map(|leaf| leaf.validity().not_after)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf().map(|leaf| Arc::clone(leaf.certified_key()))
    }
}
