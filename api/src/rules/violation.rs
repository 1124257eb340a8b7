//! Violations of rules: the field, its value, and a message with the correction.

use std::{borrow::Cow, fmt};

use serde_json::Value;

/// Severity of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationClass {
    /// The resource cannot be deployed: rejected at admission, state Error in the controller.
    Invalid,
    /// The resource can be deployed, but should not be: a change is rejected at admission, while a stored resource is
    /// deployed with a warning.
    Policy,
}

/// Kind of a violation, as the apiserver names it in `details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseType {
    /// The value is wrong.
    Invalid,
    /// The field must not be set, or not to this value.
    Forbidden,
}

/// Violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Path of the field, such as `spec.cluster.size`.
    pub field: String,
    /// Severity of the violation.
    pub class: ViolationClass,
    /// Kind of the violation.
    pub cause: CauseType,
    /// Value of the field. Two violations on a field are equal only if their values are.
    pub value: Option<Value>,
    /// Message: the problem, and a correct value.
    pub message: String,
}

/// Advice to the user that does not cause a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the field that the advice is about.
    pub field: Cow<'static, str>,
    /// Message to the user.
    pub message: Cow<'static, str>,
}

/// Maximum length, in bytes, of a value that is repeated in a message. Values come from users, and responses stay
/// bounded.
const MAX_VALUE_BYTES: usize = 128;

impl Violation {
    /// Builds a violation by a wrong value.
    pub fn invalid(
        field: impl Into<String>,
        class: ViolationClass,
        value: impl Into<Value>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            class,
            cause: CauseType::Invalid,
            value: Some(value.into()),
            message: message.into(),
        }
    }

    /// Builds a violation by a field that must not be set, independently of its value.
    pub fn forbidden(field: impl Into<String>, class: ViolationClass, message: impl Into<String>) -> Self {
        Self { field: field.into(), class, cause: CauseType::Forbidden, value: None, message: message.into() }
    }

    /// Sets the value of the field.
    #[must_use]
    pub(super) fn with_value(self, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    /// Returns the message without the field, in the format of the apiserver's own causes.
    pub fn detail(&self) -> String {
        let short = self.value.as_ref().filter(|value| value.as_str().is_none_or(|text| text.len() <= MAX_VALUE_BYTES));
        match (self.cause, short) {
            (CauseType::Invalid, Some(value)) => format!("Invalid value: {value}: {}", self.message),
            (CauseType::Invalid, None) => format!("Invalid value: {}", self.message),
            (CauseType::Forbidden, _) => format!("Forbidden: {}", self.message),
        }
    }

    pub(super) fn as_warning(&self) -> Warning {
        Warning { field: self.field.clone().into(), message: self.message.clone().into() }
    }
}

impl Warning {
    /// Returns the field and the message.
    pub fn text(&self) -> String {
        [&*self.field, ": ", &*self.message].concat()
    }
}

impl CauseType {
    /// Returns the value for `details.causes[].reason`
    /// (`k8s.io/apimachinery/pkg/apis/meta/v1`, `CauseType`).
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Forbidden => "FieldValueForbidden",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
