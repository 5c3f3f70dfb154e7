//! Microsoft Entra ID access tokens: a cache, and the sources that are not Entra ID itself.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tracing::info;

use super::AuthHeader;
use crate::error::{Error, ErrorKind};
use crate::text_file::read_text;

/// A token is renewed this long before it expires, or at half of its lifetime if that is later.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(5 * 60);
/// Delay before the next renewal attempt when a renewal failed and the cached token is still valid.
const RETRY_DELAY: Duration = Duration::from_secs(30);
/// Maximum size of a token file in bytes. A longer file is not a token.
const MAX_TOKEN_FILE: u64 = 64 * 1024;
/// The longest time for reading a token file.
const READ_TIME: Duration = Duration::from_secs(10);

/// A Microsoft Entra ID access token and its expiry time. `Debug` redacts it.
#[derive(Debug, Clone)]
pub struct Token {
    header: AuthHeader,
    /// When to ask the source for another token.
    renew_at: Timestamp,
    /// When the service stops accepting the token, if known.
    expires_at: Option<Timestamp>,
}

impl Token {
    /// Parses a token. Without an expiry time, its source is asked again before every request.
    ///
    /// # Errors
    /// When it is empty or cannot be a token. The error does not contain it.
    pub fn new(secret: &SecretString, expires_at: Option<Timestamp>) -> Result<Self, Error> {
        const REMEDY: &str = "take the token from the field accessToken of `az account get-access-token --resource https://cognitiveservices.azure.com`";
        let header = AuthHeader::new("authorization", "Bearer ", secret, REMEDY)?;
        let now = Timestamp::now();
        let renew_at = expires_at.map_or(Timestamp::MIN, |expires_at| {
            let half = Duration::try_from(now.duration_until(expires_at)).unwrap_or_default() / 2;
            expires_at - RENEW_BEFORE_EXPIRY.min(half)
        });
        Ok(Self { header, renew_at, expires_at })
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        self.header.secret()
    }

    fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now < expires_at)
    }
}

/// The future that [`TokenSource::fetch`] returns.
pub(crate) type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, Error>> + 'a>>;

/// A provider of access tokens.
pub trait TokenSource: fmt::Debug {
    /// Obtains a token.
    fn fetch(&self) -> TokenFuture<'_>;
}

/// Caches the token of a source. Clones share the cached token and its renewal.
#[derive(Debug, Clone)]
pub struct TokenCache {
    source: Rc<dyn TokenSource>,
    cached: Rc<Mutex<Option<Token>>>,
}

