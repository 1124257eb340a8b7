//! Whether the data of a resource may go: asks JetStream, and decides as a function of values.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use nats_manager_api::{ConditionType, FileStore, NamespacedName, Nats, naming};

use super::{
    build::SystemAccount,
    claims,
    context::{Context, ReconcileError},
    observe::{Observed, server_pod},
    sight::Sight,
};
use crate::jetstream::{self, Contents, Shown, Unreachable};

/// What is to happen with the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Delete it.
    Delete,
    /// Keep it; the deletion waits.
    Blocked(String),
}

/// How far a deletion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is nothing to ask: nothing can be lost, the user forces it, or the servers are gone.
    Settled,
    /// JetStream has to say that nothing is lost.
    Open,
    /// An earlier pass decided and was cut short, and servers may still run: what they say counts, and
    /// whoever is silent may be gone already.
    Begun,
}

/// The contract's words.
const CUSTOMER_STREAM: &str = "Cannot delete NATS cluster as customer stream exists";
const CONSUMER: &str = "Cannot delete NATS cluster as stream consumer exists";

/// Decides whether the data may go.
pub(super) async fn decide(
    context: &Context,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
) -> Result<Verdict, ReconcileError> {
    let stage = stage(&context.client, nats, id, observed).await.map_err(ReconcileError::Observe)?;
    if stage == Stage::Settled {
        return Ok(Verdict::Delete);
    }
    // The default account is asked through the meta leader, who knows of streams on servers that are away
    // too; a look shows all other accounts. It comes second: who lets clients in has restored its streams.
    let asked = jetstream::ask(&context.jetstream_address(id)?).await;
    let sight = Sight::fresh(&context.looker, nats, id, observed).await;
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    Ok(judge(stage, nats, &asked, &sight.shown(account.as_ref())))
}

/// Whether no NATS container of the resource ever started. Recorded from the first sight on; a
/// record that is missing counts as a start. Record and cache may be out of date when nobody
/// watched for a while, so every pod must be there to confirm it, as the apiserver has it now.
pub(super) async fn never_started(
    client: &Client,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
) -> kube::Result<bool> {
    let recorded = nats.status.as_ref().and_then(|status| status.servers_started);
    if observed.servers_started(recorded) != Some(false) {
        return Ok(false);
    }
    let servers = observed.surroundings.deployed.as_ref().map_or(0, |deployed| deployed.size as usize);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    let pods = api.list(&ListParams::default().labels(&id.label_query())).await?.items;
    Ok(pods.len() >= servers && !pods.iter().any(|pod| server_pod(pod).started))
}

async fn stage(client: &Client, nats: &Nats, id: &NamespacedName, observed: &Observed) -> kube::Result<Stage> {
    let has_servers = observed.live.stateful_set.is_some();
    Ok(match (was_decided(nats), has_servers) {
        _ if is_forced(nats) => Stage::Settled,
        (true, false) => Stage::Settled,
        _ if nothing_to_lose(client, nats, id, observed).await? => Stage::Settled,
        (true, true) => Stage::Begun,
        (false, _) => Stage::Open,
    })
}

async fn nothing_to_lose(client: &Client, nats: &Nats, id: &NamespacedName, observed: &Observed) -> kube::Result<bool> {
    let memory_only =
        observed.surroundings.deployed.as_ref().is_some_and(|deployed| deployed.file_store == FileStore::MemoryOnly);
    let no_claims = !memory_only && claims::list(client, id).await?.is_empty();
    Ok(no_claims || never_started(client, nats, id, observed).await?)
}

fn judge(stage: Stage, nats: &Nats, asked: &Result<Contents, Unreachable>, shown: &Shown) -> Verdict {
    if stage == Stage::Settled {
        return Verdict::Delete;
    }
    let is_stream = shown.holdings.customer_stream || asked.as_ref().is_ok_and(|contents| contents.customer_stream);
    if is_stream {
        return Verdict::Blocked(CUSTOMER_STREAM.to_owned());
    }
    if asked.as_ref().is_ok_and(|contents| contents.consumer) {
        return Verdict::Blocked(CONSUMER.to_owned());
    }
    let unknown = match (asked, &shown.gap) {
        (Err(cause), _) => format!("JetStream cannot be asked for streams: {cause}"),
        (Ok(_), Some(gap)) => format!("streams of other accounts than the default one cannot be ruled out: {gap}"),
        (Ok(_), None) => return Verdict::Delete,
    };
    if stage == Stage::Begun { Verdict::Delete } else { Verdict::Blocked(waits_for(nats, &unknown)) }
}

