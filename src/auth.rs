//! How a resource lets us in: with one of its keys, or with tokens of Microsoft Entra ID that are renewed in time.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tracing::info;

use crate::error::{Error, ErrorKind};

/// A token is renewed this long before it expires, or in the middle of its life where that is later.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);
/// How long a token that could not be renewed, and is still good, is used before that is tried again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);
/// A file that is longer holds something else than a token.
const LONGEST_TOKEN_FILE: u64 = 64 * 1024;

/// What a resource lets us in with. It cannot be printed.
#[derive(Debug, Clone)]
pub enum Credential {
    /// One of the two keys of the resource.
    Key(Key),
    /// Tokens of Microsoft Entra ID.
    Tokens(Tokens),
}

/// Which of the two ways in was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// With a key of the resource.
    Key,
    /// With a token of Microsoft Entra ID.
    Token,
}

impl Credential {
    /// Which way in it is.
    #[must_use]
    pub fn auth_method(&self) -> AuthMethod {
        match self {
            Self::Key(_) => AuthMethod::Key,
            Self::Tokens(_) => AuthMethod::Token,
        }
    }

    /// What the next request is let in with.
    ///
    /// # Errors
    /// When no token is to be had.
    pub async fn header(&self) -> Result<AuthHeader, Error> {
        match self {
            Self::Key(key) => Ok(key.0.clone()),
            Self::Tokens(tokens) => tokens.header().await,
        }
    }

    /// Another pass than the one that was refused, where there is one to be had.
    pub async fn refreshed(&self, refused: &AuthHeader) -> Option<AuthHeader> {
        match self {
            Self::Key(_) => None,
            Self::Tokens(tokens) => tokens.refreshed(refused).await,
        }
    }
}

/// The header that lets one request in, marked as sensitive. It is redacted when printed.
#[derive(Debug, Clone)]
pub struct AuthHeader {
    name: &'static str,
    value: HeaderValue,
    secret: SecretString,
}

impl AuthHeader {
    fn new(name: &'static str, before: &str, secret: &SecretString, remedy: &'static str) -> Result<Self, Error> {
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Err(Error::settings("it is empty", remedy));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::settings("it contains blanks or characters that it cannot have", remedy));
        }
        let mut value = HeaderValue::from_str(&format!("{before}{text}"))
            .map_err(|_| Error::settings("it contains characters that it cannot have", remedy))?;
        value.set_sensitive(true);
        Ok(Self { name, value, secret: SecretString::from(text) })
    }

    /// The header's name in lower case, and its value.
    #[must_use]
    pub fn header(&self) -> (&'static str, HeaderValue) {
        (self.name, self.value.clone())
    }

    /// The key or the token itself, to find it where it does not belong.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    fn is(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A key of a resource: visible ASCII, blanks around it dropped. It is redacted when printed.
#[derive(Debug, Clone)]
pub struct Key(AuthHeader);

impl Key {
    /// Takes a key as a person or a file gives it.
    ///
    /// # Errors
    /// When it is empty or cannot be a key. The error does not repeat it.
    pub fn new(secret: &SecretString) -> Result<Self, Error> {
        const REMEDY: &str = "copy KEY 1 or KEY 2 from the resource's page Keys and Endpoint";
        AuthHeader::new("ocp-apim-subscription-key", "", secret, REMEDY).map(Self)
    }
}

/// An access token of Microsoft Entra ID, and how long it is good. It is redacted when printed.
#[derive(Debug, Clone)]
pub struct Token {
    pass: AuthHeader,
    /// From when on another one is asked for.
    renewed_at: Timestamp,
    /// When the service stops to take it, where that is known.
    expires: Option<Timestamp>,
}

