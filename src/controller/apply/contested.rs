//! Fields of the Pod template that another client sets again after each correction.
//!
//! Each correction makes a revision of the template. Without a limit, two controllers would write as fast as their
//! watches deliver, and no action on servers would ever be carried out, without anyone noticing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::Value;

use nats_manager_api::naming::FIELD_MANAGER;

/// Corrections of the last minute, by field, and the last dispute.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    recent: BTreeMap<String, VecDeque<Instant>>,
    contested: Option<Contested>,
}

/// A field that another client sets again after each correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contested {
    /// Path of the field, such as `.spec.template.spec.nodeSelector`.
    pub(super) field: String,
    /// Field manager of the other client.
    pub(super) manager: String,
    at: Instant,
}

/// Time in which corrections count.
const WINDOW: Duration = Duration::from_mins(1);
/// Number of corrections of one field in that time, after which it is contested.
const MAX_CORRECTIONS: usize = 5;
/// Time without a correction after which a field is no longer contested.
const QUIET: Duration = Duration::from_mins(2);

impl Corrections {
    /// Records a correction of a field. Returns false if it must wait, because there were too many.
    pub(super) fn allow(&mut self, field: &str, now: Instant) -> bool {
        for times in self.recent.values_mut() {
            times.retain(|at| now.duration_since(*at) < WINDOW);
        }
        self.recent.retain(|_, times| !times.is_empty());
        let most = if self.contested(now).is_some() { 1 } else { MAX_CORRECTIONS };
        let times = self.recent.entry(field.to_owned()).or_default();
        if times.len() >= most {
            return false;
        }
        times.push_back(now);
        true
    }

    /// Records that a field is contested. The name of the field manager stays while that lasts.
    pub(super) fn contest(&mut self, field: String, manager: String, now: Instant) {
        self.contested = Some(Contested { field, manager, at: now });
    }

    /// Records that the contested field differs again. Returns whether a field is contested.
    pub(super) fn renew(&mut self, now: Instant) -> bool {
        let is_contested = self.contested(now).is_some();
        if let Some(contested) = self.contested.as_mut().filter(|_| is_contested) {
            contested.at = now;
        }
        is_contested
    }

    /// Returns the contested field, if the last dispute was a short time ago.
    pub(super) fn contested(&self, now: Instant) -> Option<&Contested> {
        self.contested.as_ref().filter(|contested| now.duration_since(contested.at) < QUIET)
    }
}

/// Returns the field manager that set a field, from the `managedFields` of the object. `path` is as in
/// [`super::compare::difference`], or a JSON pointer.
pub(super) fn manager_of(object: &Value, path: &str) -> Option<String> {
    let steps: Vec<String> = path
        .split(['/', '.', '['])
        .filter(|step| !step.is_empty())
        .take_while(|step| !step.ends_with(']') && step.parse::<usize>().is_err())
        .map(|step| format!("f:{step}"))
        .collect();
    let entries = object.pointer("/metadata/managedFields")?.as_array()?.iter();
    let others = entries.filter(|entry| entry["manager"] != FIELD_MANAGER);
    let depth = |entry: &Value| {
        let mut fields = &entry["fieldsV1"];
        let mut depth = 0;
        for step in &steps {
            let Some(inner) = fields.get(step) else { break };
            (fields, depth) = (inner, depth + 1);
        }
        depth
    };
    let deepest = others.map(|entry| (depth(entry), entry)).filter(|(depth, _)| *depth > 1);
    // Of several, the last one has written last.
    let (_, entry) = deepest.max_by_key(|(depth, entry)| (*depth, entry["time"].as_str().unwrap_or_default()))?;
    entry["manager"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn corrections_of_a_field_are_limited_and_a_contested_field_is_corrected_once_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut corrections = Corrections::default();
        for seconds in 0..5 {
            assert!(corrections.allow("a", at(seconds)), "{seconds}");
        }
        assert!(!corrections.allow("a", at(5)) && corrections.allow("b", at(5)), "each field counts on its own");
        corrections.contest("a".to_owned(), "theirs".to_owned(), at(5));
        assert!(!corrections.allow("a", at(61)), "4 corrections are younger than a minute");
        assert!(corrections.allow("a", at(70)) && !corrections.allow("a", at(71)), "one in a minute");
        assert!(corrections.renew(at(100)) && corrections.contested(at(219)).is_some());
        assert!(corrections.contested(at(220)).is_none() && !corrections.renew(at(220)));
        assert!((220..225).all(|seconds| corrections.allow("a", at(seconds))));
    }

    #[test]
    fn manager_is_the_other_one_that_owns_most_of_the_path() {
        let entry =
            |manager: &str, time: &str, fields: Value| json!({"manager": manager, "time": time, "fieldsV1": fields});
        let pod = |fields: Value| json!({"f:spec": {"f:template": {"f:spec": fields}}});
        let object = json!({"metadata": {"managedFields": [
            entry("nats-manager", "3", pod(json!({"f:nodeSelector": {}}))),
            entry("pinner", "1", pod(json!({"f:nodeSelector": {"f:disk": {}}}))),
            entry("injector", "2", pod(json!({"f:containers": {"k:{\"name\":\"theirs\"}": {}}}))),
            entry("kube-controller-manager", "4", json!({"f:status": {}})),
        ]}});
        for (path, expected) in [
            ("/spec/template/spec/nodeSelector", Some("pinner")),
            ("/spec/template/spec/nodeSelector/disk", Some("pinner")),
            ("/spec/template/spec/containers/3", Some("injector")),
            (".spec.template.spec.containers[nats].image", Some("injector")),
            ("/spec/replicas", None),
        ] {
            assert_eq!(manager_of(&object, path).as_deref(), expected, "{path}");
        }
    }
}
