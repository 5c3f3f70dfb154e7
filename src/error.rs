//! What went wrong: what happened, what it means for the caller, the service's own words, and what to do.

use std::error::Error as StdError;
use std::time::Duration;

/// Says what the caller may do about an [`Error`]. Coarse on purpose, and exhaustive: the exit codes are one `match` on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The settings contradict each other or the service: correct the call.
    Settings,
    /// The service refuses the key, token or role (401, 403).
    Credentials,
    /// There is no such model, operation, resource or API version.
    NotFound,
    /// The target model id exists, or an authorization has reserved it.
    Exists,
    /// The service understood the request and will not do it.
    Refused,
    /// The copy was carried out and failed: the service's verdict.
    Failed,
    /// The copy was canceled on the service's side.
    Canceled,
    /// The service skipped the copy.
    Skipped,
    /// Not reachable, throttled or out of quota, and nothing is under way: try again later.
    Unavailable,
    /// The copy was accepted and there is no verdict yet: follow its operation.
    UnderWay,
    /// Somebody stopped the command before its end.
    Interrupted,
    /// Something nobody foresaw, or a request of which nobody knows whether the service acted on it: look first.
    Unforeseen,
}

/// Whether a request that ended in an [`Error`] reached the service, which decides if it may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It never left: no connection could be made, but one may be made later.
    NotSent,
    /// The service turned it away unprocessed (429, 503), and may have said how long to wait.
    Throttled {
        /// The wait that `Retry-After` asks for, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// It was sent and no usable answer came: lost connection, time-out, 408, 5xx, an unreadable body.
    Unanswered,
    /// The call volume of the resource is used up; the wait is of days, not of seconds.
    OutOfQuota {
        /// The wait that `Retry-After` asks for, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// The service answered, or the request can never be sent: again would be the same.
    Final,
}

/// What a refusal says for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing: somebody else may have answered, or the service knows neither.
    Inconclusive,
    /// The service itself said so and meant it, in its own envelope.
    Definitive,
    /// The service itself said that it has no such model.
    NoSuchModel,
}

/// Anything that can end a copy.
///
/// Its `Display` says what happened and never repeats its source; the chain of sources says why, the innermost of the
/// service's own words first.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: ErrorKind,
    delivery: Delivery,
    finding: Finding,
    what: Box<str>,
    remedy: Option<Box<str>>,
    request_id: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that says `what` happened: lower case, no final stop, without its cause.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            delivery: Delivery::Final,
            finding: Finding::Inconclusive,
            what: what.into().into(),
            remedy: None,
            request_id: None,
            source: None,
        }
    }

    /// The same error in the words of somebody who knows more.
    #[must_use]
    pub fn with_message(mut self, what: impl Into<String>) -> Self {
        self.what = what.into().into();
        self
    }

    /// A [`ErrorKind::Settings`] error with its remedy.
    pub fn settings(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ErrorKind::Settings, what).with_remedy(remedy)
    }

    /// Adds what to do: one imperative sentence.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into().into());
        self
    }

    /// Adds why it happened.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the id under which the service's support finds the request (`apim-request-id`).
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id.map(Into::into);
        self
    }

    /// Says whether the request reached the service; [`Delivery::Final`] unless told.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Says what is certain after this error; [`Finding::Inconclusive`] unless told.
    #[must_use]
    pub fn with_finding(mut self, finding: Finding) -> Self {
        self.finding = finding;
        self
    }

    /// What the caller may do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the request reached the service.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// What is certain after this error.
    #[must_use]
    pub fn finding(&self) -> Finding {
        self.finding
    }

    /// What to do, of this error or of the nearest cause that knows.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.errors().find_map(|error| error.remedy.as_deref())
    }

    /// The service's id of the request that failed, of this error or of the nearest cause that has one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.errors().find_map(|error| error.request_id.as_deref())
    }

    /// The service's own words, when it said something.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceError> {
        self.causes().find_map(|cause| cause.downcast_ref::<ServiceError>())
    }

    /// Every cause, the nearest first.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(self.source(), |&cause| cause.source())
    }

    fn errors(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.causes().filter_map(|cause| cause.downcast_ref::<Self>()))
    }
}

/// The service's own words: a code and a message, the innermost first, the outer ones as its sources.
///
/// Codes are shown as they came; a message is for people and never looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// Such as `2024` or `ModelNotFound`. Some answers have none.
    pub code: Option<String>,
    /// The service's sentence, without control characters.
    pub message: String,
    /// The same failure in the next outer envelope, when that says something else.
    pub outer: Option<Box<ServiceError>>,
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.code, self.message.as_str()) {
            (Some(code), "") => f.write_str(code),
            (Some(code), message) => write!(f, "{code}: {message}"),
            (None, message) => f.write_str(message),
        }
    }
}

impl StdError for ServiceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.outer.as_deref().map(|outer| outer as _)
    }
}

/// An error and its sources, the outermost first.
pub(crate) fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost source of an error, or the error itself.
pub(crate) fn root_cause<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    chain(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_and_the_request_id_of_a_cause_are_those_of_the_whole_error() {
        let cause = Error::new(ErrorKind::Refused, "inner").with_remedy("do it").with_request_id(Some("id".into()));
        let error = Error::new(ErrorKind::UnderWay, "outer").with_source(cause);
        assert_eq!((error.remedy(), error.request_id()), (Some("do it"), Some("id")));
        assert_eq!(error.to_string(), "outer");
    }
}
