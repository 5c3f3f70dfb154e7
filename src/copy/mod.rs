//! One copy from beginning to verdict: look, authorize, start, follow, verify.

mod look;
mod plan;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::api::version::ApiVersion;
use crate::api::{self, Answer, Protocol, service_error};
use crate::authorization::CopyAuthorization;
use crate::client::{Client, Patience};
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Model, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::poll::{self, Schedule};
use crate::resource::{Endpoint, Resource, Side};
use look::Look;
pub use plan::Plan;

/// Longer than any operation is remembered; and a time that far away can be reckoned with.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often the target is asked for a copy that it does not show yet, at most.
const VERIFY_EVERY: Duration = Duration::from_secs(1);
/// How long the target may take to show a model whose operation has succeeded.
const VERIFY_FOR: Duration = Duration::from_secs(10);

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
    /// The id was reserved on the target and there is no copy under it.
    LeftBehind {
        /// The reserved id; in v2.1 a blank model.
        target_model_id: &'a ModelId,
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

/// Carries out a plan.
///
/// Dropping the future stops asking; a copy that was started goes on without it.
pub async fn copy(plan: &Plan, observer: Observer<'_>) -> Outcome {
    let began = Instant::now();
    let mut record = Record {
        api_version: plan.api_version,
        target_model_id: None,
        target_resource_id: None,
        target_region: None,
        operation: None,
        verified: false,
        started_at: Timestamp::now(),
        elapsed: Duration::ZERO,
        request_ids: RequestIds::default(),
    };
    let result = match Pipeline::new(plan, began + plan.timeout.min(LONGEST_TIMEOUT), observer) {
        Ok(pipeline) => pipeline.run(&mut record).await,
        Err(error) => Err(error),
    };
    record.elapsed = began.elapsed();
    Outcome { record, result }
}

/// The two sides of a copy, and what it is to do.
struct Pipeline<'a> {
    plan: &'a Plan,
    source: Client<'a>,
    target: Client<'a>,
    deadline: Instant,
    observer: Observer<'a>,
}

impl<'a> Pipeline<'a> {
    fn new(plan: &'a Plan, deadline: Instant, observer: Observer<'a>) -> Result<Self, Error> {
        let client = |resource: &'a Resource| {
            let on_wait = move |error: &Error, wait| observer(Event::Waiting { error, wait });
            Client::new(resource, deadline, Box::new(on_wait))
        };
        Ok(Self { plan, source: client(&plan.source)?, target: client(&plan.target)?, deadline, observer })
    }

    async fn run(&self, record: &mut Record) -> Result<(), Error> {
        (self.observer)(Event::Looking);
        let look = self.look().await?;
        (self.observer)(Event::Found { version: look.version, model: look.model.as_ref() });
        record.api_version = Some(look.version);
        let protocol = self.plan.protocol(look.version, look.model.as_ref())?;
        let authorization = self.authorize(&*protocol, &look, record).await?;
        let copied = async {
            let operation = self.start(&*protocol, &authorization, record).await?;
            self.follow(look.version, &operation, record).await
        };
        if let Err(error) = copied.await {
            if leaves_a_reservation(&error, record) {
                (self.observer)(Event::LeftBehind { target_model_id: &authorization.target_model_id });
            }
            return Err(error);
        }
        if self.plan.verify {
            record.verified = self.verify(look.version, &authorization.target_model_id).await?;
        }
        Ok(())
    }

    /// Nothing that changes something is begun when the time is up.
    fn in_time(&self) -> Result<(), Error> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "the time was up before the copy was started")
            .with_remedy("run the command again, with a longer --timeout"))
    }

    async fn authorize(
        &self,
        protocol: &dyn Protocol,
        look: &Look,
        record: &mut Record,
    ) -> Result<CopyAuthorization, Error> {
        self.in_time()?;
        let read = |answer: &Answer| Ok((protocol.read_authorization(answer)?, answer.request_id()));
        let (authorization, request_id) = self
            .target
            .call(&protocol.authorize(), Patience::AUTHORIZE, read)
            .await
            .map_err(|error| explain_authorize(error, look))?;
        for client in [&self.source, &self.target] {
            client.hide(&authorization.access_token);
        }
        let given = self.plan.target_address.as_ref().filter(|_| !look.version.has_document_models());
        record.target_resource_id = given
            .map(|address| address.resource_id.as_str().to_owned())
            .or_else(|| authorization.target_resource_id.clone());
        record.target_region =
            given.map(|address| address.region.as_str().to_owned()).or_else(|| authorization.target_region.clone());
        record.target_model_id = Some(authorization.target_model_id.clone());
        record.request_ids.authorize = request_id;
        (self.observer)(Event::Authorized { target_model_id: &authorization.target_model_id });
        Ok(authorization)
    }

    async fn start(
        &self,
        protocol: &dyn Protocol,
        authorization: &CopyAuthorization,
        record: &mut Record,
    ) -> Result<OperationUrl, Error> {
        self.in_time()?;
        let mut request = protocol.start(&self.plan.model_id, authorization);
        if self.plan.allow_degrade {
            request = request.allowing_degrade();
        }
        let endpoint: &Endpoint = &self.plan.source.endpoint;
        let read = |answer: &Answer| Ok((api::read_start(answer, endpoint)?, answer.request_id()));
        let (operation, request_id) = self
            .source
            .call(&request, Patience::START, read)
            .await
            .map_err(|error| explain_start(error, &authorization.target_model_id))?;
        record.request_ids.start = request_id;
        record.operation = Some(operation.clone());
        (self.observer)(Event::Started { operation: &operation });
        Ok(operation)
    }

    async fn follow(&self, version: ApiVersion, url: &OperationUrl, record: &mut Record) -> Result<(), Error> {
        let request = api::operation(url);
        let last_poll = &mut record.request_ids.last_poll;
        let ask = async || {
            let read = |answer: &Answer| Ok((api::read_operation(version, answer)?, answer.request_id()));
            let (operation, request_id) = self.source.once(&request, read).await?;
            *last_poll = request_id;
            Ok(operation)
        };
        let seen = |answer: &Result<Operation, Error>| match answer {
            Ok(operation) => (self.observer)(Event::Status(&operation.status)),
            Err(error) => (self.observer)(Event::StatusUnknown(error)),
        };
        let schedule = Schedule { interval: self.plan.poll_interval, deadline: self.deadline };
        let operation = poll::until_done(schedule, ask, seen).await?;
        verdict(operation).map_err(|error| error.with_request_id(record.request_ids.last_poll.clone()))
    }

    /// Whether the target shows the copy, ready. Asks again while the target does not show it yet.
    async fn verify(&self, version: ApiVersion, id: &ModelId) -> Result<bool, Error> {
        (self.observer)(Event::Verifying);
        let until = (Instant::now() + VERIFY_FOR).min(self.deadline);
        let request = api::model(version, self.plan.kind, id);
        loop {
            let read = |answer: &Answer| Ok((api::read_model(version, answer)?.readiness, answer.request_id()));
            let not_yet = |what: String| {
                let what = format!("the source says that the copy succeeded, but {what}");
                Error::new(ErrorKind::UnderWay, what).with_remedy(LOOK_LATER)
            };
            let not_yet = match self.target.call(&request, Patience::READ.until(until), read).await {
                Ok((Readiness::Ready, _)) => return Ok(true),
                Ok((Readiness::Invalid, request_id)) => {
                    let what = format!("the target says that the copy {id} is invalid");
                    return Err(Error::new(ErrorKind::Failed, what)
                        .with_remedy(ASK_SUPPORT)
                        .with_request_id(request_id));
                }
                Ok((Readiness::Creating, request_id)) => {
                    not_yet(format!("{id} is still being created on the target")).with_request_id(request_id)
                }
                Ok((Readiness::Unknown(status), request_id)) => {
                    not_yet(format!("{id} is {status} on the target")).with_request_id(request_id)
                }
                Err(error) if error.finding() == Finding::NoSuchModel => {
                    not_yet(format!("the target does not show {id}")).with_source(error)
                }
                Err(error) => {
                    (self.observer)(Event::NotVerified { error: &error });
                    return Ok(false);
                }
            };
            let pause = self.plan.poll_interval.min(VERIFY_EVERY);
            if Instant::now() + pause > until {
                return Err(not_yet);
            }
            sleep(pause).await;
        }
    }
}