impl Token {
    /// A token that is good until a time; where nobody knows it, its source is asked for each request.
    ///
    /// # Errors
    /// When it is empty or cannot be a token. The error does not repeat it.
    pub fn new(secret: &SecretString, expires: Option<Timestamp>) -> Result<Self, Error> {
        const REMEDY: &str = "take the token from the field accessToken of `az account get-access-token --resource https://cognitiveservices.azure.com`";
        let pass = AuthHeader::new("authorization", "Bearer ", secret, REMEDY)?;
        let now = Timestamp::now();
        let renewed_at = expires.map_or(Timestamp::MIN, |expires| {
            let half = Duration::try_from(now.duration_until(expires)).unwrap_or_default() / 2;
            expires - RENEWED_BEFORE.min(half)
        });
        Ok(Self { pass, renewed_at, expires })
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        self.pass.secret()
    }

    fn is_good_at(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now < expires)
    }
}

/// A token on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Token, Error>> + 'a>>;

/// Where tokens come from.
pub trait TokenSource: fmt::Debug {
    /// Asks for a token that is not older than it must be.
    fn fetch(&self) -> Fetching<'_>;
}

/// The tokens of one identity. Whoever shares them asks for a new one together.
#[derive(Debug, Clone)]
pub struct Tokens {
    source: Rc<dyn TokenSource>,
    held: Rc<Mutex<Option<Token>>>,
}

impl Tokens {
    /// Tokens of a source, none of which has been asked for.
    pub fn of(source: impl TokenSource + 'static) -> Self {
        Self { source: Rc::new(source), held: Rc::default() }
    }

