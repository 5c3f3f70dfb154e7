//! Removes keys and tokens from text before it is shown or logged.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// Shorter values are not redacted: no key or token is this short, and a short value can occur in ordinary text.
pub(crate) const MIN_SECRET_LEN: usize = 16;

/// The keys and tokens that were sent to a service and that its answers may repeat.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Arc<[SecretString]>);

impl Redactor {
    /// Returns a redactor that also knows `secret`.
    #[must_use]
    pub fn with(&self, secret: &SecretString) -> Self {
        if self.0.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            return self.clone();
        }
        Self(self.0.iter().chain([secret]).cloned().collect())
    }

    /// Replaces every known secret in a text by `***`.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.0.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= MIN_SECRET_LEN);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_of_a_secret_is_replaced() {
        let redactor = Redactor::default().with(&"0123456789abcdef".into()).with(&"fedcba9876543210".into());
        assert_eq!(redactor.redact("<0123456789abcdef0123456789abcdef fedcba9876543210>"), "<****** ***>");
        assert!(!format!("{redactor:?}").contains("0123"));
    }

    #[test]
    fn a_value_that_is_too_short_for_a_secret_is_not_replaced() {
        assert_eq!(Redactor::default().with(&"stat".into()).redact("status"), "status");
    }
}
