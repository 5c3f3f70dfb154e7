//! The name of a resource, which the user has given it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;

/// The longest name.
const MAX_LEN: usize = 64;

/// The name of a resource: ASCII letters, digits, `-` and `_`, at most 64 of them, the first one a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// The name, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a part of an environment variable: upper case, with `_` for `-`. Two names that are the same there
    /// are the same resource.
    #[must_use]
    pub(crate) fn in_variables(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResourceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const REMEDY: &str = "use letters, digits, - and _, at most 64 of them";
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.is_empty() || text.len() > MAX_LEN || !text.chars().all(is_allowed) || text.starts_with(['-', '_']) {
            return Err(Error::settings("it is not the name of a resource", REMEDY));
        }
        if is_side(text) {
            return Err(Error::settings(
                "source and target are not names of resources, but of the sides of a copy",
                "choose another name",
            ));
        }
        Ok(Self(text.into()))
    }
}

/// Whether a text is the name of a side of a copy, which no resource can have.
pub(crate) fn is_side(text: &str) -> bool {
    ["source", "target"].iter().any(|side| text.eq_ignore_ascii_case(side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_hyphens_and_underscores() {
        for text in ["east", "East-2", "fr_west", "2"] {
            assert_eq!(text.parse::<ResourceName>().unwrap().as_str(), text);
        }
        for text in ["", "-east", "_", "a b", "a.b", "ä", "source", "TARGET", &"x".repeat(65)] {
            assert!(text.parse::<ResourceName>().is_err(), "{text}");
        }
        assert_eq!("fr-west_2".parse::<ResourceName>().unwrap().in_variables(), "FR_WEST_2");
    }
}
