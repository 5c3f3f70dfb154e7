//! Removes keys and tokens from text before it is shown, logged or kept.
//!
//! There is one list of secrets for the whole process: an answer of one resource may repeat the secret of another one.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};

/// Shorter values are not redacted: no key or token is this short, and a short value can occur in ordinary text.
pub(crate) const MIN_SECRET_LEN: usize = 16;

static SECRETS: RwLock<Redactor> = RwLock::new(Redactor(BTreeMap::new()));

/// From now on, replaces a secret in every text.
pub(crate) fn remember(secret: &SecretString) {
    SECRETS.write().unwrap_or_else(PoisonError::into_inner).add(secret);
}

/// Replaces every secret in a text by `***`.
#[must_use]
pub(crate) fn redact(text: &str) -> String {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).redact(text)
}

/// Secrets by their first bytes, in the form of [`plain`]: a batch has thousands of access tokens.
struct Redactor(BTreeMap<[u8; MIN_SECRET_LEN], Vec<SecretString>>);

impl Redactor {
    fn add(&mut self, secret: &SecretString) {
        let (bytes, _) = plain(secret.expose_secret());
        let Some(start) = bytes.first_chunk().copied() else { return };
        let Ok(secret) = String::from_utf8(bytes) else { return };
        let known = self.0.entry(start).or_default();
        if !known.iter().any(|known| known.expose_secret() == secret) {
            known.push(secret.into());
        }
    }

    /// Replaces secrets in upper and lower case, also where characters are percent-encoded.
    fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let (bytes, ends) = plain(text);
        let end_of = |count: usize| count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or_default();
        let (mut clean, mut kept, mut at) = (String::new(), 0, 0);
        while let Some(start) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let Some(length) = self.secret_at(start, bytes.get(at..).unwrap_or_default()) else {
                at += 1;
                continue;
            };
            clean += text.get(kept..end_of(at)).unwrap_or_default();
            clean += "***";
            at += length;
            kept = end_of(at);
        }
        clean + text.get(kept..).unwrap_or_default()
    }

    /// The length of the longest secret with which these bytes begin.
    fn secret_at(&self, start: &[u8; MIN_SECRET_LEN], bytes: &[u8]) -> Option<usize> {
        let secrets = self.0.get(start)?.iter().map(|secret| secret.expose_secret().as_bytes());
        secrets.filter(|secret| bytes.starts_with(secret)).map(<[u8]>::len).max()
    }
}

/// The bytes of a text in lower case and without percent-encoding, and where each of them ends in the text.
fn plain(text: &str) -> (Vec<u8>, Vec<usize>) {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut rest, mut plain) = (text.as_bytes(), (Vec::new(), Vec::new()));
    while let [first, after @ ..] = rest {
        let encoded = match (first, after) {
            (b'%', [high, low, after @ ..]) => digit(high).zip(digit(low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = encoded.unwrap_or((*first, after));
        plain.0.push(byte.to_ascii_lowercase());
        plain.1.push(text.len() - after.len());
        rest = after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let mut redactor = Redactor(BTreeMap::new());
        for secret in secrets {
            redactor.add(&(*secret).into());
        }
        redactor
    }

    #[test]
    fn every_occurrence_of_a_secret_is_replaced() {
        let redactor = redactor(&["0123456789abcdef", "fedcba9876543210"]);
        assert_eq!(redactor.redact("<0123456789abcdef0123456789abcdef fedcba9876543210>"), "<****** ***>");
        assert_eq!(redactor.redact("é0123456789abcdefé%é"), "é***é%é");
        assert_eq!(redactor.redact("0123456789abcde"), "0123456789abcde");
    }

    #[test]
    fn a_secret_is_replaced_in_upper_case_and_percent_encoded() {
        let redactor = redactor(&["0123456789abcdef/+é%2f"]);
        for text in ["0123456789ABCDEF/+é%2f", "%30123456789abcdef%2f%2B%c3%A9%2f", "0123456789abcdef/+%C3%A9/"] {
            assert_eq!(redactor.redact(&format!("k={text}&é")), "k=***&é", "{text}");
        }
    }

    #[test]
    fn of_two_secrets_with_the_same_start_the_longer_one_is_replaced_whole() {
        let redactor = redactor(&["0123456789abcdef", "0123456789abcdef-x"]);
        assert_eq!(redactor.redact("0123456789abcdef-x 0123456789abcdef-y"), "*** ***-y");
    }

    #[test]
    fn a_value_that_is_too_short_for_a_secret_is_not_replaced() {
        assert_eq!(redactor(&["stat"]).redact("status"), "status");
    }
}
