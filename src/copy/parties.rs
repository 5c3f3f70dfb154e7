//! A copy between two parties, each with the credential of its own resource and of no other: one gives leave, the other
//! copies with it, and what was not used is given back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::follow::{Pursuit, has_ended};
use super::give_back::delete_unless_ready;
use super::look::{is_inconclusive, read_model, refuse_unless_ready};
use super::plan::{classifiers_need_newer, needs_target_address, refuse_unless_uuid};
use super::reserve::{Reserving, Wanted};
use super::start::{Started, Starting, is_ambiguous};
use super::{Event, Observer, Outcome, Record, Success, circumstances};
use crate::api::version::ApiVersion;
use crate::api::{NewModel, Protocol, custom_models_protocol, document_models_protocol, service_error};
use crate::client::{Client, Connection};
use crate::error::{Error, ErrorKind, Finding};
use crate::handover::Handover;
use crate::model::{Kind, Model, ModelId};
use crate::resource::{Resource, Side, TargetAddress};
use crate::stop::Stop;

/// The target's part: for what leave is to be given.
#[derive(Debug, Clone)]
pub struct AuthorizePlan {
    /// The resource that is to receive the copy.
    pub target: Resource,
    /// The version to copy with. Nobody here can ask the source for it.
    pub api_version: ApiVersion,
    /// A model or a classifier.
    pub kind: Kind,
    /// The id of the copy (v3.0 and later); v2.1 chooses it itself.
    pub target_model_id: Option<ModelId>,
    /// Where the target is in Azure, which v2.1 needs.
    pub target_address: Option<TargetAddress>,
    /// The description of the copy (v3.0 and later); `None` leaves it to the service.
    pub description: Option<String>,
    /// The tags of the copy (v3.0 and later); `None` leaves them to the service.
    pub tags: Option<BTreeMap<String, String>>,
    /// For the whole command.
    pub timeout: Duration,
}

impl AuthorizePlan {
    /// Refuses what can be seen to be impossible before anybody is asked.
    ///
    /// # Errors
    /// When the plan cannot be carried out with its version.
    pub fn check(&self) -> Result<(), Error> {
        self.protocol().map(drop)
    }

    fn protocol(&self) -> Result<Box<dyn Protocol + Send + Sync>, Error> {
        let (version, kind) = (self.api_version, self.kind);
        if kind == Kind::Classifier && !version.copies_classifiers() {
            return Err(classifiers_need_newer(version));
        }
        match &self.target_model_id {
            Some(id) => {
                let (id, description, tags) = (id.clone(), self.description.clone(), self.tags.clone());
                let new = NewModel { id, description, tags };
                document_models_protocol(version, kind, new).ok_or_else(|| chosen_by_service("a target model id"))
            }
            None if version.has_document_models() => Err(Error::settings(
                format!("a {version} copy needs an id on the target"),
                "name it: frcopy authorize TARGET_MODEL_ID --out FILE; or give --api-version 2.1, which names copies itself",
            )),
            None if self.description.is_some() => Err(chosen_by_service("--description")),
            None if self.tags.is_some() => Err(chosen_by_service("--tag")),
            None => self.target_address.clone().map(custom_models_protocol).ok_or_else(needs_target_address),
        }
    }

    async fn wanted(&self, target: &Client<'_>, observer: Observer<'_>) -> Result<Wanted<'_>, Error> {
        let Some(id) = &self.target_model_id else { return Ok(Wanted::Any) };
        observer(Event::LookingAt(Side::Target));
        match read_model(target, self.api_version, self.kind, id).await {
            Ok(_) => Err(Error::new(ErrorKind::Exists, format!("the target already has a {} {id}", self.kind))
                .with_remedy("choose another id, or delete what is there from the target resource")),
            Err(error) if error.finding() == Finding::NoSuchModel => Ok(Wanted::Free(id)),
            Err(error) if is_inconclusive(&error) => {
                observer(Event::Inconclusive { error: &error });
                Ok(Wanted::Unseen(id))
            }
            Err(error) => Err(error),
        }
    }
}