    /// The token that is held, or a new one when it is time for that. While the old one is good, it is no failure that no
    /// new one is to be had.
    async fn header(&self) -> Result<AuthHeader, Error> {
        let mut held = self.held.lock().await;
        let now = Timestamp::now();
        if let Some(token) = &*held
            && now < token.renewed_at
        {
            return Ok(token.pass.clone());
        }
        match (self.source.fetch().await, &mut *held) {
            (Ok(token), held) => Ok(held.insert(token).pass.clone()),
            (Err(error), Some(token)) if token.is_good_at(now) => {
                info!("the token is used a while longer: {error}");
                token.renewed_at = now + PAUSE_AFTER_FAILURE;
                Ok(token.pass.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn refreshed(&self, refused: &AuthHeader) -> Option<AuthHeader> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|token| !token.pass.is(refused)) {
            return Some(token.pass.clone());
        }
        let token = self.source.fetch().await.inspect_err(|error| info!("there is no other token: {error}")).ok()?;
        Some(held.insert(token).pass.clone()).filter(|pass| !pass.is(refused))
    }
}

/// A token that somebody else has asked for, and nobody renews.
#[derive(Debug)]
pub struct ReadyToken(Token);

impl ReadyToken {
    /// Takes a token as a person or a file gives it.
    ///
    /// # Errors
    /// When it is empty or cannot be a token. The error does not repeat it.
    pub fn new(secret: &SecretString) -> Result<Self, Error> {
        Token::new(secret, None).map(Self)
    }
}

impl TokenSource for ReadyToken {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A file with a token that somebody else keeps fresh. It is read for each request.
#[derive(Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// Takes a file that has a token now.
    ///
    /// # Errors
    /// When it cannot be read, or holds no token.
    pub fn new(path: PathBuf) -> Result<Self, Error> {
        let file = Self(path);
        file.read().map(|_| file)
    }

    fn read(&self) -> Result<Token, Error> {
        const REMEDY: &str = "check that the file is there, may be read and holds nothing but the token";
        let text = File::open(&self.0).and_then(|file| read_limited(file, LONGEST_TOKEN_FILE));
        let text = text.map_err(|error| Error::settings("it cannot be read", REMEDY).with_source(error))?;
        Token::new(&text.into(), None)
    }
}

impl TokenSource for TokenFile {
    fn fetch(&self) -> Fetching<'_> {
        let lost = |error: Error| {
            Error::new(ErrorKind::Credentials, "the token file has no token any more")
                .with_remedy(error.remedy().unwrap_or_default())
                .with_source(error)
        };
        Box::pin(async move { self.read().map_err(lost) })
    }
}

/// Everything that there is to read, unless it is longer than it should be.
///
/// # Errors
/// When it is too long, no text, or cannot be read.
pub fn read_limited(from: impl Read, longest: u64) -> io::Result<String> {
    let mut text = String::new();
    from.take(longest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > longest { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::SignedDuration;

    use super::*;

    /// Gives out tokens that are good for so many seconds each, until it fails.
    #[derive(Debug)]
    struct Scripted(RefCell<Vec<Result<(&'static str, i64), &'static str>>>);

    impl TokenSource for Scripted {
        fn fetch(&self) -> Fetching<'_> {
            let next = self.0.borrow_mut().remove(0);
            Box::pin(async move {
                let (text, seconds) = next.map_err(|what| Error::new(ErrorKind::Unavailable, what))?;
                Token::new(&text.into(), Some(Timestamp::now() + SignedDuration::from_secs(seconds)))
            })
        }
    }

    fn credential(script: &[Result<(&'static str, i64), &'static str>]) -> Credential {
        Credential::Tokens(Tokens::of(Scripted(RefCell::new(script.to_vec()))))
    }

    async fn next(credential: &Credential) -> Result<String, String> {
        let pass = credential.header().await.map_err(|error| error.to_string())?;
        Ok(pass.secret().expose_secret().to_owned())
    }

    #[test]
    fn a_key_is_trimmed_checked_and_never_shown() {
        let key = Key::new(&SecretString::from(" s3cret\n")).unwrap();
        assert_eq!(key.0.secret.expose_secret(), "s3cret");
        assert!(!format!("{key:?}").contains("s3cret"));
        for text in ["", "  ", "two words", "tab\tin", "umläut"] {
            let error = Key::new(&SecretString::from(text)).unwrap_err();
            assert!(text.trim().is_empty() || !format!("{error:?}").contains(text));
        }
    }

    #[tokio::test]
    async fn a_token_is_used_until_shortly_before_it_expires_and_never_shown() {
        let credential = credential(&[Ok(("first", 3600)), Ok(("second", 3600))]);
        assert_eq!(next(&credential).await.as_deref(), Ok("first"));
        assert_eq!(next(&credential).await.as_deref(), Ok("first"));
        assert!(!format!("{credential:?}").contains("first"));
        let pass = credential.header().await.unwrap();
        assert_eq!(pass.header().1.to_str().unwrap(), "Bearer first");
        assert!(!format!("{pass:?}").contains("first"));
    }

    #[tokio::test]
    async fn a_token_that_has_expired_is_replaced_and_one_that_is_good_outlives_a_failure() {
        let expired = credential(&[Ok(("first", -1)), Ok(("second", 3600))]);
        assert_eq!(next(&expired).await.as_deref(), Ok("first"));
        assert_eq!(next(&expired).await.as_deref(), Ok("second"));
        let failing = credential(&[Ok(("first", -1)), Err("no answer")]);
        assert_eq!(next(&failing).await.as_deref(), Ok("first"));
        assert_eq!(next(&failing).await, Err("no answer".into()));
        let still_good = credential(&[Ok(("first", 3600)), Err("no answer")]);
        let Credential::Tokens(tokens) = &still_good else { panic!() };
        assert_eq!(next(&still_good).await.as_deref(), Ok("first"));
        tokens.held.lock().await.as_mut().unwrap().renewed_at = Timestamp::MIN;
        for _ in 0..3 {
            // The second and third time nobody is asked: the script is at its end.
            assert_eq!(next(&still_good).await.as_deref(), Ok("first"));
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_exchanged_for_another_one_and_not_for_itself() {
        let credential = credential(&[Ok(("first", 3600)), Ok(("second", 3600)), Ok(("second", 3600))]);
        let first = credential.header().await.unwrap();
        let second = credential.refreshed(&first).await.unwrap();
        assert_eq!(second.secret().expose_secret(), "second");
        // Whoever comes later with the old one gets the new one without anybody being asked.
        assert!(credential.refreshed(&first).await.unwrap().is(&second));
        assert!(credential.refreshed(&second).await.is_none());
    }
}
