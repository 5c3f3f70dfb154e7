//! Authentication: resource keys and Microsoft Entra ID tokens.

#[cfg(feature = "entra")]
pub(crate) mod entra;
mod key;
mod token;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::error::Error;
use crate::redactor::remember;
pub use key::Key;
#[cfg(feature = "entra")]
pub(crate) use token::Token;
pub(crate) use token::{StaticToken, TokenCache, TokenFile, TokenFuture, TokenSource};

/// The credential of one resource. `Debug` redacts it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// One of the two keys of the resource.
    Key(Key),
    /// Microsoft Entra ID tokens.
    Tokens(TokenCache),
}

/// The authentication method of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// A key of the resource.
    Key,
    /// A Microsoft Entra ID token.
    Token,
}

impl Credential {
    /// The authentication method.
    #[must_use]
    pub fn auth_method(&self) -> AuthMethod {
        match self {
            Self::Key(_) => AuthMethod::Key,
            Self::Tokens(_) => AuthMethod::Token,
        }
    }

    /// Returns the header that authenticates the next request.
    ///
    /// # Errors
    /// When no token can be obtained.
    pub async fn header(&self) -> Result<AuthHeader, Error> {
        match self {
            Self::Key(key) => Ok(key.header()),
            Self::Tokens(tokens) => tokens.header().await,
        }
    }

    /// Returns a header with another secret than the `rejected` one, if one can be obtained. A key has no replacement.
    pub async fn refreshed(&self, rejected: &AuthHeader) -> Option<AuthHeader> {
        match self {
            Self::Key(_) => None,
            Self::Tokens(tokens) => tokens.refreshed(rejected).await,
        }
    }
}

/// The HTTP header that authenticates a request. Its value is marked as sensitive, and `Debug` redacts it.
#[derive(Debug, Clone)]
pub struct AuthHeader {
    name: &'static str,
    value: HeaderValue,
    secret: SecretString,
}

impl AuthHeader {
    /// Trims and checks a secret and puts it into a header value after `prefix`.
    fn new(name: &'static str, prefix: &str, secret: &SecretString, remedy: &'static str) -> Result<Self, Error> {
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Err(Error::settings("it is empty", remedy));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::settings("it contains spaces or characters that are not allowed", remedy));
        }
        let mut value = HeaderValue::from_str(&format!("{prefix}{text}"))
            .map_err(|_| Error::settings("it contains characters that are not allowed", remedy))?;
        value.set_sensitive(true);
        let secret = SecretString::from(text);
        remember(&secret);
        Ok(Self { name, value, secret })
    }

    /// The header's name in lower case, and its value.
    #[must_use]
    pub fn header(&self) -> (&'static str, HeaderValue) {
        (self.name, self.value.clone())
    }

    /// The key or the token, which no text of this process shows from now on.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    fn has_value_of(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
