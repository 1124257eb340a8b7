//! Errors in words for people: kube's own carry the whole answer of the apiserver.

use std::error::Error;

/// What the apiserver said, or why it said nothing.
pub(crate) fn summary(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        error => with_causes(error),
    }
}

/// The text of an error with those of its causes that it does not hold already.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
