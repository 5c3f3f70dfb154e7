//! What happens during a copy, for displays and for the report.

use std::time::Duration;

use jiff::Timestamp;

use tokio::time::Instant;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::error::Error;
use crate::model::{Kind, Model, ModelId};
use crate::operation::{OperationStatus, OperationUrl};
use crate::resource::{Side, TargetAddress};
use crate::text::UntrustedText;

/// One event of a copy.
#[derive(Debug)]
pub enum Event<'a> {
    /// The reads of both sides start.
    Preflight,
    /// The reads of one side start; the other side belongs to another party.
    PreflightOf(Side),
    /// A read was inconclusive; the copy proceeds without it.
    Inconclusive {
        /// Why.
        error: &'a Error,
    },
    /// The API version is known, and the source model, where the source shows it.
    Found {
        /// The version that the copy uses.
        version: ApiVersion,
        /// A model or a classifier.
        kind: Kind,
        /// The version that shows the model.
        shown_by: ApiVersion,
        /// The model as the source shows it.
        model: Option<&'a Model>,
    },
    /// The model that is going to be replaced was trained later than the one that replaces it.
    ReplacesNewer {
        /// The model of the target.
        target_model_id: &'a ModelId,
        /// When that one was trained.
        theirs: Timestamp,
        /// When the source's one was trained.
        ours: Timestamp,
    },
    /// The copy waits for its turn.
    Waiting {
        /// The version that the copy uses.
        version: ApiVersion,
        /// When the next start is allowed, if a limit of starts per minute is known.
        until: Option<Instant>,
    },
    /// The copy has waited for its turn, and begins.
    LeftQueue,
    /// The copy has waited for its turn, and is not authorized: the target cannot be reached.
    NotTried,
    /// The target has authorized the copy and reserved an id.
    Authorized {
        /// The authorization.
        authorization: &'a CopyAuthorization,
        /// Where the target is in Azure, if the source must be told (v2.1).
        address: Option<&'a TargetAddress>,
        /// The service's id of the request.
        request_id: Option<&'a UntrustedText>,
    },
    /// The source has accepted the copy.
    Started {
        /// The operation to poll.
        operation: &'a OperationUrl,
        /// The service's id of the request; none where the operation was found in a list.
        request_id: Option<&'a UntrustedText>,
    },
    /// A poll was answered.
    Polled {
        /// The status of the operation.
        status: &'a OperationStatus,
        /// The service's id of the request.
        request_id: Option<&'a UntrustedText>,
    },
    /// A poll failed, which says nothing about the copy.
    PollFailed(&'a Error),
    /// A request will be sent again.
    Retrying {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// The operation succeeded; the target is being read.
    Verifying,
    /// The operation succeeded, and the reads of the target were inconclusive.
    NotVerified {
        /// Why.
        error: &'a Error,
    },
    /// The source model was trained again before it was copied.
    TrainedAgain {
        /// The version that shows it.
        shown_by: ApiVersion,
        /// The source model as it was copied. None where the source does not show it any more.
        model: Option<&'a Model>,
    },
    /// The operation succeeded; only the target's operator can read the target.
    NotVerifiable,
    /// The copy was not made, and only the target's operator can release the reserved id.
    ReservedForOtherParty {
        /// The reserved id; in v2.1 a blank model.
        target_model_id: &'a ModelId,
    },
    /// An authorize request without an answer may have reserved its id, which is not released (v3.0 and later).
    IdMayBeReserved {
        /// The id that was asked for.
        target_model_id: &'a ModelId,
        /// Whether the journal keeps the request, so that the next run releases the id.
        is_recorded: bool,
    },
    /// Authorize requests without an answer may each have left a blank model, which is not deleted (v2.1).
    BlankModelsMayRemain {
        /// The models that may be meant, as far as they are known.
        candidates: &'a [ModelId],
        /// How many requests had no answer.
        requests: usize,
    },
    /// The copy failed, and its blank model stays on the target: only the source says that it belongs to the copy.
    BlankLeft {
        /// Its id.
        target_model_id: &'a ModelId,
    },
    /// The start request got no answer: its effect is being looked for.
    RecoveringStart {
        /// Why.
        error: &'a Error,
    },
    /// The operation of a repeated start failed or has no verdict. It does not stand for the copy: the first start may.
    RepeatInconclusive,
    /// The start was not carried out; a new authorization is asked for.
    StartingOver,
    /// The target shows a ready model under the reserved id. It is left alone.
    ReadyOnTarget {
        /// The id.
        target_model_id: &'a ModelId,
    },
    /// The authorization of another party has expired by this machine's clock. The service decides whether it has.
    SeemsExpired {
        /// When, by the target's clock.
        expires: Timestamp,
    },
    /// The authorization of another party gives the copy another id than that of its source.
    NamedByOtherParty {
        /// The id of the copy.
        target_model_id: &'a ModelId,
    },
    /// How many models the target has and may have.
    Capacity(Capacity),
    /// The target has recent blank v2.1 models that may become copies: the command waits for them.
    WaitingForBlanks {
        /// How many.
        count: usize,
    },
    /// A copy to this id is already running, started by an earlier command; it is polled.
    Adopted {
        /// The id.
        target_model_id: &'a ModelId,
        /// The operation to poll.
        operation: &'a OperationUrl,
    },
    /// An earlier command, which has ended, began a copy with this id; it is continued.
    Continued {
        /// A model or a classifier.
        kind: Kind,
        /// The id of the copy.
        target_model_id: &'a ModelId,
        /// The operation, if it is known.
        operation: Option<&'a OperationUrl>,
    },
    /// Another process with the same manifest is copying the model: the command waits for it.
    WaitingForOther,
    /// A running copy that is only known from its operation URL has a terminal status.
    Resumed {
        /// A model or a classifier.
        kind: Kind,
        /// The id of the copy.
        target_model_id: &'a ModelId,
    },
    /// The adopted copy came to nothing.
    AdoptionEnded,
    /// The target already has the copy.
    AlreadyThere {
        /// Its id.
        target_model_id: &'a ModelId,
    },
    /// The target does not have a copy of the model that is known.
    CopyMissing {
        /// Its id.
        target_model_id: &'a ModelId,
    },
    /// In a replacement, the new copy is first made under another id.
    Staging {
        /// The other id.
        staging_id: &'a ModelId,
    },
    /// The staging copy is there.
    Staged,
    /// A model was deleted from the target: the replaced one, or a staging copy.
    Deleted {
        /// Its id.
        target_model_id: &'a ModelId,
    },
    /// The target does not show the copy under its final id, so the staging copy is kept.
    StagingKept {
        /// Its id.
        staging_id: &'a ModelId,
    },
    /// The copy has its final id, and the staging copy could not be deleted.
    StagingLeft {
        /// Its id.
        staging_id: &'a ModelId,
        /// What the target answered.
        error: &'a Error,
    },
    /// A reserved and unused id was released: the target said that it is deleted.
    Released {
        /// The id.
        target_model_id: &'a ModelId,
    },
    /// A reserved id is not released: the source lists a copy to it that this command has not started, as far as it knows.
    UsedByOther {
        /// The id.
        target_model_id: &'a ModelId,
    },
    /// A reserved and unused id could not be released.
    NotReleased {
        /// The id; in v2.1 a blank model.
        target_model_id: &'a ModelId,
        /// What the target answered.
        error: &'a Error,
    },
}

/// Receives each [`Event`].
pub type Observer<'a> = &'a dyn Fn(Event<'_>);
