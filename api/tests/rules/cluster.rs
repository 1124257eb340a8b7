//! The number of servers, and what they log.

use nats_manager_api::{
    resource::message,
    rules::ViolationClass::{Invalid, Policy},
};

use crate::among::{Among, accepts, accepts_change, rejects, rejects_change, warns};

#[test]
fn the_number_of_servers() {
    for size in [1, 3, 5, 99] {
        accepts("an odd size", &format!("{{cluster: {{size: {size}}}}}"));
    }
    let size = "spec.cluster.size";
    rejects("an even size", "{cluster: {size: 4}}", size, "size only accepts odd numbers", Policy);
    rejects("a negative size", "{cluster: {size: -1}}", size, "should be greater than or equal to 1", Invalid);
    rejects("a size beyond reason", "{cluster: {size: 101}}", size, "should be less than or equal to 99", Invalid);
    rejects_change("3 to 1", "{}", "{cluster: {size: 1}}", size, "cannot be set to 1 if size was greater than 1");
    rejects_change("4 to 1", "{cluster: {size: 4}}", "{cluster: {size: 1}}", size, message::NOT_BACK_TO_ONE);
    accepts_change("5 to 3", "{cluster: {size: 5}}", "{}");
    accepts_change("1 to 1", "{cluster: {size: 1}}", "{cluster: {size: 1}}");
    accepts_change("0, whoever stored it, to 1", "{cluster: {size: 0}}", "{cluster: {size: 1}}");
    warns("a single server", "{cluster: {size: 1}}", size, "no redundancy");
}

#[test]
fn zones() {
    let size = "spec.cluster.size";
    Among::zones(2).warns("three servers in two zones", "{}", size, "nodes in 2 availability zones, 3 are recommended");
    Among::zones(1).warns("five servers in one zone", "{cluster: {size: 5}}", size, "3 are recommended");
    Among::zones(3).is_silent("three servers in three zones", "{}");
    Among::zones(3).is_silent("five servers in three zones", "{cluster: {size: 5}}");
    let one_server = Among::zones(1).check("{cluster: {size: 1}}").warnings;
    assert_eq!(one_server.len(), 1, "redundancy, not zones: {one_server:?}");
}

#[test]
fn logging() {
    warns("debug", "{logging: {debug: true}}", "spec.logging.debug", "logs much");
    warns("trace", "{logging: {trace: true}}", "spec.logging.trace", "logs every message");
}
