//! Memory store.

use nats_manager_api::rules::ViolationClass::{Invalid, Policy};

use crate::facts::{Facts, MEMORY_SIZE, accepts, rejects, warns};

#[test]
fn memory_store_fits_memory_limit() {
    let memory = |storage: &str, limit: &str| {
        format!("{{jetStream: {{memStorage: {storage}}}, resources: {{limits: {{memory: {limit}}}}}}}")
    };
    let at = "spec.jetStream.memStorage";
    rejects("0", &memory("{size: 0}", "1Gi"), at, "can only be enabled if size is not 0", Policy);
    for off in ["{size: '0'}", "{size: 0Gi}", "{enabled: true, size: '0.0'}"] {
        warns(off, &memory(off, "1Gi"), MEMORY_SIZE, "0 turns the memory store off: streams in memory fail");
    }
    accepts("off and empty", "{jetStream: {memStorage: {enabled: false, size: '0'}}}");
    accepts("off, however large", "{jetStream: {memStorage: {enabled: false, size: 99Gi}}}");
    let off = "{jetStream: {memStorage: {enabled: false, size: '-1'}}}";
    rejects("off, of negative size", off, MEMORY_SIZE, "must not be negative", Policy);
    rejects("negative", &memory("{size: '-1'}", "1Gi"), MEMORY_SIZE, "must not be negative", Invalid);
    rejects("unreadable", &memory("{size: much}", "1Gi"), MEMORY_SIZE, "must be a quantity", Invalid);
    rejects("a fraction", &memory("{size: '0.1Gi'}", "1Gi"), MEMORY_SIZE, "must be a whole number of bytes", Policy);
    let too_large = "must not be more than the memory limit 512Mi in spec.resources.limits.memory";
    rejects("the default above a small limit", &memory("{}", "512Mi"), MEMORY_SIZE, too_large, Policy);
    accepts("as large as the limit", &memory("{size: 2Gi}", "2Gi"));
    accepts("as a number", &memory("{size: 1048576}", "33554432"));
    warns("above 80 %", &memory("{size: 820Mi}", "1Gi"), MEMORY_SIZE, "820Mi is above 80% of the memory limit 1Gi");
    warns("as large as a limit that is set", &memory("{size: 2Gi}", "2Gi"), MEMORY_SIZE, "is above 80%");
    Facts::none().reports_nothing("below 80 %", &memory("{size: 800Mi}", "1Gi"));
    Facts::none().reports_nothing("both are the defaults", &memory("{size: 1Gi}", "1Gi"));
    let with_request = "{jetStream: {memStorage: {size: 2Gi}}, resources: {requests: {memory: 4Gi}}}";
    Facts::none().reports_nothing("the limit follows the request", with_request);
}
