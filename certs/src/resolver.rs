//! The certificate of the next handshake, exchanged without stopping anything.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::Leaf;

/// Gives each handshake the leaf that is current when it begins. Connections that stand keep
/// theirs. Reading takes no lock, so neither handshakes nor swaps wait.
///
/// Before the first leaf a handshake fails with a TLS alert.
#[derive(Debug, Default)]
pub struct Resolver {
    leaf: ArcSwapOption<Leaf>,
}

impl Resolver {
    /// A resolver without a leaf.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `leaf` from the next handshake on; gives back the one served until now.
    pub fn swap(&self, leaf: Leaf) -> Option<Arc<Leaf>> {
        self.leaf.swap(Some(Arc::new(leaf)))
    }

    /// The leaf that is served.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        self.leaf.load_full()
    }

    /// When the leaf that is served expires.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.leaf().map(|leaf| leaf.validity().not_after)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf().map(|leaf| Arc::clone(leaf.certified_key()))
    }
}
