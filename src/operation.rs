//! A copy operation: its URL, and its status.

use std::fmt;

use url::Url;

use crate::error::{Error, ErrorKind, ServiceError};
use crate::model::{Kind, ModelId};
use crate::redactor::redact;
use crate::resource::Endpoint;
use crate::text::UntrustedText;

/// The URL of an operation: an Operation-Location on the source's own scheme, host and port, without a fragment.
///
/// Path and query are opaque and used as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationUrl {
    url: Url,
    /// The text for people. It is shown without secrets: a service may put one there.
    shown: String,
}

impl OperationUrl {
    /// Checks an Operation-Location that the source sent, which may be relative to it.
    ///
    /// # Errors
    /// When it is not a URL or leads to another origin. Nothing may be sent there: the key is for the source only.
    pub fn new(location: &str, source: &Endpoint) -> Result<Self, Error> {
        let url = source.resolve(location).ok().filter(|url| source.is_origin_of(url) && url.path() != "/");
        let mut url = url.ok_or_else(|| {
            Error::new(ErrorKind::Unforeseen, format!("the Operation-Location does not name an operation on {source}"))
        })?;
        url.set_fragment(None);
        // In a shell command it stands between single quotes.
        Ok(Self { shown: url.as_str().replace('\'', "%27"), url })
    }

    /// The id of the model that is copied, which v2.1 has in the path: `…/models/{id}/copyresults/…`.
    #[must_use]
    pub fn source_model_id(&self) -> Option<ModelId> {
        let segments: Vec<_> = self.url.path_segments()?.collect();
        let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("copyresults"))?;
        segments.get(at.checked_sub(1)?)?.parse().ok()
    }

    /// Whether it is the URL of the operation with this id, which is the last segment of its path.
    pub(crate) fn has_id(&self, id: &UntrustedText) -> bool {
        self.last_segment() == Some(id.raw())
    }

    /// Whether it names a collection, and no operation of it.
    pub(crate) fn is_collection(&self) -> bool {
        matches!(self.last_segment(), None | Some("" | "operations" | "copyresults"))
    }

    fn last_segment(&self) -> Option<&str> {
        self.url.path_segments()?.next_back()
    }

    /// Path and query, for requests to the source.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Display for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.shown))
    }
}

/// An operation as the source shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its status.
    pub status: OperationStatus,
    /// Why it failed, when it did and the service says why.
    pub error: Option<ServiceError>,
    /// The id of the copy, where the answer names it.
    pub target_model_id: Option<ModelId>,
    /// Where the copy will be, without the query, where the answer says so (v3.0 and later).
    pub target_location: Option<UntrustedText>,
    /// A model or a classifier, where the answer says so.
    pub kind: Option<Kind>,
}

/// The status of an operation. Only a terminal status is a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationStatus {
    /// Accepted, not yet running.
    NotStarted,
    /// Running.
    Running,
    /// Done: the copy is there.
    Succeeded,
    /// Done: there is no copy.
    Failed,
    /// Canceled by the service.
    Canceled,
    /// Skipped by the service (v4.0).
    Skipped,
    /// A status that this version of frcopy does not know. It is not a verdict.
    Unknown(UntrustedText),
}

impl OperationStatus {
    /// Whether the status is terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled | Self::Skipped)
    }
}

impl OperationStatus {
    /// The status that the service's word means. The word is compared as it came.
    #[must_use]
    pub fn new(word: &UntrustedText) -> Self {
        match word.raw() {
            "notStarted" => Self::NotStarted,
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "skipped" => Self::Skipped,
            _ => Self::Unknown(word.clone()),
        }
    }
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::NotStarted => "notStarted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Unknown(word) => return word.fmt(f),
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_url_is_used_as_it_came() {
        let source = "https://a.example".parse().unwrap();
        let location =
            "https://a.example/formrecognizer/v2.1/custom/models/x/copyresults/31_Y?api-version=2024-11-30&z=%2F";
        let url = OperationUrl::new(location, &source).unwrap();
        assert_eq!(url.to_string(), location);
        assert_eq!(url.path_and_query(), &location["https://a.example".len()..]);
        assert!(url.has_id(&"31_Y".into()) && !url.has_id(&"1_Y".into()));
    }

    #[test]
    fn an_operation_url_that_leads_away_from_the_source_is_refused() {
        let source = "https://a.example".parse().unwrap();
        for location in [
            "https://evil.example/x",
            "http://a.example/x",
            "https://a.example:8443/x",
            "//evil.example/x",
            "https://k@a.example/",
            "https://",
            "",
            "/",
        ] {
            assert!(OperationUrl::new(location, &source).is_err(), "{location}");
        }
    }

    #[test]
    fn only_an_end_is_a_verdict() {
        for word in ["succeeded", "failed", "canceled", "skipped"] {
            assert!(OperationStatus::new(&word.into()).is_terminal(), "{word}");
        }
        for word in ["notStarted", "running", "completed", "Succeeded", "", "failed\u{0}", " succeeded"] {
            assert!(!OperationStatus::new(&word.into()).is_terminal(), "{word}");
        }
    }
}
