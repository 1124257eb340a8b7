//! More servers of the same kind.

use std::time::Duration;

use super::{Operation, OperationKind, OperationStep, PlanInput, existing::Servers};
use crate::{snapshot::PeerId, time::Time};

/// A removed name cannot rejoin the meta group for so long; 302 s were measured with NATS 2.14.2.
pub(super) const REJOIN: Duration = Duration::from_secs(310);

/// What to do about missing servers.
pub(super) enum ScaleUp {
    /// Have so many servers.
    To(u32, Operation),
    /// Names were removed a moment ago: wait until then.
    Wait(Time, Operation),
}

/// Returns the number of servers that there may be now.
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
