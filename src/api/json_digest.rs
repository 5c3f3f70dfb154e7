//! A digest of JSON that neither the order of keys nor blanks change. It is computed while the JSON is read, so that large
//! JSON takes no memory of its own.

use std::fmt;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::text::hexadecimal;

/// The digest in hexadecimal. JSON that cannot be read, because it is too deep, counts as it stands.
pub(super) fn json_digest(json: &RawValue) -> Box<str> {
    let Digest(bytes) = serde_json::from_str(json.get()).unwrap_or_else(|_| Digest::of("unreadable", [json.get()]));
    hexadecimal(&bytes).into()
}

/// SHA-256 of one value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// The kind of a value and its parts. Each part follows its length, so that no two lists have the same input.
    fn of<P: AsRef<[u8]>>(kind: &str, parts: impl IntoIterator<Item = P>) -> Self {
        let mut hash = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(kind.as_bytes());
        parts.into_iter().for_each(|part| add(part.as_ref()));
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self(bytes)
    }

    fn of_number(number: impl fmt::Display) -> Self {
        Self::of("number", [number.to_string()])
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DigestVisitor)
    }
}

struct DigestVisitor;

impl<'de> Visitor<'de> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Digest, E> {
        Ok(Digest::of("null", [[0; 0]; 0]))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Digest, E> {
        Ok(Digest::of("bool", [[u8::from(value)]]))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Digest, E> {
        Ok(Digest::of_number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Digest, E> {
        Ok(Digest::of_number(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Digest, E> {
        Ok(Digest::of_number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Digest, E> {
        Ok(Digest::of("string", [value]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Digest, A::Error> {
        let mut items = Vec::<Digest>::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Digest::of("array", items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digest, A::Error> {
        let mut entries = Vec::<Digest>::new();
        while let Some((key, value)) = map.next_entry::<Digest, Digest>()? {
            entries.push(Digest::of("entry", [key, value]));
        }
        entries.sort_unstable();
        Ok(Digest::of("object", entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(json: &str) -> Box<str> {
        json_digest(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn neither_order_nor_blanks_count_and_everything_else_does() {
        let json = r#"{"a":{"type":"string","items":[1,2.5,true,null]},"b":{}}"#;
        let same = "{ \"b\": {},\n \"a\": {\"items\": [1, 2.5, true, null], \"type\": \"str\\u0069ng\"} }";
        assert_eq!(digest(json), digest(same));
        for other in [
            r#"{"a":{"type":"string","items":[2.5,1,true,null]},"b":{}}"#,
            r#"{"a":{"type":"string","items":[1,2.5,true,null]},"b":[]}"#,
            r#"{"a":{"type":"string","items":[1,2.5,true,null]}}"#,
            r#"{"a":{"type":"string","items":[1,2.5,"true",null]},"b":{}}"#,
            r#"{"a":{"type":"string","items":["1",2.5,true,null]},"b":{}}"#,
            r#"{"b":{"type":"string","items":[1,2.5,true,null]},"a":{}}"#,
        ] {
            assert_ne!(digest(json), digest(other), "{other}");
        }
    }

    #[test]
    fn json_that_is_too_deep_counts_as_it_stands() {
        let deep = |blanks: &str| format!("{}{blanks}{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(digest(&deep("")), digest(&deep("")));
        assert_ne!(digest(&deep("")), digest(&deep(" ")));
    }
}
