//! What may be sent to one resource and never be shown to anybody.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// What is shorter is no secret of this service, and may stand in any text by chance.
const SHORTEST: usize = 16;

/// The keys and tokens that a service may repeat in its answers.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Arc<[SecretString]>);

impl Redactor {
    /// These and one more, unless it is known.
    #[must_use]
    pub fn and(&self, secret: &SecretString) -> Self {
        if self.0.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            return self.clone();
        }
        Self(self.0.iter().chain([secret]).cloned().collect())
    }

    /// The text with every secret in it blotted out.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let long_enough = self.0.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= SHORTEST);
        long_enough.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out_wherever_a_text_repeats_it() {
        let secrets = Redactor::default().and(&"0123456789abcdef".into()).and(&"fedcba9876543210".into());
        assert_eq!(secrets.redact("<0123456789abcdef0123456789abcdef fedcba9876543210>"), "<****** ***>");
        assert!(!format!("{secrets:?}").contains("0123"));
    }

    #[test]
    fn what_is_too_short_for_a_secret_stays() {
        assert_eq!(Redactor::default().and(&"stat".into()).redact("status"), "status");
    }
}
