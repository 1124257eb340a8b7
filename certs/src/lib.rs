//! The certificates of an admission webhook, from the authority to the handshake.
//!
//! Functions of values: the clock is an argument, and what is stored, published or mounted comes
//! in as bytes. Whoever calls does the reading, writing and waiting.
//!
//! | module | question it answers |
//! |---|---|
//! | [`authority`] | how are a CA and the leaves it signs made? |
//! | [`leaf`] | is this certificate with this key something a TLS server can present? |
//! | [`trust`] | would a client with this bundle accept that leaf? |
//! | [`renewal`] | when is a certificate to be replaced, and when to look again? |
//! | [`store`], [`secret`] | what do all replicas share, and how is it laid out in a Secret? |
//! | [`rotation`] | what is the next step in the life of the CA? |
//! | [`serving`] | does this replica need another leaf? |
//! | [`resolver`] | which certificate does this handshake get? |
//! | [`files`] | what do certificates mounted by others say now? |

#![deny(missing_docs)]

pub mod authority;
pub mod certificate;
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
pub mod validity;

pub use authority::{Authority, AuthorityError, DnsNames};
pub use certificate::{Certificate, CertificateError};
pub use files::{FilesError, LoadOutcome, MountedCertificate, reload};
pub use key::KeyError;
pub use leaf::{Leaf, LeafError};
pub use renewal::{Renewal, RenewalCause};
pub use resolver::Resolver;
pub use rotation::{RotationStep, StoreChange, plan};
pub use secret::{Corrupt, SecretFault};
pub use serving::{LeafReason, Serve};
pub use store::{Announced, CaStore, Retired};
pub use trust::{TrustBundle, TrustError};
pub use validity::Validity;