fn chosen_by_service(what: &str) -> Error {
    Error::settings(
        format!("{what} is not possible with {}", ApiVersion::V2_1),
        format!("leave it out: {} names the copy itself and knows no descriptions and tags", ApiVersion::V2_1),
    )
}

/// Gives leave for one copy, and hands it to whoever keeps it. What cannot be kept is given back.
///
/// # Errors
/// When the target refuses, or the leave cannot be kept.
pub async fn authorize(
    plan: &AuthorizePlan,
    observer: Observer<'_>,
    stop: &Stop,
    keep: impl FnOnce(&Handover) -> Result<(), Error>,
) -> Result<Handover, Error> {
    let protocol = plan.protocol()?;
    let target = &Connection::http(&plan.target)?.client(circumstances(plan.timeout, observer, stop));
    let (version, kind) = (plan.api_version, plan.kind);
    let wanted = plan.wanted(target, observer).await?;
    let reserving = Reserving { target, observer, stop, version, kind, wanted };
    let (authorization, _) = reserving.authorize(&*protocol).await?;
    let address = plan.target_address.clone().filter(|_| !version.has_document_models());
    let handover = Handover { target: plan.target.endpoint.clone(), version, kind, address, authorization };
    if let Err(error) = keep(&handover) {
        reserving.give_back(&handover.authorization.target_model_id).await;
        return Err(error);
    }
    Ok(handover)
}

/// Gives back what an authorization has reserved, if it was not used.
///
/// # Errors
/// When it was used, is not there any more, or the target does not delete it.
pub async fn revoke(
    target: &Resource,
    handover: &Handover,
    timeout: Duration,
    observer: Observer<'_>,
    stop: &Stop,
) -> Result<(), Error> {
    let Handover { version, kind, authorization, .. } = handover;
    let id = &authorization.target_model_id;
    let client = &Connection::http(target)?.client(circumstances(timeout, observer, stop));
    match client.interruptible(delete_unless_ready(client, *version, *kind, id)).await? {
        Ok(Some(())) => {
            observer(Event::GivenBack { target_model_id: id });
            Ok(())
        }
        Ok(None) => Err(Error::new(
            ErrorKind::Exists,
            format!("the authorization was used: the target has a ready {kind} {id}"),
        )
        .with_remedy("leave it where it is, or delete it from the target resource if nobody needs it")),
        // A used authorization leaves a model, and an unused one of v2.1 a blank one: nothing is reserved any more.
        Err(error) if error.finding() == Finding::NoSuchModel && !version.has_document_models() => Ok(()),
        Err(error) if error.finding() == Finding::NoSuchModel => {
            let what = format!("the target has nothing under {id} that it could delete");
            Err(error.saying(what).with_remedy(format!(
                "wait until {:.0}: an authorization that nobody uses holds its id no longer",
                authorization.expires
            )))
        }
        Err(error) => Err(error),
    }
}

/// The source's part: what to copy with somebody's leave.
#[derive(Debug)]
pub struct AuthorizedPlan {
    /// The resource that has the model.
    pub source: Resource,
    /// What to copy.
    pub model_id: ModelId,
    /// The leave, which says where to, as what, and with which version.
    pub handover: Handover,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// From one question for the status to the next.
    pub poll_interval: Duration,
}

impl AuthorizedPlan {
    /// Refuses what can be seen to be impossible before anybody is asked.
    ///
    /// # Errors
    /// When the leave has expired, or is for another version than the model can be of.
    pub fn check(&self) -> Result<(), Error> {
        self.handover.refuse_expired(Timestamp::now())?;
        if self.handover.version.has_document_models() { Ok(()) } else { refuse_unless_uuid(&self.model_id) }
    }

    fn connect<'a>(&self, observer: Observer<'a>, stop: &'a Stop) -> Result<Client<'a>, Error> {
        let source = Connection::http(&self.source)?.client(circumstances(self.timeout, observer, stop));
        source.hide(&self.handover.authorization.access_token);
        Ok(source)
    }

