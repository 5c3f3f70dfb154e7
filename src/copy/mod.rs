//! One copy from beginning to verdict: look, authorize, start, follow, verify; and the way back when one of them fails.

mod follow;
mod give_back;
mod look;
mod pipeline;
mod plan;
#[cfg(all(test, feature = "emulator"))]
mod promises;
mod recover;
mod wait;

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::api::version::ApiVersion;
use crate::client::{Circumstances, Client, Http, Pace, Transport};
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, Model, ModelId};
use crate::operation::{OperationStatus, OperationUrl};
use crate::resource::{Endpoint, Resource};
use crate::stop::Stop;
pub use plan::Plan;
pub use wait::{WaitPlan, wait};

/// Longer than any operation is remembered; and a time that far away can be reckoned with.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What happens during a copy, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// The reads begin.
    Looking,
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
    /// An id that was reserved and not used has been given back: the target said that it is deleted.
    GivenBack {
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

/// What came of one copy.
#[derive(Debug)]
pub struct Outcome {
    /// What is known of it, whatever the ending.
    pub record: Record,
    /// Whether the copy is there and ready.
    pub result: Result<(), Error>,
}

/// What is known of one copy. Everything is absent until the service has said it.
#[derive(Debug)]
pub struct Record {
    /// What was copied.
    pub kind: Kind,
    /// The resource that has the model.
    pub source: Endpoint,
    /// The model that was copied, where it is known.
    pub source_model_id: Option<ModelId>,
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
pub async fn copy(plan: &Plan, observer: Observer<'_>, stop: &Stop) -> Outcome {
    copy_over(plan, observer, stop, &|resource| Ok(Box::new(Http::new(resource)?))).await
}

/// Makes the connection to a resource.
type Connect<'a> = &'a dyn Fn(&Resource) -> Result<Box<dyn Transport>, Error>;

/// [`copy`] over something else than the network.
async fn copy_over<'a>(plan: &'a Plan, observer: Observer<'a>, stop: &'a Stop, connect: Connect<'a>) -> Outcome {
    let mut record = Record::new(plan.kind, &plan.source.endpoint, Some(&plan.target.endpoint));
    record.source_model_id = Some(plan.model_id.clone());
    record.api_version = plan.api_version;
    let result = async {
        let resources = [&plan.source, &plan.target].into_iter();
        let mut clients = clients(resources, plan.timeout, observer, stop, connect)?.into_iter();
        let (Some(source), Some(target)) = (clients.next(), clients.next()) else {
            return Err(Error::new(ErrorKind::Unforeseen, "there are no two sides to copy between"));
        };
        pipeline::Pipeline { plan, source, target, observer, stop }.run(&mut record).await
    };
    let result = result.await;
    record.outcome(result)
}

/// A client for each resource; two that are one and the same share the pace.
fn clients<'a>(
    resources: impl Iterator<Item = &'a Resource>,
    timeout: Duration,
    observer: Observer<'a>,
    stop: &'a Stop,
    connect: Connect<'a>,
) -> Result<Vec<Client<'a>>, Error> {
    let deadline = Instant::now() + timeout.min(LONGEST_TIMEOUT);
    let on_wait = move |error: &Error, wait| observer(Event::Waiting { error, wait });
    let circumstances = Circumstances { deadline, stop, on_wait: Rc::new(on_wait) };
    let mut paces: Vec<(&Endpoint, Pace)> = Vec::new();
    let mut client = |resource: &'a Resource| {
        let known = paces.iter().find(|(endpoint, _)| *endpoint == &resource.endpoint).map(|(_, pace)| pace.clone());
        let pace = known.unwrap_or_default();
        paces.push((&resource.endpoint, pace.clone()));
        Ok(Client::new(resource, connect(resource)?, circumstances.clone(), pace))
    };
    resources.map(&mut client).collect()
}

impl Record {
    fn new(kind: Kind, source: &Endpoint, target: Option<&Endpoint>) -> Self {
        Self {
            kind,
            source: source.clone(),
            source_model_id: None,
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
        }
    }

    fn outcome(mut self, result: Result<(), Error>) -> Outcome {
        self.elapsed = self.began.elapsed();
        Outcome { record: self, result }
    }
}
