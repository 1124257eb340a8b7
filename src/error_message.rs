//! Error messages for users: kube's own errors contain the whole response of the apiserver.

use std::error::Error;

/// Returns the message of the apiserver, or the reason for which there is no response.
pub(crate) fn summary(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        error => with_causes(error),
    }
}

/// Returns the text of an error with the texts of those causes that it does not contain already.
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
