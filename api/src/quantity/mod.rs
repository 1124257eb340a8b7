//! Kubernetes quantities as exact values.
//!
//! The text is kept as the user wrote it. Its value is parsed exactly, as Kubernetes does
//! (`k8s.io/apimachinery/pkg/api/resource`): without floating point, so that `0.1` and `9007199254740993` are not
//! rounded.
//!
//! ```
//! use nats_manager_api::{Amount, RawQuantity, quantity::NotAQuantity};
//!
//! let stored = RawQuantity::from("2048Mi");
//! assert_ne!(stored, RawQuantity::from("2Gi"), "another notation");
//! assert_eq!(stored.parse()?, Amount::parse("2Gi")?, "the same value");
//! assert!(Amount::parse("500m")? < Amount::parse("1")?);
//! assert_eq!(Amount::parse("2 GB"), Err(NotAQuantity));
//! # Ok::<(), NotAQuantity>(())
//! ```

mod scale;

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::scale::{Scale, parse_number};

/// Pattern of quantities in the OpenAPI schemas of Kubernetes.
pub const PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Maximum length of a quantity, in bytes. The largest value has 19 digits. The rest is room for zeros.
const MAX_LENGTH: usize = 64;

/// Quantity as stored in a NATS resource: a string or an integer, kept as its text.
///
/// The text may be invalid, which [`RawQuantity::parse`] reports. Raw quantities are equal if they are written in the
/// same way. To compare values, compare parsed quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawQuantity {
    /// Text of the string, or digits of the integer.
    pub text: String,
    /// Whether it is an integer in JSON. Only rules that distinguish `0` from `"0"` depend on it.
    pub is_integer: bool,
}

/// Exact value of a quantity, in billionths (the smallest step of Kubernetes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    nanos: i128,
}

/// Number of bytes: an integer that is not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// Error for a text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a quantity: a number with an optional unit (Ki, Mi, Gi, Ti, Pi, Ei, n, u, m, k, M, G, T, P, E), such as 1Gi or 500m"
)]
pub struct NotAQuantity;

const NANOS: i128 = 1_000_000_000;

impl RawQuantity {
    /// Parses the value. Anything finer than a billionth is rounded away from zero, as by the apiserver. Values beyond
    /// ±(2⁶³-1) are always capped, whereas the apiserver caps them only with some suffixes.
    pub fn parse(&self) -> Result<Amount, NotAQuantity> {
        Amount::parse(&self.text)
    }

    /// Returns whether the value is 0, in any notation. A text that is not a quantity is not 0.
    pub fn is_zero(&self) -> bool {
        self.parse().is_ok_and(Amount::is_zero)
    }

    /// Returns whether both are quantities of the same value.
    pub fn has_value_of(&self, other: &Self) -> bool {
        self.parse().is_ok_and(|amount| other.parse() == Ok(amount))
    }

    /// Creates a quantity that is an integer in JSON.
    fn integer(number: impl fmt::Display) -> Self {
        Self { text: number.to_string(), is_integer: true }
    }
}

impl From<&str> for RawQuantity {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for RawQuantity {
    fn from(text: String) -> Self {
        Self { text, is_integer: false }
    }
}

impl fmt::Display for RawQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Amount {
    /// Value 0, in any unit.
    pub const ZERO: Self = Self { nanos: 0 };

    /// Parses `text`. For rounding and limits, see [`RawQuantity::parse`].
    pub fn parse(text: &str) -> Result<Self, NotAQuantity> {
        if text.len() > MAX_LENGTH {
            return Err(NotAQuantity);
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let digits_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(digits_end);
        let scale = Scale::parse(suffix);
        let short = scale.as_ref().ok().and_then(|scale| scale.apply_to_integer(number.parse().ok()?));
        let magnitude = if let Some(magnitude) = short {
            magnitude
        } else {
            let (digits, decimals) = parse_number(number)?;
            scale?.apply(digits, decimals)
        };
        Ok(Self { nanos: if negative { -magnitude } else { magnitude } })
    }

    /// Returns whether the value is less than 0.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Returns whether the value is exactly 0, in any notation (`0`, `0Gi`, `0e3`).
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Returns the number of bytes, with a fraction of a byte counted as a byte; `None` if the value is negative.
    pub fn bytes_rounded_up(self) -> Option<Bytes> {
        let whole = u128::try_from(self.nanos).ok()?.div_ceil(NANOS.unsigned_abs());
        u64::try_from(whole).ok().map(Bytes)
    }

    /// Returns the number of bytes; `None` if the value is negative or has a fraction of a byte.
    pub fn bytes(self) -> Option<Bytes> {
        if self.nanos % NANOS != 0 {
            return None;
        }
        u64::try_from(self.nanos / NANOS).ok().map(Bytes)
    }
}

impl Bytes {
    /// Creates a value of `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Creates a value of `count` GiB (2³⁰ bytes each).
    pub const fn gibi(count: u64) -> Self {
        Self(count << 30)
    }

