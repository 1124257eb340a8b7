//! JSON from untrusted clients, parsed within bounds.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Number, Value, value::RawValue};

/// Upper bound for the values of one document. A value takes a hundred times the memory of its text, and the largest
/// resource that keeps the rules has about 4,000 values.
const MAX_VALUES: usize = 20_000;

/// Parses a value of at most [`MAX_VALUES`] values. `serde_json` bounds the depth.
pub(crate) fn read(raw: &RawValue) -> Result<Value, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    Bounded(&left).deserialize(&mut Deserializer::from_str(raw.get()))
}

/// Removes every field that is `null`, which means absent at every level.
pub(crate) fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// Deserializer seed that counts down the values that may still be parsed.
#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.get().checked_sub(1) {
            Some(left) => self.0.set(left),
            None => return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key()? {
            all.insert(name, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value, String> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        read(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn parses_like_serde_json() {
        let text = r#"{"a": [1, -1, 1.5, "x\n", true, null, {}], "b": {"c": 18446744073709551615}, "b": 2}"#;
        assert_eq!(read_text(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn document_beyond_bounds_is_rejected() {
        let many = |count| format!("[{}0]", "0,".repeat(count));
        assert!(read_text(&many(MAX_VALUES - 2)).is_ok());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, expected) in
            [(many(MAX_VALUES - 1), "more than"), (deep, "recursion limit"), ("1e999".to_owned(), "out of range")]
        {
            let error = read_text(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn null_fields_are_dropped() {
        let mut value = serde_json::json!({"a": null, "b": {"c": null, "d": [null]}});
        drop_nulls(&mut value);
        assert_eq!(value, serde_json::json!({"b": {"d": [null]}}));
    }
}
