//! Comparison of the decisions: the webhooks must agree on the table of cases before their costs are compared.

use std::{collections::BTreeSet, fs};

use nats_manager_harness::cases::cases;

use super::{
    AdmissionError,
    load::{Answer, Generator},
    reviews::{self, VALIDATE, Workload},
    servers::{Server, ServerKind},
};

/// Cases on which the Go webhook has another decision, because of `resource.Quantity`: it is the same for `0` and `"0"`, and
/// cannot hold a text that is no quantity. The tests of the Go module list these cases too.
pub(super) const INCOMPARABLE: [&str; 3] = [
    "the memory store on and empty, as a number",
    "the memory store empty as a string becomes a number",
    "a stored size that is not a quantity is corrected",
];

/// Number of cases on which the decisions agree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Agreement {
    /// Cases with the same decision because of the same fields.
    pub(super) with_fields: usize,
    /// Cases that both reject, of which the Go webhook names no field: Go types cannot read them.
    pub(super) without_fields: usize,
}

impl Agreement {
    /// Formats the numbers.
    pub(super) fn text(self) -> String {
        let Self { with_fields, without_fields } = self;
        format!("{with_fields} cases, decision and fields, and {without_fields} more in the decision only")
    }
}

/// Checks that ours and the Go webhook reject the same cases because of the same fields.
pub(super) fn check_cases(generator: &Generator, servers: [&Server; 2]) -> Result<Agreement, AdmissionError> {
    let cases = cases();
    let folder = generator.folder.join("cases");
    fs::create_dir_all(&folder).map_err(AdmissionError::io(folder.display()))?;
    for (number, case) in cases.iter().enumerate() {
        let path = folder.join(number.to_string());
        fs::write(&path, reviews::of_case(case).to_string()).map_err(AdmissionError::io(path.display()))?;
    }
    let mut wrong = Vec::new();
    let mut without_fields = 0;
    for server in servers {
        let answers = generator.ask(server, VALIDATE, &folder)?;
        for (number, case) in cases.iter().enumerate() {
            let answer = answers.get(&number.to_string());
            let expected: BTreeSet<&str> = case.rejected.iter().map(|rejection| rejection.field.as_str()).collect();
            let is_go = server.kind == ServerKind::Go;
            let decision = answer.map_or(Decision::Other, |answer| decision(answer, &expected));
            let is_same = decision == Decision::Same || is_go && decision == Decision::SameWithoutFields;
            without_fields += usize::from(is_go && decision == Decision::SameWithoutFields);
            let is_incomparable = is_go && INCOMPARABLE.contains(&case.name.as_str());
            if is_same == is_incomparable {
                wrong.push(format!("{}: {}: {answer:?}", server.kind.name(), case.name));
            }
        }
    }
    if !wrong.is_empty() {
        return Err(AdmissionError::Decisions(wrong));
    }
    Ok(Agreement { with_fields: cases.len() - INCOMPARABLE.len() - without_fields, without_fields })
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
    if wrong.is_empty() { Ok(()) } else { Err(AdmissionError::Decisions(wrong)) }
}

/// Comparison of a response with the expected decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It accepts as expected, or rejects exactly the expected fields.
    Same,
    /// It rejects as expected, and names no field.
    SameWithoutFields,
    Other,
}

/// Compares a response with the fields that it should reject; none of them means that it should accept.
fn decision(answer: &Answer, expected: &BTreeSet<&str>) -> Decision {
    let response = &answer.body["response"];
    if answer.status != 200 || response["allowed"].as_bool() != Some(expected.is_empty()) {
        return Decision::Other;
    }
    let causes = response["status"]["details"]["causes"].as_array();
    let fields = |causes: &Vec<serde_json::Value>| -> BTreeSet<String> {
        causes.iter().filter_map(|cause| Some(cause["field"].as_str()?.to_owned())).collect()
    };
    match causes {
        None if expected.is_empty() => Decision::Same,
        None => Decision::SameWithoutFields,
        Some(causes) if fields(causes).iter().map(String::as_str).eq(expected.iter().copied()) => Decision::Same,
        Some(_) => Decision::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decision_is_the_same_only_with_the_same_fields() {
        let rejected = |causes| json!({"allowed": false, "status": {"details": {"causes": causes}}});
        for (response, expected, decision) in [
            (json!({"allowed": true}), &[][..], Decision::Same),
            (json!({"allowed": true}), &["a"], Decision::Other),
            (json!({"allowed": false}), &[], Decision::Other),
            (json!({"allowed": false}), &["a"], Decision::SameWithoutFields),
            (rejected(json!([{"field": "a"}, {"field": "a"}])), &["a"], Decision::Same),
            (rejected(json!([{"field": "a"}])), &["a", "b"], Decision::Other),
            (rejected(json!([])), &["a"], Decision::Other),
        ] {
            let expected: BTreeSet<&str> = expected.iter().copied().collect();
            let answer = Answer { status: 200, body: json!({"response": response}) };
            assert_eq!(super::decision(&answer, &expected), decision, "{response} {expected:?}");
            assert_eq!(super::decision(&Answer { status: 500, ..answer }, &expected), Decision::Other);
        }
    }
}
