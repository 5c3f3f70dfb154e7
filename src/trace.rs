//! The trace context of the process that runs frcopy.

use std::str::FromStr;

use http::HeaderValue;

use crate::error::Error;

/// A W3C trace context: the value of the header `traceparent` (version, trace id, parent id and flags).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(HeaderValue);

impl TraceParent {
    /// The header's name in lower case, and its value.
    #[must_use]
    pub fn header(&self) -> (&'static str, HeaderValue) {
        ("traceparent", self.0.clone())
    }
}

impl FromStr for TraceParent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<_> = text.trim().split('-').collect();
        let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let has_form = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.iter().all(is_hex);
        // Ids of zeros and version ff are invalid.
        let is_zero = |part: &&str| part.bytes().all(|byte| byte == b'0');
        let is_invalid = parts.first() == Some(&"ff") || parts.get(1..3).is_some_and(|ids| ids.iter().any(is_zero));
        let header = HeaderValue::from_str(text.trim()).ok().filter(|_| has_form && !is_invalid);
        header.map(Self).ok_or_else(|| {
            Error::settings(
                "it is not a W3C trace context",
                "unset TRACEPARENT, or set it as 00-TRACE_ID-PARENT_ID-FLAGS",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_has_the_form_of_the_standard() {
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        assert!(format!("00-{ids}-01").parse::<TraceParent>().is_ok());
        let zeros = "00000000000000000000000000000000-b7ad6b7169203331";
        for text in [
            String::new(),
            ids.into(),
            format!("ff-{ids}-01"),
            format!("00-{ids}"),
            format!("00-{zeros}-01"),
            format!("00-{}-01", ids.to_uppercase()),
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
    }
}
