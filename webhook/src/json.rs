//! JSON from untrusted clients, parsed within bounds.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Deserializer, Value, value::RawValue};

/// Upper bound for the values of what is parsed at once. A value takes a hundred times the memory of its text, and the
/// largest resource that keeps the rules has about 4,000 values.
const MAX_VALUES: usize = 20_000;

/// String, borrowed from the document unless it has escapes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Struct from an object. By itself, serde accepts an array for a struct.
#[derive(Clone, Copy, Debug, Default)]
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

            // By default, the error quotes the text.
            fn visit_str<E: Error>(self, _: &str) -> Result<Object<T>, E> {
                Err(E::custom("invalid type: string, expected an object"))
            }
        }

        deserializer.deserialize_any(FromMap(PhantomData))
    }
}

/// Parses an object into a struct or a map; `None` if it is no object, or does not fit.
pub(crate) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str::<Object<T>>(raw.get()).ok().map(|object| object.0)
}

/// Parses a value of at most [`MAX_VALUES`] values.
pub(crate) fn read(raw: &RawValue) -> Result<Value, serde_json::Error> {
    check_bounds(&[Some(raw)])?;
    serde_json::from_str(raw.get())
}

/// Checks that documents have at most [`MAX_VALUES`] values together. Whatever passes can be parsed into any type within
/// bounded memory. Documents with few values may pass although `serde_json` cannot represent one of them: that fails
/// when the value is parsed, if it is.
pub(crate) fn check_bounds(documents: &[Option<&RawValue>]) -> Result<(), serde_json::Error> {
    let mut documents = documents.iter().flatten();
    // Each value has at least one byte.
    if documents.clone().map(|raw| raw.get().len()).sum::<usize>() <= MAX_VALUES {
        return Ok(());
    }
    let left = Cell::new(MAX_VALUES);
    documents.try_for_each(|raw| Bounded(&left).deserialize(&mut Deserializer::from_str(raw.get())))
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
        let (deep, one) = (format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), many(MAX_VALUES / 2 - 2));
        let raw: Box<RawValue> = serde_json::from_str(&one).unwrap();
        assert!(check_bounds(&[Some(&*raw), None, Some(&*raw)]).is_ok());
        assert!(check_bounds(&[Some(&*raw), Some(&*raw), Some(&*raw)]).is_err());
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
