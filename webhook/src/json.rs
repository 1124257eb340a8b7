//! JSON from untrusted clients, parsed within bounds.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Deserializer, Value, value::RawValue};

/// Upper bound for the values of one document. A value takes a hundred times the memory of its text, and the largest
/// resource that keeps the rules has about 4,000 values.
const MAX_VALUES: usize = 20_000;
/// Depth up to which `serde_json` parses any document.
const MAX_PLAIN_DEPTH: usize = 100;
/// Half of the digits up to which any integer is in the range of an `f64`.
const MAX_PLAIN_DIGITS: usize = 100;

/// String, borrowed from the document unless it has escapes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Struct from an object. By itself, serde accepts an array for a struct.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(FromMap(PhantomData))
    }
}

/// Parses a value of at most [`MAX_VALUES`] values.
pub(crate) fn read(raw: &RawValue) -> Result<Value, serde_json::Error> {
    check_bounds(raw)?;
    serde_json::from_str(raw.get())
}

/// Checks that a document has at most [`MAX_VALUES`] values, and that `serde_json` can represent all of them. It also
/// bounds the depth. Whatever passes can be parsed into any type within bounded memory.
pub(crate) fn check_bounds(raw: &RawValue) -> Result<(), serde_json::Error> {
    if is_plain(raw.get()) {
        return Ok(());
    }
    let left = Cell::new(MAX_VALUES);
    Bounded(&left).deserialize(&mut Deserializer::from_str(raw.get()))
}

/// Field of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Absent,
    Null,
    Value(&'a RawValue),
}

impl<'a> Field<'a> {
    /// Returns a field of a value; `None` if the value is no object. Of a field that is repeated, the last one counts,
    /// as it does in a [`Value`].
    pub(crate) fn of(value: &'a RawValue, name: &str) -> Option<Self> {
        Deserializer::from_str(value.get()).deserialize_map(Named(name)).ok()
    }
}

struct Named<'a>(&'a str);

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Field<'de>, A::Error> {
        let mut found = Field::Absent;
        while let Some((Text(name), value)) = fields.next_entry::<Text<'de>, &'de RawValue>()? {
            if name == self.0 {
                found = if value.get() == "null" { Field::Null } else { Field::Value(value) };
            }
        }
        Ok(found)
    }
}

/// Returns the entries of an object of strings whose keys are selected. Fails if a value is no string.
pub(crate) fn strings(
    raw: &RawValue,
    is_selected: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, serde_json::Error> {
    Deserializer::from_str(raw.get()).deserialize_map(Strings(is_selected))
}

struct Strings<F>(F);

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Strings<F> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut selected = BTreeMap::new();
        while let Some((Text(key), value)) = entries.next_entry::<Text<'de>, &'de RawValue>()? {
            if (self.0)(&key) {
                selected.insert(key.into_owned(), serde_json::from_str(value.get()).map_err(Error::custom)?);
            } else if !value.get().starts_with('"') {
                return Err(Error::custom("expected a string"));
            }
        }
        Ok(selected)
    }
}

/// Returns whether JSON is so plain that it is within bounds: short, without escapes, with few brackets, and without
/// numbers that could be out of range. Searching takes less time than a parser.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_real = |pair: &[u8]| matches!(pair, [b'0'..=b'9', b'e' | b'E' | b'.']);
    let mut digits = bytes.chunks_exact(MAX_PLAIN_DIGITS).map(|chunk| chunk.iter().all(u8::is_ascii_digit));
    // Each value has at least one byte.
    bytes.len() <= MAX_VALUES
        && memchr::memchr(b'\\', bytes).is_none()
        && memchr::memchr2_iter(b'{', b'[', bytes).nth(MAX_PLAIN_DEPTH - 1).is_none()
        && !bytes.windows(2).any(is_real)
        && !digits.any(|is_number| is_number)
}

/// Removes every field that is `null`, which means absent at every level.
pub(crate) fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// Deserializer seed that keeps nothing, and counts down the values that may still come.
#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0.get().checked_sub(1) {
            Some(left) => self.0.set(left),
            None => return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key::<IgnoredAny>()?.is_some() {
            fields.next_value_seed(self)?;
        }
        Ok(())
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
    fn plain_documents_are_within_bounds() {
        for (text, expected) in [
            (r#"{"a": [1, -1, "x", true, null, {}]}"#.to_owned(), true),
            (r#"{"a": "\ud800"}"#.to_owned(), false),
            ("1e999".to_owned(), false),
            ("1".repeat(400), false),
            ("[".repeat(200) + &"]".repeat(200), false),
            (format!("[{}0]", "0,".repeat(MAX_VALUES)), false),
        ] {
            assert_eq!(is_plain(&text), expected, "{text:.20}");
            assert!(!expected || read_text(&text).is_ok());
        }
    }

    #[test]
    fn null_fields_are_dropped() {
        let mut value = serde_json::json!({"a": null, "b": {"c": null, "d": [null]}});
        drop_nulls(&mut value);
        assert_eq!(value, serde_json::json!({"b": {"d": [null]}}));
    }
}