    fn record(&self) -> Record {
        let Handover { target, version, kind, address, authorization } = &self.handover;
        let mut record = Record::new(*kind, &self.source.endpoint, Some(target));
        record.source_model_id = Some(self.model_id.clone());
        record.api_version = Some(*version);
        record.note_authorization(authorization, address.as_ref());
        record
    }

    /// What the source shows of the model, where it shows it.
    async fn look(&self, source: &Client<'_>, observer: Observer<'_>) -> Result<Option<Model>, Error> {
        let Handover { version, kind, .. } = self.handover;
        observer(Event::LookingAt(Side::Source));
        let model = match read_model(source, version, kind, &self.model_id).await {
            Ok(model) => {
                refuse_unless_ready(&model)?;
                Some(model)
            }
            Err(error) if is_inconclusive(&error) => {
                observer(Event::Inconclusive { error: &error });
                None
            }
            Err(error) if error.finding() == Finding::NoSuchModel => {
                return Err(error.saying(format!("the source has no {kind} {} of API {version}", self.model_id)));
            }
            Err(error) => return Err(error),
        };
        observer(Event::Found { version, model: model.as_ref() });
        Ok(model)
    }

    async fn start_and_follow(
        &self,
        source: &Client<'_>,
        observer: Observer<'_>,
        stop: &Stop,
        record: &mut Record,
    ) -> Result<(), Error> {
        let Handover { version, kind, ref authorization, .. } = self.handover;
        let (allow_degrade, poll_interval) = (self.allow_degrade, self.poll_interval);
        let target = None;
        let starting = Starting { source, target, observer, stop, version, kind, allow_degrade, poll_interval };
        let started = starting.start(&*self.handover.protocol()?, &self.model_id, authorization, record).await;
        let operation = match started {
            Ok(Started::Follow(operation)) => operation,
            Ok(Started::Done) => return Ok(()),
            // The authorization was not used: the same command may be run again.
            Ok(Started::Nothing(error)) => return Err(error),
            Err(error) if is_ambiguous(&error) || error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.held(error, observer)),
        };
        let deadline = source.deadline();
        let pursuit = Pursuit { version, source, observer, poll_interval, deadline, accepted: true };
        match pursuit.follow(&operation, record).await {
            Ok(_) => {
                observer(Event::NotVerifiable);
                Ok(())
            }
            Err(error) if has_ended(&error) => Err(self.held(error, observer)),
            Err(error) => Err(error),
        }
    }

    /// What the source refuses or fails to copy leaves an id on the target, and only its own side can give it back.
    fn held(&self, error: Error, observer: Observer<'_>) -> Error {
        observer(Event::HeldByTarget { target_model_id: &self.handover.authorization.target_model_id });
        if error.service().is_some_and(service_error::is_about_authorization) {
            return error.with_remedy(
                "ask the target's side for another authorization: this one was used before, was changed, or does not name \
                 the target's true resource id and region; where the message speaks of encryption, --allow-degrade helps",
            );
        }
        error
    }
}

/// Copies a model with somebody's leave, until the end or until told to stop. The target is not asked anything.
pub async fn copy_authorized(plan: &AuthorizedPlan, observer: Observer<'_>, stop: &Stop) -> Outcome {
    let mut record = plan.record();
    let result = async {
        let source = &plan.connect(observer, stop)?;
        plan.look(source, observer).await?;
        plan.start_and_follow(source, observer, stop, &mut record).await.map(|()| Success::Copied)
    };
    let result = result.await;
    record.outcome(result)
}

/// Says what [`copy_authorized`] would do, and what stands in its way on the source. It only reads.
pub async fn rehearse_authorized(plan: &AuthorizedPlan, observer: Observer<'_>, stop: &Stop) -> Outcome {
    let result = async {
        let source = &plan.connect(observer, stop)?;
        plan.look(source, observer).await.map(|_| Success::WouldCopy)
    };
    plan.record().outcome(result.await)
}
