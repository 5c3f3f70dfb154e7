//! What a run keeps on disk, so that after a crash the next run makes no second copy.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::authorization_file::AuthorizationFile;
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use crate::resource::{Endpoint, TargetAddress};
use crate::text::UntrustedText;

/// For how long an authorization of v3.0 and later reserves an id, and so may one that is lost.
pub(super) const RESERVATION_TIME: SignedDuration = SignedDuration::from_hours(1);

/// The entry of one authorization in a [`Journal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct EntryId(pub Uuid);

/// The authorize request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthorizeEntry<'a> {
    /// The source resource.
    pub source: &'a Endpoint,
    /// The target resource.
    pub target: &'a Endpoint,
    /// A model or a classifier.
    pub kind: Kind,
    /// The source model.
    pub source_id: &'a ModelId,
    /// The id that is asked for (v3.0 and later).
    pub target_id: Option<&'a ModelId>,
    /// The version of the copy.
    pub version: ApiVersion,
    /// The time by the target's own clock.
    pub target_time: Option<Timestamp>,
}

/// The start request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartEntry<'a> {
    /// The version of the copy.
    pub version: ApiVersion,
    /// A model or a classifier.
    pub kind: Kind,
    /// Where the target is in Azure (v2.1).
    pub address: Option<&'a TargetAddress>,
    /// The authorization, which the request uses up.
    pub authorization: &'a CopyAuthorization,
    /// The time by the source's own clock.
    pub source_time: Option<Timestamp>,
}

/// Which copy an entry is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyOf<'a> {
    /// The source resource.
    pub source: &'a Endpoint,
    /// The target resource.
    pub target: &'a Endpoint,
    /// A model or a classifier; `None` means both.
    pub kind: Option<Kind>,
    /// The source model.
    pub source_id: &'a ModelId,
    /// The id of the copy. Entries whose id the service chooses (v2.1) belong to every copy of the model.
    pub target_id: &'a ModelId,
}

/// What the journal says of the open entries of a copy.
pub(crate) enum Unfinished {
    /// A process that still runs owns one.
    OwnedByOther,
    /// They belong to this run from now on.
    Taken(Vec<OpenCopy>),
}

/// Whether an authorize request may be sent.
pub(crate) enum Announced {
    /// It may: this is its entry.
    As(EntryId),
    /// A process that still runs is making the copy.
    OwnedByOther,
    /// A run that has ended left an entry of the copy open: it must be taken over and finished first.
    LeftOpen,
}

/// An entry that an earlier run left open: it was killed, had no verdict, or lost the answer to its authorize request.
pub(crate) struct OpenCopy {
    /// The entry.
    pub id: EntryId,
    /// The source model.
    pub source_id: ModelId,
    /// The version of the copy.
    pub version: ApiVersion,
    /// The id that was asked for (v3.0 and later).
    pub target_id: Option<ModelId>,
    /// How far the earlier run came.
    pub step: OpenStep,
}

/// How far an earlier run came.
pub(crate) enum OpenStep {
    /// An authorize request was about to be sent, at this time by the target's clock.
    Authorizing(Option<Timestamp>),
    /// A start request was about to be sent.
    Starting {
        /// The authorization.
        file: Box<AuthorizationFile>,
        /// The time by the source's clock.
        since: Option<Timestamp>,
        /// The operation, if the source has named it.
        operation: Option<OperationUrl>,
    },
    /// It came to nothing, and the release of its id failed.
    Unreleased {
        /// A model or a classifier.
        kind: Kind,
        /// The id that may be reserved.
        id: ModelId,
        /// Where the authorization says that the copy would have been, if it is known.
        location: Option<UntrustedText>,
    },
}

/// The open entries between two resources whose runs have ended.
#[derive(Debug, Default)]
pub(crate) struct OpenOperations {
    /// Those whose operation is known: the model, and the id of the copy where it was chosen (v3.0 and later).
    pub copies: Vec<(Kind, ModelId, Option<ModelId>)>,
    /// How many others there are, which only another copy command can finish.
    pub without_operation: usize,
}

/// The error of a copy that another process is making.
pub(crate) fn owned_by_other(source_id: &ModelId) -> Error {
    Error::new(ErrorKind::UnderWay, format!("another process with the same manifest is copying {source_id}"))
        .with_remedy("wait until it has ended, then run the command again with --if-exists skip")
}

/// A durable record of what is about to be sent. Each function returns when its line is on disk.
///
/// An entry is open until it has ended. What has succeeded is ended by the owner of the journal, once the copy is recorded
/// elsewhere.
pub(crate) trait Journal: fmt::Debug {
    /// Takes over what earlier runs left open of a copy.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    fn take_over(&self, copy: &CopyOf<'_>) -> Result<Unfinished, Error>;

    /// Which copies between two resources earlier runs left open. It changes nothing.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn open_operations(&self, source: &Endpoint, target: &Endpoint) -> Result<OpenOperations, Error>;

    /// Whether earlier runs left a copy open. It changes nothing. Where the journal cannot be read, one may be open.
    fn has_open(&self, copy: &CopyOf<'_>) -> bool;

    /// Whether entries are kept: then another process with the same journal begins no copy that this one has announced, and
    /// the next run finishes what was left open.
    fn keeps_entries(&self) -> bool;

    /// Announces an authorize request and its repetitions, unless another run has an open entry of the copy.
    ///
    /// # Errors
    /// When the line cannot be written: then the request must not be sent.
    fn before_authorize(&self, entry: &AuthorizeEntry<'_>) -> Result<Announced, Error>;

    /// Announces a start request and its repetitions.
    ///
    /// # Errors
    /// When the line cannot be written: then the request must not be sent.
    fn before_start(&self, id: EntryId, entry: &StartEntry<'_>) -> Result<(), Error>;

    /// Records the operation of a start request that was accepted.
    ///
    /// # Errors
    /// When the line cannot be written. The authorization is enough to find the copy.
    fn accepted(&self, id: EntryId, operation: &OperationUrl) -> Result<(), Error>;

    /// Records that a copy came to nothing and that the release of its id failed: the next run tries it again. Where that
    /// cannot be written, the next run finds out again.
    fn unreleased(&self, id: EntryId, target_id: &ModelId);

    /// Ends the entry of a copy that came to nothing. Where that cannot be written, the next run finds out again.
    fn ended(&self, id: EntryId);
}

/// Keeps nothing.
#[derive(Debug)]
pub(crate) struct NoJournal;

impl Journal for NoJournal {
    fn take_over(&self, _: &CopyOf<'_>) -> Result<Unfinished, Error> {
        Ok(Unfinished::Taken(Vec::new()))
    }

    fn open_operations(&self, _: &Endpoint, _: &Endpoint) -> Result<OpenOperations, Error> {
        Ok(OpenOperations::default())
    }

    fn has_open(&self, _: &CopyOf<'_>) -> bool {
        false
    }

    fn keeps_entries(&self) -> bool {
        false
    }

    fn before_authorize(&self, _: &AuthorizeEntry<'_>) -> Result<Announced, Error> {
        Ok(Announced::As(EntryId::default()))
    }

    fn before_start(&self, _: EntryId, _: &StartEntry<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn accepted(&self, _: EntryId, _: &OperationUrl) -> Result<(), Error> {
        Ok(())
    }

    fn unreleased(&self, _: EntryId, _: &ModelId) {}

    fn ended(&self, _: EntryId) {}
}
