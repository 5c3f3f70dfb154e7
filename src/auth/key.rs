//! Resource keys.

use secrecy::{ExposeSecret, SecretString};

use super::AuthHeader;
use crate::error::Error;
use crate::slips;

/// A key of a resource: visible ASCII without surrounding white space. `Debug` redacts it.
#[derive(Debug, Clone)]
pub struct Key(AuthHeader);

impl Key {
    /// Parses a key as a person or a file gives it.
    ///
    /// # Errors
    /// When it is empty or cannot be a key. The error does not contain it.
    pub fn new(secret: &SecretString) -> Result<Self, Error> {
        const REMEDY: &str = "copy KEY 1 or KEY 2 from the resource's page Keys and Endpoint";
        if let Some(error) = slips::in_place_of_key(secret.expose_secret()) {
            return Err(error);
        }
        AuthHeader::new("ocp-apim-subscription-key", "", secret, REMEDY).map(Self)
    }

    pub(super) fn header(&self) -> AuthHeader {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_checked_and_never_shown() {
        let key = Key::new(&SecretString::from(" s3cret\n")).unwrap();
        assert_eq!(key.header().secret().expose_secret(), "s3cret");
        assert!(!format!("{key:?}").contains("s3cret"));
        for text in ["", "  ", "two words", "tab\tin", "umläut"] {
            let error = Key::new(&SecretString::from(text)).unwrap_err();
            assert!(text.trim().is_empty() || !format!("{error:?}").contains(text));
        }
    }
}
