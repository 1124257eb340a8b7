//! A broken rule: where, what is there, and what to do.

use std::fmt;

use serde_json::Value;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationClass {
    /// It cannot be deployed: refused at admission, state Error in the controller.
    Invalid,
    /// It can be deployed, but should not be: refused at admission of a change; what is stored
    /// already is deployed with a warning.
    Policy,
}

/// The kind of fault, as the apiserver names it in `details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseType {
    /// The value is wrong.
    Invalid,
    /// The field must not be set (so).
    Forbidden,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// The path of the field, `spec.cluster.size`.
    pub field: String,
    /// How bad it is.
    pub class: ViolationClass,
    /// The kind of fault.
    pub cause: CauseType,
    /// What is there. Two findings on a field are the same only where this is.
    pub value: Option<Value>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Something to know that is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The path of the field.
    pub field: String,
    /// What to know.
    pub message: String,
}

/// Values that are longer are not repeated: they are the user's, and an answer has bounds.
const LONGEST_VALUE: usize = 128;

impl Violation {
    /// A value that is wrong.
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

    /// A field that must not be set so, whatever its value.
    pub fn forbidden(field: impl Into<String>, class: ViolationClass, message: impl Into<String>) -> Self {
        Self { field: field.into(), class, cause: CauseType::Forbidden, value: None, message: message.into() }
    }

    /// The same finding on this value.
    #[must_use]
    pub(super) fn on(self, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    /// The message without the field, in the words of the apiserver's own causes.
    pub fn detail(&self) -> String {
        let short = self.value.as_ref().filter(|value| value.as_str().is_none_or(|text| text.len() <= LONGEST_VALUE));
        match (self.cause, short) {
            (CauseType::Invalid, Some(value)) => format!("Invalid value: {value}: {}", self.message),
            (CauseType::Invalid, None) => format!("Invalid value: {}", self.message),
            (CauseType::Forbidden, _) => format!("Forbidden: {}", self.message),
        }
    }

    pub(super) fn as_warning(&self) -> Warning {
        Warning { field: self.field.clone(), message: self.message.clone() }
    }
}

impl CauseType {
    /// The word in `details.causes[].reason`
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
