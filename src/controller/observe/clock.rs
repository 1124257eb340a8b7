//! The clock, at the edge of the planner.

use k8s_openapi::jiff::Timestamp;
use nats_manager_planner::Time;

/// Returns the present time, as the planner counts it.
pub(crate) fn now() -> Time {
    Time::from_millis(Timestamp::now().as_millisecond())
}
