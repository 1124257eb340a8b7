//! Number of servers, and their logging.

use nats_manager_api::{
    resource::message,
    rules::ViolationClass::{Invalid, Policy},
};

use crate::facts::{Facts, accepts, accepts_change, rejects, rejects_change, warns};

#[test]
fn cluster_size_is_odd_and_in_range() {
    for size in [1, 3, 5, 99] {
        accepts("an odd size", &format!("{{cluster: {{size: {size}}}}}"));
    }
    let size = "spec.cluster.size";
    rejects("an even size", "{cluster: {size: 4}}", size, "size only accepts odd numbers", Policy);
    rejects("a negative size", "{cluster: {size: -1}}", size, "should be greater than or equal to 1", Invalid);
    rejects("a size above the maximum", "{cluster: {size: 101}}", size, "should be less than or equal to 99", Invalid);
    rejects_change("3 to 1", "{}", "{cluster: {size: 1}}", size, "cannot be set to 1 if size was greater than 1");
    rejects_change("4 to 1", "{cluster: {size: 4}}", "{cluster: {size: 1}}", size, message::NOT_BACK_TO_ONE);
    accepts_change("5 to 3", "{cluster: {size: 5}}", "{}");
    accepts_change("1 to 1", "{cluster: {size: 1}}", "{cluster: {size: 1}}");
    accepts_change("0, stored before the rule, to 1", "{cluster: {size: 0}}", "{cluster: {size: 1}}");
    warns("a single server", "{cluster: {size: 1}}", size, "no redundancy");
}

#[test]
fn too_few_zones_cause_warning() {
    let size = "spec.cluster.size";
    Facts::zones(2).warns("three servers in two zones", "{}", size, "nodes in 2 availability zones, 3 are recommended");
    Facts::zones(1).warns("five servers in one zone", "{cluster: {size: 5}}", size, "3 are recommended");
    Facts::zones(3).reports_nothing("three servers in three zones", "{}");
    Facts::zones(3).reports_nothing("five servers in three zones", "{cluster: {size: 5}}");
    let one_server = Facts::zones(1).check("{cluster: {size: 1}}").warnings;
    assert_eq!(one_server.len(), 1, "redundancy, not zones: {one_server:?}");
}

#[test]
fn debug_and_trace_logging_cause_warning() {
    warns("debug", "{logging: {debug: true}}", "spec.logging.debug", "produces many log lines");
    warns("trace", "{logging: {trace: true}}", "spec.logging.trace", "logs every message");
}
