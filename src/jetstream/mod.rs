//! What JetStream itself says: the only one who knows whether there is data, and whether it is safe
//! to go on.
//!
//! | module | question it answers |
//! |---|---|
//! | `look` | what do the servers say of themselves? (values) |
//! | `monitor` | asking them, at their monitoring port |
//! | `whole` | does anything lack that the next step would make worse? |
//! | `contents` | which streams and consumers are there? |
//! | `lead` | asking streams for another leader |

mod contents;
mod credentials;
mod holdings;
mod jsz;
mod lead;
mod look;
mod monitor;
pub mod system;
mod whole;

pub use contents::{Contents, Unreachable, ask, stream_names};
pub(crate) use credentials::mean_the_same;
pub use holdings::{DEFAULT_ACCOUNT, Holdings, Shown, holdings, is_empty, largest_streams, shown, unknown};
pub use lead::step_down;
pub use look::{Consumer, Group, Look, Peer, Server, Silence, Store, Stream};
pub use monitor::{Target, config_digests, has_write_error, look};
pub use whole::{Lack, has_quorum, lacks, meta_group, summary};
