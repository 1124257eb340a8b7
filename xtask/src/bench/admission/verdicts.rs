//! Comparison of the verdicts: the webhooks must agree on the table of cases before their costs are compared.

use std::{collections::BTreeSet, fs};

use nats_manager_harness::cases::cases;

use super::{
    AdmissionError,
    load::{Answer, Generator},
    reviews::{self, VALIDATE, Workload},
    servers::{Server, ServerKind},
};

/// Cases on which the Go webhook has another verdict. `resource.Quantity` is the same for `0` and `"0"`, and these cases
/// are about this difference. The tests of the Go module list them too.
pub(super) const INCOMPARABLE: [&str; 2] =
    ["the memory store on and empty, as a number", "the memory store empty as a string becomes a number"];

/// Checks that ours and the Go webhook reject the same cases because of the same fields. Returns the number of cases
/// that are comparable. A case that Go types cannot read has no fields.
pub(super) fn check_cases(generator: &Generator, servers: &[Server]) -> Result<usize, AdmissionError> {
    let cases = cases();
    let folder = generator.folder.join("cases");
    fs::create_dir_all(&folder).map_err(AdmissionError::io(folder.display()))?;
    for (number, case) in cases.iter().enumerate() {
        let path = folder.join(number.to_string());
        fs::write(&path, reviews::of_case(case).to_string()).map_err(AdmissionError::io(path.display()))?;
    }
    let mut wrong = Vec::new();
    for server in servers.iter().filter(|server| server.kind != ServerKind::Floor) {
        let answers = generator.ask(server, VALIDATE, &folder)?;
        for (number, case) in cases.iter().enumerate() {
            let answer = answers.get(&number.to_string());
            let expected: BTreeSet<&str> = case.rejected.iter().map(|rejection| rejection.field.as_str()).collect();
            let is_same = answer.is_some_and(|answer| has_verdict(answer, &expected));
            let is_incomparable = server.kind == ServerKind::Go && INCOMPARABLE.contains(&case.name.as_str());
            if is_same == is_incomparable {
                wrong.push(format!("{}: {}: {answer:?}", server.kind.name(), case.name));
            }
        }
    }
    if wrong.is_empty() { Ok(cases.len() - INCOMPARABLE.len()) } else { Err(AdmissionError::Verdicts(wrong)) }
}

/// Checks that each server but the floor accepts and rejects the workloads as intended.
pub(super) fn check_workloads(
    generator: &Generator,
    servers: &[Server],
    workloads: &[Workload],
) -> Result<(), AdmissionError> {
    let folder = generator.folder.join("workloads");
    let mut wrong = Vec::new();
    for server in servers.iter().filter(|server| server.kind != ServerKind::Floor) {
        for workload in workloads {
            let answers = generator.ask(server, workload.path, &folder)?;
            let answer = answers.get(workload.file);
            if answer.and_then(|answer| answer.body["response"]["allowed"].as_bool()) != Some(workload.accepted) {
                wrong.push(format!("{}: {}: {answer:?}", server.kind.name(), workload.title));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(AdmissionError::Verdicts(wrong)) }
}

/// Returns whether the response rejects exactly these fields; none of them means that it accepts.
fn has_verdict(answer: &Answer, expected: &BTreeSet<&str>) -> bool {
    let response = &answer.body["response"];
    if answer.status != 200 || response["allowed"].as_bool() != Some(expected.is_empty()) {
        return false;
    }
    let causes = response["status"]["details"]["causes"].as_array();
    let fields = |causes: &Vec<serde_json::Value>| -> BTreeSet<String> {
        causes.iter().filter_map(|cause| Some(cause["field"].as_str()?.to_owned())).collect()
    };
    causes.is_none_or(|causes| fields(causes).iter().map(String::as_str).eq(expected.iter().copied()))
}
