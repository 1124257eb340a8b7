//! Deserializers of JSON objects and arrays that are read piece by piece.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

/// Receiver of the fields of an object as they arrive.
pub(super) trait Fields {
    /// Names of the fields.
    type Key: for<'de> Deserialize<'de>;

    /// Reads the value of the field `key`.
    fn field<'de, M: MapAccess<'de>>(&mut self, key: Self::Key, map: &mut M) -> Result<(), M::Error>;

    /// Checks the object at its end.
    fn end<E: Error>(self) -> Result<(), E>;
}

/// Receiver of the elements of an array as they arrive.
pub(super) trait Elements {
    /// Reads the next element. Returns `false` at the end.
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<bool, S::Error>;
}

/// Deserializer of an object into a [`Fields`].
pub(super) struct JsonObject<T>(pub(super) T);

/// Deserializer of an array, or `null`, into an [`Elements`].
pub(super) struct Array<T>(pub(super) T);

impl<'de, T: Fields> DeserializeSeed<'de> for JsonObject<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Fields> Visitor<'de> for JsonObject<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key()? {
            self.0.field(key, &mut map)?;
        }
        self.0.end()
    }
}

impl<'de, T: Elements> DeserializeSeed<'de> for Array<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Elements> Visitor<'de> for Array<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<(), S::Error> {
        while self.0.element(&mut seq)? {}
        Ok(())
    }
}

/// A list of at most `N` elements; `null` is the empty list.
#[derive(Debug)]
pub(super) struct AtMost<const N: usize, T>(pub(super) Vec<T>);

impl<const N: usize, T> Default for AtMost<N, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const N: usize, T: Deserialize<'de>> Deserialize<'de> for AtMost<N, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<const N: usize, T>(Vec<T>, PhantomData<T>);
        impl<'de, const N: usize, T: Deserialize<'de>> Visitor<'de> for Collect<N, T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {N} elements")
            }

            fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
                Ok(self.0)
            }

            fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<Vec<T>, S::Error> {
                while let Some(element) = seq.next_element()? {
                    if self.0.len() == N {
                        return Err(Error::custom(format!("an array has more than {N} elements")));
                    }
                    self.0.push(element);
                }
                Ok(self.0)
            }
        }
        deserializer.deserialize_any(Collect::<N, T>(Vec::new(), PhantomData)).map(Self)
    }
}
