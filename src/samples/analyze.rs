//! One analysis: sends a document, waits for the result, and deletes it.

use std::time::Duration;

use crate::api::version::ApiVersion;
use crate::client::{Client, RetryPolicy};
use crate::document::{Document, Reading};
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, ModelId};
use crate::operation::{OperationStatus, OperationUrl};

/// Delay between reads of a result. The service recommends one second.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a deletion may take after the end of the command.
const DELETION_TIME: Duration = Duration::from_secs(5);

/// A model on one resource.
pub(super) struct Analyzer<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) version: ApiVersion,
    pub(super) kind: Kind,
    pub(super) id: &'a ModelId,
}

/// What came of an analysis.
pub(super) struct Analyzed {
    pub(super) reading: Result<Reading, Error>,
    /// Why the result could not be deleted, if the version deletes results.
    pub(super) undeleted: Option<Error>,
}

impl Analyzer<'_> {
    /// Analyzes a document. The request is not repeated where the service may have carried it out: it is billed.
    pub(super) async fn analyze(&self, document: &Document) -> Analyzed {
        let call = self.version.wire().analyze(self.kind, self.id, document, self.client.endpoint());
        let url = match self.client.send(&call, RetryPolicy::ANALYZE).await {
            Ok(response) => response.value,
            Err(error) => return Analyzed { reading: Err(self.not_analyzed(error)), undeleted: None },
        };
        let reading = self.result(&url).await;
        Analyzed { reading, undeleted: self.delete(&url).await.err() }
    }

    async fn result(&self, url: &OperationUrl) -> Result<Reading, Error> {
        let call = self.version.wire().analysis(self.id, url);
        loop {
            let analysis = match self.client.read(&call).await {
                Ok(analysis) => analysis,
                Err(error) if self.client.is_past_deadline() => return Err(self.past_deadline().with_source(error)),
                Err(error) => return Err(error),
            };
            if analysis.status == OperationStatus::Succeeded {
                return Ok(analysis.reading);
            }
            let resource = self.client.label();
            if analysis.status.is_terminal() {
                let error = Error::new(ErrorKind::Failed, format!("the analysis on {resource} {}", analysis.status));
                return Err(match analysis.error {
                    Some(words) => error.with_source(words),
                    None => error,
                });
            }
            if self.client.is_past_deadline() {
                return Err(self.past_deadline());
            }
            self.client.pause(POLL_INTERVAL).await?;
        }
    }

    fn past_deadline(&self) -> Error {
        let what = format!("the deadline passed before the analysis on {} ended", self.client.label());
        Error::new(ErrorKind::Unavailable, what)
            .with_remedy("run the command again with a longer --timeout, or with fewer samples")
    }

    /// Deletes a result. After cancellation or the deadline a short time is left for it.
    async fn delete(&self, url: &OperationUrl) -> Result<(), Error> {
        let Some(call) = self.version.wire().delete_analysis(self.kind, url) else { return Ok(()) };
        let is_over = || self.client.is_cancelled() || self.client.is_past_deadline();
        let mut deleted = self.client.send(&call, RetryPolicy::READ).await;
        if deleted.is_err() && is_over() {
            let policy = RetryPolicy::cleanup(self.client.release_deadline(DELETION_TIME));
            deleted = self.client.send(&call, policy).await;
        }
        match deleted {
            // The answer to an earlier deletion got lost.
            Err(error) if error.http_status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    fn not_analyzed(&self, error: Error) -> Error {
        let resource = self.client.label();
        if !error.is_ambiguous() || error.is_interrupted() {
            return error;
        }
        let what = format!("{resource} did not answer the analysis, which may have been carried out and billed");
        Error::new(error.kind(), what)
            .with_source(error)
            .with_remedy("run the command again, if the pages may be billed once more")
    }
}
