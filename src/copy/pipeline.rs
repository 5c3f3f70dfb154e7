//! The course of one copy, and what becomes of the reserved id when it does not end well.

use tokio::time::Instant;

use super::follow::{Pursuit, has_ended};
use super::give_back::GivenBack;
use super::look::Look;
use super::recover::Recovery;
use super::{Event, Observer, Plan, Record};
use crate::api::version::ApiVersion;
use crate::api::{self, Answer, Protocol};
use crate::authorization::CopyAuthorization;
use crate::client::{Client, Patience};
use crate::error::{Delivery, Error, ErrorKind};
use crate::operation::OperationUrl;
use crate::stop::Stop;

/// How often a copy is begun at most, each time with a fresh authorization.
const MOST_STARTS: u32 = 3;
/// How often an authorize is sent at most while its answers are lost.
const MOST_AUTHORIZES: u32 = 3;

/// The two sides of a copy, and what it is to do.
pub(super) struct Pipeline<'a> {
    pub(super) plan: &'a Plan,
    pub(super) source: Client<'a>,
    pub(super) target: Client<'a>,
    pub(super) observer: Observer<'a>,
    pub(super) stop: &'a Stop,
}

/// How an attempt to start a copy went on.
enum Course {
    /// The source has accepted it.
    Follow(OperationUrl),
    /// The target has it already.
    Done,
    /// It came to nothing, for certain.
    Nothing(Error),
}

