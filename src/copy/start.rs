//! The source's part of a copy: it is asked to start, once, and where no answer comes the service is asked what came of it.

use std::time::Duration;

use tokio::time::Instant;

use super::recover::Recovery;
use super::{Event, Observer, Report};
use crate::api::version::ApiVersion;
use crate::api::{self, Answer, Protocol};
use crate::authorization::CopyAuthorization;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use tokio_util::sync::CancellationToken;

/// Who is asked to copy, and who can say what came of it.
#[derive(Clone, Copy)]
pub(super) struct Starting<'a> {
    pub(super) source: &'a Client<'a>,
    /// Where the target's credential is somebody else's, nobody can ask it.
    pub(super) target: Option<&'a Client<'a>>,
    pub(super) observer: Observer<'a>,
    pub(super) cancel: &'a CancellationToken,
    pub(super) version: ApiVersion,
    pub(super) kind: Kind,
    pub(super) allow_degrade: bool,
    pub(super) poll_interval: Duration,
}

/// How an attempt to start a copy went on.
pub(super) enum Started {
    /// The source has accepted it.
    Follow(OperationUrl),
    /// The target has it already.
    Done,
    /// It came to nothing, for certain.
    Nothing(Error),
}

impl Starting<'_> {
    /// Asks the source to copy. Where no answer comes, the service is asked what came of it.
    pub(super) async fn start(
        &self,
        protocol: &dyn Protocol,
        model_id: &ModelId,
        authorization: &CopyAuthorization,
        report: &mut Report,
    ) -> Result<Started, Error> {
        may_begin(self.source, self.cancel)?;
        let mut request = protocol.start(model_id, authorization);
        if self.allow_degrade {
            request = request.allowing_degrade();
        }
        let endpoint = self.source.endpoint();
        let read = |answer: &Answer| Ok((api::read_start(answer, endpoint)?, answer.request_id()));
        let operation = match self.source.call(&request, RetryPolicy::START, read).await {
            Ok((operation, request_id)) => {
                report.request_ids.start = request_id;
                operation
            }
            // A conflict may be about the copy itself, whose first request somebody on the way has repeated.
            Err(error) if !is_ambiguous(&error) && error.kind() != ErrorKind::Exists => return Err(error),
            Err(error) => match self.recover(authorization, &error).await {
                Recovery::Found(operation) => operation,
                Recovery::Done => return Ok(Started::Done),
                Recovery::Nothing if error.kind() == ErrorKind::Exists => return Err(error),
                Recovery::Nothing => return Ok(Started::Nothing(never_started(error))),
                Recovery::Unknown => return Err(self.unknown_start(error, authorization)),
            },
        };
        report.operation = Some(operation.clone());
        (self.observer)(Event::Started { operation: &operation });
        Ok(Started::Follow(operation))
    }

    fn unknown_start(&self, error: Error, authorization: &CopyAuthorization) -> Error {
        let id = &authorization.target_model_id;
        let kind = if self.cancel.is_cancelled() { ErrorKind::Interrupted } else { ErrorKind::Unforeseen };
        Error::new(kind, "whether the copy was started is not known, and it cannot be followed")
            .with_delivery(Delivery::Unanswered)
            .with_source(error)
            .with_remedy(format!("look for {id} in the target resource before you run the command again"))
    }
}

/// Nothing that changes something is begun when the time is up, or after being told to stop.
pub(super) fn may_begin(client: &Client<'_>, cancel: &CancellationToken) -> Result<(), Error> {
    if cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Interrupted, "interrupted before the copy was started"));
    }
    if Instant::now() < client.deadline() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unavailable, "the time was up before the copy was started")
        .with_remedy("run the command again, with a longer --timeout"))
}

/// Whether nobody knows if the source acted on a start: it was sent, and no usable answer came.
pub(super) fn is_ambiguous(error: &Error) -> bool {
    error.delivery() == Delivery::Unanswered || error.kind() == ErrorKind::Unforeseen
}

fn never_started(error: Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the source has not started the copy, however often it was asked")
        .with_source(error)
        .with_remedy("run the command again in a few minutes")
}