const LOOK_LATER: &str = "look for the copy in the target resource in a few minutes";
const ASK_SUPPORT: &str = "run the command again, and give the request id to Azure support if the copy fails again";

/// The service's verdict.
fn verdict(operation: Operation) -> Result<(), Error> {
    let (kind, what) = match operation.status {
        OperationStatus::Succeeded => return Ok(()),
        OperationStatus::Canceled => (ErrorKind::Canceled, "the copy was canceled by the service"),
        OperationStatus::Skipped => (ErrorKind::Skipped, "the copy was skipped by the service"),
        _ => (ErrorKind::Failed, "the copy failed"),
    };
    let known = operation.error.as_ref().and_then(|said| service_error::remedy(said, Side::Source));
    let remedy = known.unwrap_or_else(|| ASK_SUPPORT.to_owned());
    let error = Error::new(kind, what).with_remedy(remedy);
    Err(match operation.error {
        Some(said) => error.with_source(said),
        None => error.with_source("the service gives no reason"),
    })
}

/// Tells an id that exists from one that somebody's unused authorization holds, and says what an answer that never
/// came may have left behind.
fn explain_authorize(error: Error, look: &Look) -> Error {
    match error.kind() {
        ErrorKind::Exists if look.target_is_free => {
            Error::new(ErrorKind::Exists, "the target id is reserved by an authorization that was not used")
                .with_remedy("choose another id with --target-model-id, or wait until the authorization has expired")
                .with_source(error)
        }
        _ if error.delivery() == Delivery::Unanswered => {
            let what = "whether the target has reserved an id is not known, and nothing was started";
            Error::new(error.kind(), what).with_source(error)
        }
        _ => error,
    }
}

/// An unanswered start is not a failure: the copy may be under way.
fn explain_start(error: Error, target_model_id: &ModelId) -> Error {
    let is_ambiguous = error.delivery() == Delivery::Unanswered || error.kind() == ErrorKind::Unforeseen;
    if !is_ambiguous {
        return error;
    }
    Error::new(ErrorKind::Unforeseen, "whether the copy was started is not known, and it cannot be followed")
        .with_source(error)
        .with_remedy(format!("look for {target_model_id} in the target resource before you run the command again"))
}

/// Whether an ending after the authorization leaves its id reserved and without a copy: the copy was never accepted, or
/// it has ended without success.
fn leaves_a_reservation(error: &Error, record: &Record) -> bool {
    match &record.operation {
        None => error.kind() != ErrorKind::Unforeseen,
        Some(_) => matches!(error.kind(), ErrorKind::Failed | ErrorKind::Canceled | ErrorKind::Skipped),
    }
}
