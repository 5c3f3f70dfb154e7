//! One copy from beginning to verdict: look, authorize, start, follow, verify; and the way back when one of them fails.

mod authorize;
mod batch;
mod delegated;
#[cfg(all(test, feature = "emulator"))]
mod guarantees;
mod if_exists;
mod pipeline;
mod plan;
mod poll;
mod preflight;
mod recover;
mod release;
mod replace;
mod resume;
mod start;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::client::{CallContext, Connection};
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, Model, ModelId};
use crate::operation::{OperationStatus, OperationUrl};
use crate::resource::{Endpoint, Resource, Side, TargetAddress};
pub use batch::{BatchEvent, BatchObserver, BatchPlan, Summary, copy_batch, dry_run_batch};
pub use delegated::{AuthorizePlan, DelegatedPlan, authorize, copy_delegated, dry_run_delegated, revoke};
use pipeline::{Common, Pipeline};
pub use plan::{CopyOptions, IfExists, Plan};
pub use resume::{WaitPlan, wait};
use tokio_util::sync::CancellationToken;

/// What happens during a copy, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// The reads begin.
    Looking,
    /// The reads begin, on one side: the other one is somebody else's.
    LookingAt(Side),
    /// A read gave no definitive answer; the copy goes on without it.
    Inconclusive {
        /// What came of it.
        error: &'a Error,
    },
    /// The API version is settled, and the source model seen where the source shows it.
    Found {
        /// The version that the copy is made with.
        version: ApiVersion,
        /// What the source says of the model.
        model: Option<&'a Model>,
    },
    /// The target has reserved an id.
    Authorized {
        /// The id of the copy.
        target_model_id: &'a ModelId,
    },
    /// The source has accepted the copy.
    Started {
        /// Where it is followed.
        operation: &'a OperationUrl,
    },
    /// The operation has been asked for.
    Status(&'a OperationStatus),
    /// The operation could not be asked for, which says nothing of the copy.
    StatusUnknown(&'a Error),
    /// A request will be sent again.
    Waiting {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// The service says that the copy is there; the target is being asked.
    Verifying,
    /// The service says that the copy is there, and the target gave no definitive answer.
    NotVerified {
        /// What came of the question.
        error: &'a Error,
    },
    /// The service says that the copy is there; only the target's side could ask the target.
    NotVerifiable,
    /// The copy was not made, and the id that its authorization has reserved can be given back by the target's side alone.
    HeldByTarget {
        /// The id; in v2.1 a blank model.
        target_model_id: &'a ModelId,
    },
    /// An answer that never came may have reserved an id, which is not given back.
    MayBeReserved {
        /// The id; in v2.1 nobody knows which one, and it is a blank model.
        target_model_id: Option<&'a ModelId>,
    },
    /// The start got no answer: the service is being asked what came of it.
    Searching {
        /// Why.
        error: &'a Error,
    },
    /// The start came to nothing; it is begun anew, with a fresh authorization.
    StartingOver,
    /// The target shows a ready model of the reserved id, whatever else was said. It is left alone.
    FoundOnTarget {
        /// The id.
        target_model_id: &'a ModelId,
    },
    /// How many models the target has and may have.
    Room(Capacity),
    /// The target has blank v2.1 models that may become copies: they are waited for.
    WaitingForBlanks {
        /// How many.
        count: usize,
    },
    /// A copy to this id is under way already, begun by a command that is no more; it is followed.
    Adopted {
        /// Where it is followed.
        operation: &'a OperationUrl,
    },
    /// Before the old model goes, its successor is copied to another id.
    Staging {
        /// The other id.
        staging_id: &'a ModelId,
    },
    /// A model was deleted from the target: the one that is replaced, or a staging copy.
    Removed {
        /// Its id.
        target_model_id: &'a ModelId,
    },
    /// The target does not show whether the copy is in its place, so the staging copy is kept.
    StagingKept {
        /// Its id.
        staging_id: &'a ModelId,
    },
    /// The copy is in its place, and the staging copy could not be deleted.
    StagingLeft {
        /// Its id.
        staging_id: &'a ModelId,
        /// What the target answered.
        error: &'a Error,
    },
    /// An id that was reserved and not used has been given back: the target said that it is deleted.
    Released {
        /// The id.
        target_model_id: &'a ModelId,
    },
    /// The id was reserved on the target, there is no copy under it, and it could not be given back.
    LeftBehind {
        /// The reserved id; in v2.1 a blank model.
        target_model_id: &'a ModelId,
        /// What the target answered.
        error: &'a Error,
    },
}

/// Is told of each [`Event`].
pub type Observer<'a> = &'a dyn Fn(Event<'_>);

/// A successful outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The copy is there and ready.
    Copied,
    /// The copy is there and ready, in the place of another model.
    Replaced,
    /// It was there before, of the same training.
    AlreadyThere,
    /// It was only asked what would be done: a copy would be made.
    WouldCopy,
    /// It was only asked what would be done: a copy would take the place of another model.
    WouldReplace,
}

/// What is known of one copy. Everything is absent until the service has said it.
#[derive(Debug)]
pub struct Report {
    /// What was copied.
    pub kind: Kind,
    /// The resource that has the model.
    pub source: Endpoint,
    /// The model that was copied, where it is known.
    pub source_model_id: Option<ModelId>,
    /// What its owner calls it (v2.1).
    pub source_name: Option<String>,
    /// The resource that receives the copy, where it is known.
    pub target: Option<Endpoint>,
    /// The version that the copy was made with.
    pub api_version: Option<ApiVersion>,
    /// The id of the copy.
    pub target_model_id: Option<ModelId>,
    /// The target's resource id: as given for v2.1, as the target says later.
    pub target_resource_id: Option<String>,
    /// The target's region, likewise.
    pub target_region: Option<String>,
    /// Where the copy is followed.
    pub operation: Option<OperationUrl>,
    /// Whether the target itself showed the copy, ready.
    pub verified: bool,
    /// When the command began.
    pub started_at: Timestamp,
    began: Instant,
    /// How long it took.
    pub elapsed: Duration,
    /// The service's ids of the three calls.
    pub request_ids: RequestIds,
    /// Whether the copy was begun before the command was cancelled.
    pub begun: bool,
    /// The outcome, or why there is none.
    pub result: Result<Outcome, Error>,
}

/// The `apim-request-id` of each call of a copy, which Azure support asks for.
#[derive(Debug, Default)]
pub struct RequestIds {
    /// Of the answer that held the authorization.
    pub authorize: Option<String>,
    /// Of the answer that accepted the copy.
    pub start: Option<String>,
    /// Of the last answer about the operation.
    pub last_poll: Option<String>,
}

/// Carries out a plan, until the end or until told to stop.
///
/// Told to stop, it gives back what it has reserved and not used; a copy that was started goes on without it.
pub async fn copy(plan: &Plan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    copy_over(plan, observer, cancel, &Connection::http).await
}

/// Says what [`copy`] would do, and what stands in its way. It only reads.
pub async fn dry_run(plan: &Plan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    let work = async |pipeline: Pipeline<'_>, report: &mut Report| {
        let success = pipeline.dry_run(None, report).await?;
        pipeline.look_for_room(success, report).await.map(|()| success)
    };
    between(plan, observer, cancel, &Connection::http, work).await
}

/// Makes the connection to a resource.
type Connect<'a> = &'a dyn Fn(&Resource) -> Result<Connection, Error>;

/// [`copy`] over something else than the network.
async fn copy_over(plan: &Plan, observer: Observer<'_>, cancel: &CancellationToken, connect: Connect<'_>) -> Report {
    let work = async |pipeline: Pipeline<'_>, report: &mut Report| pipeline.run(None, report).await;
    between(plan, observer, cancel, connect, work).await
}

/// Sets a pipeline up between the two sides of a plan.
async fn between(
    plan: &Plan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
    work: impl AsyncFnOnce(Pipeline<'_>, &mut Report) -> Result<Outcome, Error>,
) -> Report {
    let mut report = Report::of(plan);
    let context = context(plan.options.timeout, observer, cancel);
    let result = async {
        let source = connect(&plan.options.source)?;
        let target = connect(&plan.options.target)?.beside(&source);
        let (source, target) = (&source.client(context.clone()), &target.client(context));
        let common = &Common::default();
        work(Pipeline { plan, source, target, common, observer, cancel }, &mut report).await
    };
    let result = result.await;
    report.outcome(result)
}

/// Those of a command that begins now, with an observer to tell of waits.
fn context<'a>(timeout: Duration, observer: Observer<'a>, cancel: &'a CancellationToken) -> CallContext<'a> {
    CallContext::new(timeout, cancel, |error, wait| observer(Event::Waiting { error, wait }))
}

impl Report {
    fn new(kind: Kind, source: &Endpoint, target: Option<&Endpoint>) -> Self {
        Self {
            kind,
            source: source.clone(),
            source_model_id: None,
            source_name: None,
            target: target.cloned(),
            api_version: None,
            target_model_id: None,
            target_resource_id: None,
            target_region: None,
            operation: None,
            verified: false,
            started_at: Timestamp::now(),
            began: Instant::now(),
            elapsed: Duration::ZERO,
            request_ids: RequestIds::default(),
            begun: true,
            result: Err(Error::new(ErrorKind::Unforeseen, "the copy has not ended")),
        }
    }

    fn of(plan: &Plan) -> Self {
        let CopyOptions { source, target, api_version, .. } = &*plan.options;
        let report = Self::new(plan.kind.unwrap_or(Kind::Model), &source.endpoint, Some(&target.endpoint));
        Self { source_model_id: Some(plan.model_id.clone()), api_version: *api_version, ..report }
    }

    /// What is known once the target has given leave. In v2.1 the target does not say where it is.
    fn note_authorization(&mut self, authorization: &CopyAuthorization, address: Option<&TargetAddress>) {
        let resource_id = address.map(|address| address.resource_id.as_str().to_owned());
        let region = address.map(|address| address.region.as_str().to_owned());
        self.target_resource_id = resource_id.or_else(|| authorization.target_resource_id.clone());
        self.target_region = region.or_else(|| authorization.target_region.clone());
        self.target_model_id = Some(authorization.target_model_id.clone());
    }

    fn outcome(mut self, result: Result<Outcome, Error>) -> Self {
        self.elapsed = self.began.elapsed();
        self.result = result;
        self
    }
}
