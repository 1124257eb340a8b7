//! Whether the size may change, and by which steps.
//!
//! Between a single server and a cluster there is no safe way for data (`alone`); within a cluster
//! there is one, step by step (`shrink`, then `removal`). How far it is stands in annotations of the StatefulSet,
//! so that the next manager goes on.

mod alone;
mod carry_out;
mod removal;
mod shrink;

use async_nats::ServerAddr;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use nats_manager_api::{NamespacedName, Nats, Resizing};

use super::observe::Observed;
use crate::jetstream::{self, Look, Shown, Target, system};
pub(super) use alone::needs_empty_store;
use shrink::{Picture, Step};

/// What to do about the size now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scaling {
    /// The number of servers to configure.
    pub size: u32,
    /// How far the change is: to be noted with the size.
    pub resizing: Resizing,
    /// Why it is not what is wanted, and what to do.
    pub held: Option<String>,
    /// What goes on, or is waited for.
    pub waiting: Option<String>,
    /// When the wait is over, if that is known.
    pub until: Option<Timestamp>,
}

/// Who is asked, and may be told.
pub struct Tools<'a> {
    /// For pods and claims.
    pub client: &'a Client,
    /// Where clients connect.
    pub address: &'a ServerAddr,
    /// Requests with the system account; none without its Secret.
    pub system: Option<&'a system::Credentials>,
    /// What the servers say.
    pub look: Sight<'a>,
    /// Which streams they show, of all accounts.
    pub shown: &'a Shown,
    /// Where they can be looked at anew.
    pub targets: &'a [Target],
}

/// What is known of JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<'a> {
    /// It could never be looked at: from outside the cluster, or through a network policy.
    Never,
    /// It cannot be looked at now, and why.
    Not(&'a str),
    /// What the servers say, and what they lack to be whole.
    Seen(&'a Look, Option<&'a str>),
}

/// Decides on the size of `nats`, and does what has to be done beside the objects: asks JetStream to
/// move copies and to forget servers, deletes the claims of those that are gone.
pub async fn decide(
    tools: &Tools<'_>,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    wanted: u32,
) -> kube::Result<Scaling> {
    let free = Scaling { size: wanted, ..Scaling::default() };
    let Some(known) = &observed.surroundings.deployed else { return Ok(free) };
    let Some(deployed) = alone::deployed_size(observed) else { return Ok(free) };
    let now = Timestamp::now();
    let before = Scaling {
        size: deployed,
        resizing: Resizing { removed_at: still_barred(known.resizing.removed_at, now), ..known.resizing },
        ..Scaling::default()
    };
    let unseen_shrink = wanted < deployed && tools.look == Sight::Never;
    if needs_empty_store(deployed, wanted) || unseen_shrink {
        let held = alone::obstacle(tools, nats, id, observed, (deployed, wanted)).await?;
        return Ok(if held.is_some() { Scaling { held, ..before } } else { free });
    }
    let pods = &observed.pods;
    let picture = Picture { id, deployed, wanted, resizing: before.resizing, now, pods, look: tools.look };
    let step = match shrink::next(picture) {
        step @ (Step::Stop { .. } | Step::Remove(_)) => confirm(tools, picture, step).await,
        step => step,
    };
    let scaling = carry_out::carry_out(tools, id, before, step).await?;
    let late = match tools.look {
        Sight::Seen(look, _) => alone::late_streams(look, id, observed),
        Sight::Never | Sight::Not(_) => None,
    };
    Ok(Scaling { held: scaling.held.or(late), ..scaling })
}

/// Looks again before a step that takes something away. The names of streams are asked for first: a look
/// that is older would not show one that was just made.
async fn confirm(tools: &Tools<'_>, picture: Picture<'_>, step: Step) -> Step {
    let streams = match jetstream::stream_names(tools.address).await {
        Ok(streams) => streams,
        Err(cause) => return shrink::wait(format!("whether streams would leave with servers cannot be told: {cause}")),
    };
    let look = jetstream::look(tools.targets).await;
    match step {
        Step::Stop { to } => shrink::confirm(picture, to, &streams, &look),
        Step::Remove(leaving) => removal::confirm(picture, leaving, &streams, &look),
        step => step,
    }
}

/// A removal that matters no more is forgotten.
fn still_barred(removed_at: Option<i64>, now: Timestamp) -> Option<i64> {
    removed_at.filter(|at| shrink::rejoin_at(*at).is_some_and(|until| until > now))
}

impl<'a> Sight<'a> {
    fn cause(self) -> &'a str {
        match self {
            Self::Never => "JetStream's servers could never be asked",
            Self::Not(cause) => cause,
            Self::Seen(..) => "",
        }
    }
}