impl Pipeline<'_> {
    pub(super) async fn run(&self, record: &mut Record) -> Result<(), Error> {
        (self.observer)(Event::Looking);
        let look = self.look().await?;
        (self.observer)(Event::Found { version: look.version, model: look.model.as_ref() });
        record.api_version = Some(look.version);
        let protocol = self.plan.protocol(look.version, look.model.as_ref())?;
        let mut starts = 0;
        loop {
            starts += 1;
            let authorization = self.authorize(&*protocol, &look, record).await?;
            let (error, was_lost) = match self.start(&*protocol, look.version, &authorization, record).await {
                Ok(Course::Follow(operation)) => {
                    return self.see_through(&look, &operation, &authorization, record).await;
                }
                Ok(Course::Done) => {
                    record.verified = true;
                    return Ok(());
                }
                Ok(Course::Nothing(error)) => (error, true),
                // Nobody knows what came of it: what is reserved may be in use.
                Err(error) if is_ambiguous(&error) => return Err(error),
                Err(error) => (error, false),
            };
            let given_back = self.give_back(look.version, &authorization.target_model_id).await;
            if was_lost && given_back == GivenBack::Ready {
                // It came after all: only our own authorization can have put a ready model there.
                record.verified = true;
                return Ok(());
            }
            if !was_lost || starts == MOST_STARTS {
                return Err(error);
            }
            record.target_model_id = None;
            (self.observer)(Event::StartingOver);
        }
    }

    /// From an accepted copy to its verdict.
    async fn see_through(
        &self,
        look: &Look,
        operation: &OperationUrl,
        authorization: &CopyAuthorization,
        record: &mut Record,
    ) -> Result<(), Error> {
        let pursuit = Pursuit {
            version: look.version,
            source: &self.source,
            observer: self.observer,
            poll_interval: self.plan.poll_interval,
            deadline: self.source.deadline(),
            accepted: true,
        };
        let target_model_id = &authorization.target_model_id;
        let ending = async {
            pursuit.follow(operation, record).await?;
            if self.plan.verify {
                record.verified = pursuit.verify(&self.target, self.plan.kind, target_model_id).await?;
            }
            Ok(())
        };
        let ending = ending.await;
        if ending.as_ref().is_err_and(has_ended) {
            self.give_back(look.version, target_model_id).await;
        }
        ending
    }

    /// Nothing that changes something is begun when the time is up, or after being told to stop.
    fn may_begin(&self) -> Result<(), Error> {
        if self.stop.is_told() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted before the copy was started"));
        }
        if Instant::now() < self.source.deadline() {
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
        let mut lost = 0;
        let (authorization, request_id) = match self.obtain(protocol, look, &mut lost).await {
            Ok(obtained) => obtained,
            Err(error) => {
                if lost > 0 {
                    self.account_for_lost(look, &error).await;
                }
                return Err(self.explain_authorize(error, look, lost));
            }
        };
        for client in [&self.source, &self.target] {
            client.hide(&authorization.access_token);
        }
        self.note_authorization(&authorization, look.version, record);
        record.request_ids.authorize = request_id;
        (self.observer)(Event::Authorized { target_model_id: &authorization.target_model_id });
        Ok(authorization)
    }

    /// Asks for leave until there is an answer, and counts the ones that are lost: each may have reserved an id.
    async fn obtain(
        &self,
        protocol: &dyn Protocol,
        look: &Look,
        lost: &mut u32,
    ) -> Result<(CopyAuthorization, Option<String>), Error> {
        let read = |answer: &Answer| Ok((protocol.read_authorization(answer)?, answer.request_id()));
        // How often a conflict may still be about our own request, on an id that was seen free.
        let mut may_be_ours = if look.target_is_free { MOST_AUTHORIZES } else { 0 };
        loop {
            self.may_begin()?;
            let error = match self.target.call(&protocol.authorize(), Patience::AUTHORIZE, read).await {
                Ok(obtained) => return Ok(obtained),
                Err(error) => error,
            };
            if error.delivery() == Delivery::Unanswered {
                *lost += 1;
                if !look.version.has_document_models() {
                    (self.observer)(Event::MayBeReserved { target_model_id: None });
                }
                if *lost == MOST_AUTHORIZES || self.stop.is_told() {
                    return Err(error);
                }
                self.target.wait_before_again(&error, *lost).await?;
            } else if error.kind() == ErrorKind::Exists && *lost > 0 && may_be_ours > 0 {
                // The id was free, so it is our own request that has reserved it, the one whose answer was lost.
                may_be_ours -= 1;
                match self.give_back(look.version, self.plan.new_model_id()).await {
                    GivenBack::Deleted => *lost = 0,
                    GivenBack::NothingThere => may_be_ours = 0,
                    GivenBack::Ready | GivenBack::NotGiven => return Err(error),
                }
            } else {
                return Err(error);
            }
        }
    }

    /// After an answer that never came and no authorization: from v3.0 on the id that it may have reserved is known.
    async fn account_for_lost(&self, look: &Look, error: &Error) {
        let id = self.plan.new_model_id();
        match (look.target_is_free, error.kind()) {
            // That was tried already, and what was not given back has been named.
            (true, ErrorKind::Exists) => {}
            (true, _) => drop(self.give_back(look.version, id).await),
            // Nobody has seen the id free: what is there may be somebody else's.
            (false, _) if look.version.has_document_models() => {
                (self.observer)(Event::MayBeReserved { target_model_id: Some(id) });
            }
            (false, _) => {}
        }
    }

    fn note_authorization(&self, authorization: &CopyAuthorization, version: ApiVersion, record: &mut Record) {
        let given = self.plan.target_address.as_ref().filter(|_| !version.has_document_models());
        let resource_id = given.map(|address| address.resource_id.as_str().to_owned());
        let region = given.map(|address| address.region.as_str().to_owned());
        record.target_resource_id = resource_id.or_else(|| authorization.target_resource_id.clone());
        record.target_region = region.or_else(|| authorization.target_region.clone());
        record.target_model_id = Some(authorization.target_model_id.clone());
    }

    /// Asks the source to copy. Where no answer comes, the service is asked what came of it.
    async fn start(
        &self,
        protocol: &dyn Protocol,
        version: ApiVersion,
        authorization: &CopyAuthorization,
        record: &mut Record,
    ) -> Result<Course, Error> {
        self.may_begin()?;
        let mut request = protocol.start(&self.plan.model_id, authorization);
        if self.plan.allow_degrade {
            request = request.allowing_degrade();
        }
        let endpoint = self.source.endpoint();
        let read = |answer: &Answer| Ok((api::read_start(answer, endpoint)?, answer.request_id()));
        let operation = match self.source.call(&request, Patience::START, read).await {
            Ok((operation, request_id)) => {
                record.request_ids.start = request_id;
                operation
            }
            // A conflict may be about the copy itself, whose first request somebody on the way has repeated.
            Err(error) if !is_ambiguous(&error) && error.kind() != ErrorKind::Exists => return Err(error),
            Err(error) => match self.recover(version, authorization, &error).await {
                Recovery::Found(operation) => operation,
                Recovery::Done => return Ok(Course::Done),
                Recovery::Nothing if error.kind() == ErrorKind::Exists => return Err(error),
                Recovery::Nothing => return Ok(Course::Nothing(never_started(error))),
                Recovery::Unknown => return Err(self.unknown_start(error, authorization)),
            },
        };
        record.operation = Some(operation.clone());
        (self.observer)(Event::Started { operation: &operation });
        Ok(Course::Follow(operation))
    }

    fn unknown_start(&self, error: Error, authorization: &CopyAuthorization) -> Error {
        let id = &authorization.target_model_id;
        let kind = if self.stop.is_told() { ErrorKind::Interrupted } else { ErrorKind::Unforeseen };
        Error::new(kind, "whether the copy was started is not known, and it cannot be followed")
            .with_delivery(Delivery::Unanswered)
            .with_source(error)
            .with_remedy(format!("look for {id} in the target resource before you run the command again"))
    }

    /// Tells an id that exists from one that somebody's unused authorization holds, and says what an answer that never
    /// came may have left behind.
    fn explain_authorize(&self, error: Error, look: &Look, lost: u32) -> Error {
        let id = self.plan.new_model_id();
        match error.kind() {
            ErrorKind::Exists if look.target_is_free => {
                let by = if lost > 0 {
                    "perhaps by this command's own request"
                } else {
                    "by an authorization that was not used"
                };
                Error::new(ErrorKind::Exists, format!("the target id {id} is reserved {by}"))
                    .with_remedy(
                        "choose another id with --target-model-id, or wait until the authorization has expired",
                    )
                    .with_source(error)
            }
            _ if error.delivery() == Delivery::Unanswered => {
                let what = "whether the target has reserved an id is not known, and nothing was started";
                Error::new(error.kind(), what).with_source(error)
            }
            _ => error,
        }
    }
}

/// Whether nobody knows if the source acted on a start: it was sent, and no usable answer came.
fn is_ambiguous(error: &Error) -> bool {
    error.delivery() == Delivery::Unanswered || error.kind() == ErrorKind::Unforeseen
}

fn never_started(error: Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the source has not started the copy, however often it was asked")
        .with_source(error)
        .with_remedy("run the command again in a few minutes")
}
