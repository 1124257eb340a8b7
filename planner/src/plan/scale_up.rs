//! Scale-up: more servers of the same mode.

use std::time::Duration;

use super::{Operation, OperationKind, OperationStep, PlanInput, existing::Servers};
use crate::{snapshot::PeerId, time::Time};

/// Time in which a removed name cannot rejoin the meta group; 302 s were measured with NATS 2.14.2.
pub(super) const REJOIN: Duration = Duration::from_secs(310);

/// Decision about missing servers.
pub(super) enum ScaleUp {
    /// Create servers up to this number.
    To(u32, Operation),
    /// Wait until this time: names were removed a moment ago.
    Wait(Time, Operation),
}

/// Returns the number of servers that may exist now, or the time to wait for.
pub(super) fn scale_up(input: &PlanInput<'_>, servers: &Servers<'_>) -> ScaleUp {
    let desired = input.desired.replicas;
    let operation = Operation::new(OperationKind::ScaleUp, OperationStep::Create);
    let barred = (servers.replicas..desired).filter_map(|ordinal| {
        let name = input.actual.server(ordinal);
        let until = *input.history.removed.get(&PeerId::of(&name))? + REJOIN;
        (until > input.now).then_some((until, name))
    });
    match barred.max() {
        Some((until, name)) => ScaleUp::Wait(
            until,
            Operation { step: OperationStep::Wait, ..operation }
                .at(&name)
                .waiting_for(format!("{name} was removed and can rejoin the meta group after five minutes")),
        ),
        None => ScaleUp::To(desired, operation),
    }
}
