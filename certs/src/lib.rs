//! Certificates of an admission webhook, from the certificate authority (CA) to the handshake.
//!
//! All functions depend only on their arguments: the time is an argument, and stored or published data are passed as
//! bytes. The caller reads, writes and waits. Only [`files`] reads from the file system.
//!
//! | module | content |
//! |---|---|
//! | [`authority`] | creation of a CA and of the leaves that it signs |
//! | [`leaf`] | certificate chain and key that a TLS server can present |
//! | [`trust`] | bundle of CA certificates, and the verification of leaves by clients that trust it |
//! | [`trusted`] | CAs that are trusted in addition, each until its end |
//! | [`renewal`] | time at which a certificate is replaced, and time of the next check |
//! | [`store`], [`secret`] | state that all replicas share, and its encoding as a Secret |
//! | [`rotation`] | plan of the next step in the lifecycle of the CA |
//! | [`serving`] | decision of a replica to keep its leaf or to issue another |
//! | [`resolver`] | selection of the certificate of a handshake |
//! | [`client`] | verification of client certificates |
//! | [`files`] | reload of mounted certificates |

#![deny(missing_docs)]

pub mod authority;
pub mod certificate;
pub mod client;
pub mod files;
pub mod key;
pub mod leaf;
pub mod renewal;
pub mod resolver;
pub mod rotation;
pub mod secret;
pub mod serving;
pub mod store;
pub mod trust;
pub mod trusted;
pub mod validity;

pub use authority::{Authority, AuthorityError, DnsNames};
pub use certificate::{Certificate, CertificateError};
pub use client::{ClientCaError, ClientVerifier};
pub use files::{FilesError, LoadOutcome, MountedCertificate, reload};
pub use key::KeyError;
pub use leaf::{Leaf, LeafError};
pub use renewal::{Renewal, RenewalCause};
pub use resolver::Resolver;
pub use rotation::{RotationStep, StoreChange, plan};
pub use secret::{Corrupt, SecretFault};
pub use serving::{LeafReason, Serve, may_replace};
pub use store::{Announced, CaStore, Retired};
pub use trust::{TrustBundle, TrustError};
pub use trusted::{TrustedCa, TrustedCas};
pub use validity::Validity;