    /// Creates a value of `count` MiB (2²⁰ bytes each).
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }

    /// Returns the number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns `percent` hundredths of the value, rounded down.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        let share = u128::from(self.0) * u128::from(percent) / 100;
        Self(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl From<Bytes> for Amount {
    fn from(bytes: Bytes) -> Self {
        Self { nanos: i128::from(bytes.0) * NANOS }
    }
}

/// Writes the value in the largest binary unit that divides it evenly (`1Gi`, `1536Mi`), a notation that both
/// Kubernetes and `nats.conf` accept.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)]
            .into_iter()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for RawQuantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = RawQuantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a string or an integer")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawQuantity, E> {
                Ok(text.into())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawQuantity, E> {
                Ok(RawQuantity::integer(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawQuantity, E> {
                Ok(RawQuantity::integer(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Writes an integer as an integer, so that a spec that is read and written again has the same meaning.
impl Serialize for RawQuantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(number) if self.is_integer => serializer.serialize_i64(number),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

impl JsonSchema for RawQuantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "pattern": PATTERN,
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Result<i128, NotAQuantity> {
        Amount::parse(text).map(|amount| amount.nanos)
    }

    #[test]
    fn quantities_parse_as_in_kubernetes() {
        let cap = i128::from(i64::MAX) * NANOS;
        for (text, units) in [
            ("0", 0),
            ("0Gi", 0),
            ("-0", 0),
            ("1", NANOS),
            ("+1", NANOS),
            ("1.", NANOS),
            (".5", NANOS / 2),
            ("-1Ki", -1024 * NANOS),
            ("1Gi", (1 << 30) * NANOS),
            ("1.5Gi", 3 * (1 << 29) * NANOS),
            ("500m", NANOS / 2),
            ("100n", 100),
            ("7u", 7000),
            ("0.1", NANOS / 10),
            ("1e3", 1000 * NANOS),
            ("1E3", 1000 * NANOS),
            ("1E", 1_000_000_000_000_000_000 * NANOS),
            ("12e-1", 1_200_000_000),
            ("9007199254740993", 9_007_199_254_740_993 * NANOS),
            ("0.0000000001", 1),
            ("1e-400", 1),
            ("-0.1n", -1),
            ("8Ei", cap),
            ("1e400", cap),
            ("-99999999999999999999999999E", -cap),
            ("0e400", 0),
            ("1e2147483647", cap),
            ("1e-2147483648", 1),
            // More digits than a machine word has.
            ("214748364800000000000n", (200 << 30) * NANOS),
            ("0.0000000000000000001e19", NANOS),
            ("123456789012345678901e-20", 1_234_567_891),
            ("1.000000000000000000000000001", NANOS + 1),
            ("0.00000000000000000086736174Ei", 1_000_000_003),
        ] {
            assert_eq!(nanos(text), Ok(units), "{text}");
        }
    }

    #[test]
    fn rejects_invalid_quantities() {
        let long = "1".repeat(65);
        for text in [
            "", " 1", "1 ", "Gi", ".", "-", "+-1", "1..2", "1.2.3", "1gi", "1GI", "1e", "1e1.5x", "inf", "NaN", "0x10",
            "1Gi1", "١", "1٠", &long,
        ] {
            assert_eq!(nanos(text), Err(NotAQuantity), "{text:?}");
        }
    }

    #[test]
    fn bytes_rejects_fractions_and_negative_values() {
        for (text, bytes) in
            [("1.5Gi", Some(3 << 29)), ("1024", Some(1024)), ("500m", None), ("-1", None), ("0.5Ki", Some(512))]
        {
            let amount = Amount::parse(text).unwrap();
            assert_eq!(amount.bytes().map(Bytes::get), bytes, "{text}");
        }
    }

    #[test]
    fn bytes_display_uses_largest_even_unit() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1 << 30, "1Gi"),
            (3 << 29, "1536Mi"),
            (20 << 20, "20Mi"),
            (2 << 40, "2Ti"),
            (1_000_000, "1000000"),
        ] {
            assert_eq!(Bytes::new(bytes).to_string(), text);
        }
    }

    #[test]
    fn raw_quantity_accepts_integers_and_strings() {
        let read = |json| serde_json::from_str::<RawQuantity>(json).ok();
        assert_eq!(read("5"), Some(RawQuantity::integer(5)));
        assert_eq!(read("-5"), Some(RawQuantity::integer(-5)));
        assert_eq!(read(r#""5""#), Some("5".into()));
        assert_eq!(read(r#""1Gi""#), Some("1Gi".into()));
        assert_eq!(read("1.5"), None);
        assert_eq!(read("null"), None);
        for json in ["0", "-5", r#""0""#, r#""1Gi""#] {
            assert_eq!(serde_json::to_string(&read(json)).unwrap(), json);
        }
    }
}
