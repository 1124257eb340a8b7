//! Annotations of a NATS resource that have an effect only with the value `"true"`.

use std::collections::BTreeMap;

use super::Warning;
use crate::naming::{FORCE_DELETION, FORCE_ROLLOUT, PAUSE};

/// Returns a warning for each annotation whose value has no effect.
pub fn ineffective_flags(annotations: &BTreeMap<String, String>) -> Vec<Warning> {
    let set = [FORCE_DELETION, FORCE_ROLLOUT, PAUSE].into_iter().filter_map(|flag| annotations.get_key_value(flag));
    let ineffective = set.filter(|(_, value)| !["true", "false"].contains(&value.as_str()));
    ineffective.map(|(flag, _)| warning(flag, "has no effect: the value must be \"true\"")).collect()
}

/// Returns the warning about a change of a resource whose reconciliation is paused; `None` if it is not paused.
pub fn pause_warning(annotations: &BTreeMap<String, String>) -> Option<Warning> {
    let is_paused = annotations.get(PAUSE).is_some_and(|value| value == "true");
    is_paused
        .then(|| warning(PAUSE, "reconciliation is paused: changes are carried out when the annotation is removed"))
}

fn warning(flag: &str, message: &'static str) -> Warning {
    Warning { field: format!("metadata.annotations[{flag}]").into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_with_another_value_has_no_effect() {
        for (value, is_ineffective, is_paused) in [
            ("true", false, true),
            ("false", false, false),
            ("True", true, false),
            ("yes", true, false),
            ("", true, false),
        ] {
            for flag in [FORCE_DELETION, FORCE_ROLLOUT, PAUSE] {
                let annotations = BTreeMap::from([(flag.to_owned(), value.to_owned())]);
                let fields: Vec<_> = ineffective_flags(&annotations).into_iter().map(|found| found.field).collect();
                let expected = if is_ineffective { vec![format!("metadata.annotations[{flag}]")] } else { vec![] };
                assert_eq!(fields, expected, "{value}");
                assert_eq!(pause_warning(&annotations).is_some(), is_paused && flag == PAUSE, "{flag} {value}");
            }
        }
        let other = BTreeMap::from([("example.com/a".to_owned(), "yes".to_owned())]);
        assert_eq!(ineffective_flags(&other), []);
    }
}