fn waits_for(nats: &Nats, unknown: &str) -> String {
    format!(
        "Cannot delete NATS cluster as {unknown}. Trying again. To delete it with all its data: kubectl annotate nats {} -n {} {}=true",
        nats.name_any(),
        nats.namespace().unwrap_or_default(),
        naming::FORCE_DELETION,
    )
}

fn is_forced(nats: &Nats) -> bool {
    nats.annotations().get(naming::FORCE_DELETION).is_some_and(|value| value == "true")
}

fn was_decided(nats: &Nats) -> bool {
    nats.status.as_ref().is_some_and(|status| status.holds(ConditionType::Deleted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::Holdings;

    fn nats() -> Nats {
        let mut nats = Nats::new("eventing-nats", nats_manager_api::NatsSpec::default());
        nats.metadata.namespace = Some("kyma-system".to_owned());
        nats
    }

    fn told(customer_stream: bool, consumer: bool) -> Contents {
        Contents { customer_stream, consumer, ..Contents::default() }
    }

    fn shown(customer_stream: bool, gap: Option<&str>) -> Shown {
        Shown { holdings: Holdings { customer_stream, ..Holdings::default() }, gap: gap.map(str::to_owned) }
    }

    fn blocked(why: &str) -> Verdict {
        Verdict::Blocked(why.to_owned())
    }

    #[test]
    fn only_an_unused_eventing_stream_may_go() {
        let gap = Some("n-1 does not answer");
        for (expected, asked, shown) in [
            (Verdict::Delete, Ok(told(false, false)), shown(false, None)),
            (blocked(CUSTOMER_STREAM), Ok(told(true, false)), shown(false, None)),
            (blocked(CUSTOMER_STREAM), Ok(told(true, true)), shown(false, None)),
            (blocked(CONSUMER), Ok(told(false, true)), shown(false, None)),
            (blocked(CUSTOMER_STREAM), Ok(told(false, false)), shown(true, None)),
            (blocked(CUSTOMER_STREAM), Ok(told(false, false)), shown(true, gap)),
            (blocked(CUSTOMER_STREAM), Err(Unreachable::Timeout), shown(true, gap)),
            (blocked(CONSUMER), Ok(told(false, true)), shown(false, gap)),
        ] {
            for stage in [Stage::Open, Stage::Begun] {
                assert_eq!(judge(stage, &nats(), &asked, &shown), expected, "{stage:?} {asked:?} {shown:?}");
            }
            assert_eq!(judge(Stage::Settled, &nats(), &asked, &shown), Verdict::Delete);
        }
    }

    #[test]
    fn what_cannot_be_told_holds_a_deletion_that_has_not_begun() {
        let gap = shown(false, Some("n-1 does not answer"));
        for (why, asked, shown) in [
            (
                "JetStream cannot be asked for streams: JetStream did not answer within 10 s",
                Err(Unreachable::Timeout),
                &gap,
            ),
            (
                "streams of other accounts than the default one cannot be ruled out: n-1 does not answer",
                Ok(told(false, false)),
                &gap,
            ),
        ] {
            let expected = format!(
                "Cannot delete NATS cluster as {why}. Trying again. To delete it with all its data: kubectl annotate nats eventing-nats -n kyma-system nats.operator.kyma-project.io/force-deletion=true"
            );
            assert_eq!(judge(Stage::Open, &nats(), &asked, shown), Verdict::Blocked(expected));
            assert_eq!(judge(Stage::Begun, &nats(), &asked, shown), Verdict::Delete, "it may be half gone");
        }
    }
}
