//! The system clock in the planner's unit.

use k8s_openapi::jiff::Timestamp;
use nats_manager_planner::Time;

/// Returns the present time in milliseconds since the Unix epoch.
pub(crate) fn now() -> Time {
    Time::from_millis(Timestamp::now().as_millisecond())
}