impl TokenCache {
    /// Creates an empty cache for a source.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self { source: Rc::new(source), cached: Rc::default() }
    }

    /// Returns the cached token, renewed if it is due. A failed renewal is not an error while the cached token is valid.
    pub(super) async fn header(&self) -> Result<AuthHeader, Error> {
        let mut cached = self.cached.lock().await;
        let now = Timestamp::now();
        if let Some(token) = &*cached
            && now < token.renew_at
        {
            return Ok(token.header.clone());
        }
        match (self.source.fetch().await, &mut *cached) {
            (Ok(token), cached) => Ok(cached.insert(token).header.clone()),
            (Err(error), Some(token)) if token.is_valid_at(now) => {
                info!("the token could not be renewed and is still valid: {error}");
                token.renew_at = now + RETRY_DELAY;
                Ok(token.header.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Returns a token other than the `rejected` one: the cached token if it differs, else a new one from the source.
    pub(super) async fn refreshed(&self, rejected: &AuthHeader) -> Option<AuthHeader> {
        let mut cached = self.cached.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| !token.header.has_value_of(rejected)) {
            return Some(token.header.clone());
        }
        let fetched = self.source.fetch().await;
        let token = fetched.inspect_err(|error| info!("the rejected token could not be replaced: {error}")).ok()?;
        Some(cached.insert(token).header.clone()).filter(|header| !header.has_value_of(rejected))
    }
}

/// A token that was obtained outside of frcopy and is not renewed.
#[derive(Debug)]
pub(crate) struct StaticToken(Token);

impl StaticToken {
    /// Parses a token as a person or a file gives it.
    ///
    /// # Errors
    /// When it is empty or cannot be a token. The error does not contain it.
    pub(crate) fn new(secret: &SecretString) -> Result<Self, Error> {
        Token::new(secret, None).map(Self)
    }
}

impl TokenSource for StaticToken {
    fn fetch(&self) -> TokenFuture<'_> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A file whose token another program renews. It is read before every request.
#[derive(Debug)]
pub(crate) struct TokenFile(PathBuf);

impl TokenFile {
    /// Checks that the file contains a token.
    ///
    /// # Errors
    /// When it cannot be read or does not contain a token.
    pub(crate) fn new(path: PathBuf) -> Result<Self, Error> {
        let file = Self(path);
        file.read().map(|_| file)
    }

    fn read(&self) -> Result<Token, Error> {
        Self::parse(read_text(&self.0, MAX_TOKEN_FILE, READ_TIME))
    }

    fn parse(text: io::Result<String>) -> Result<Token, Error> {
        const REMEDY: &str = "check that the file exists, is readable and contains nothing but the token";
        let text = text.map_err(|error| Error::settings("it cannot be read", REMEDY).with_source(error))?;
        Token::new(&text.into(), None)
    }
}

impl TokenSource for TokenFile {
    fn fetch(&self) -> TokenFuture<'_> {
        let no_token = |error: Error| {
            Error::new(ErrorKind::Credentials, "the token file no longer contains a token")
                .with_remedy(error.remedy().unwrap_or_default())
                .with_source(error)
        };
        let path = self.0.clone();
        // A file that cannot be read must not stop the other requests.
        let reading = tokio::task::spawn_blocking(move || read_text(&path, MAX_TOKEN_FILE, READ_TIME));
        Box::pin(async move {
            Self::parse(reading.await.unwrap_or_else(|error| Err(io::Error::other(error)))).map_err(no_token)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::SignedDuration;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::auth::Credential;

    /// Returns the scripted results in order: a token with its lifetime in seconds, or an error message.
    #[derive(Debug)]
    struct ScriptedSource(RefCell<Vec<Result<(&'static str, i64), &'static str>>>);

    impl TokenSource for ScriptedSource {
        fn fetch(&self) -> TokenFuture<'_> {
            let next = self.0.borrow_mut().remove(0);
            Box::pin(async move {
                let (text, seconds) = next.map_err(|message| Error::new(ErrorKind::Unavailable, message))?;
                Token::new(&text.into(), Some(Timestamp::now() + SignedDuration::from_secs(seconds)))
            })
        }
    }

    fn cache(script: &[Result<(&'static str, i64), &'static str>]) -> TokenCache {
        TokenCache::new(ScriptedSource(RefCell::new(script.to_vec())))
    }

    async fn next(cache: &TokenCache) -> Result<String, String> {
        let header = cache.header().await.map_err(|error| error.to_string())?;
        Ok(header.secret().expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_token_is_used_until_shortly_before_it_expires_and_never_shown() {
        let cache = cache(&[Ok(("first", 3600)), Ok(("second", 3600))]);
        assert_eq!(next(&cache).await.as_deref(), Ok("first"));
        assert_eq!(next(&cache).await.as_deref(), Ok("first"));
        let header = cache.header().await.unwrap();
        assert_eq!(header.header().1.to_str().unwrap(), "Bearer first");
        let credential = Credential::Tokens(cache);
        assert!(!format!("{credential:?} {header:?}").contains("first"));
    }

    #[tokio::test]
    async fn an_expired_token_is_replaced_and_a_valid_one_is_used_after_a_failed_renewal() {
        let expired = cache(&[Ok(("first", -1)), Ok(("second", 3600))]);
        assert_eq!(next(&expired).await.as_deref(), Ok("first"));
        assert_eq!(next(&expired).await.as_deref(), Ok("second"));
        let failing = cache(&[Ok(("first", -1)), Err("no answer")]);
        assert_eq!(next(&failing).await.as_deref(), Ok("first"));
        assert_eq!(next(&failing).await, Err("no answer".into()));
        let valid = cache(&[Ok(("first", 3600)), Err("no answer")]);
        assert_eq!(next(&valid).await.as_deref(), Ok("first"));
        valid.cached.lock().await.as_mut().unwrap().renew_at = Timestamp::MIN;
        for _ in 0..3 {
            // The second and the third call do not ask the source: the script has no further result.
            assert_eq!(next(&valid).await.as_deref(), Ok("first"));
        }
    }

    #[tokio::test]
    async fn a_rejected_token_is_replaced_by_another_one_and_not_by_itself() {
        let cache = cache(&[Ok(("first", 3600)), Ok(("second", 3600)), Ok(("second", 3600))]);
        let first = cache.header().await.unwrap();
        let second = cache.refreshed(&first).await.unwrap();
        assert_eq!(second.secret().expose_secret(), "second");
        // A later caller with the first token gets the cached second one without a request to the source.
        assert!(cache.refreshed(&first).await.unwrap().has_value_of(&second));
        assert!(cache.refreshed(&second).await.is_none());
    }
}
