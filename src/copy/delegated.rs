//! A copy between two parties, each with the credential of its own resource and of no other: one gives leave, the other
//! copies with it, and what was not used is given back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::authorize::{Reserving, Wanted};
use super::plan::{classifiers_need_newer, needs_target_address, refuse_unless_uuid};
use super::poll::{Pursuit, has_ended};
use super::preflight::{is_inconclusive, read_model, refuse_unless_ready};
use super::release::delete_unless_ready;
use super::start::{Started, Starting, is_ambiguous};
use super::{Event, Observer, Outcome, Report, context};
use crate::api::version::ApiVersion;
use crate::api::{NewModel, Protocol, custom_models_protocol, document_models_protocol, service_error};
use crate::authorization_file::AuthorizationFile;
use crate::client::{Client, Connection};
use crate::error::{Error, ErrorKind, Finding};
use crate::model::{Kind, Model, ModelId};
use crate::resource::{Resource, Side, TargetAddress};
use tokio_util::sync::CancellationToken;

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
    cancel: &CancellationToken,
    keep: impl FnOnce(&AuthorizationFile) -> Result<(), Error>,
) -> Result<AuthorizationFile, Error> {
    let protocol = plan.protocol()?;
    let target = &Connection::http(&plan.target)?.client(context(plan.timeout, observer, cancel));
    let (version, kind) = (plan.api_version, plan.kind);
    let wanted = plan.wanted(target, observer).await?;
    let reserving = Reserving { target, observer, cancel, version, kind, wanted };
    let (authorization, _) = reserving.authorize(&*protocol).await?;
    let address = plan.target_address.clone().filter(|_| !version.has_document_models());
    let handover = AuthorizationFile { target: plan.target.endpoint.clone(), version, kind, address, authorization };
    if let Err(error) = keep(&handover) {
        reserving.release(&handover.authorization.target_model_id).await;
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
    handover: &AuthorizationFile,
    timeout: Duration,
    observer: Observer<'_>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let AuthorizationFile { version, kind, authorization, .. } = handover;
    let id = &authorization.target_model_id;
    let client = &Connection::http(target)?.client(context(timeout, observer, cancel));
    match client.interruptible(delete_unless_ready(client, *version, *kind, id)).await? {
        Ok(Some(())) => {
            observer(Event::Released { target_model_id: id });
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
            Err(error.with_message(what).with_remedy(format!(
                "wait until {:.0}: an authorization that nobody uses holds its id no longer",
                authorization.expires
            )))
        }
        Err(error) => Err(error),
    }
}

/// The source's part: what to copy with somebody's leave.
#[derive(Debug)]
pub struct DelegatedPlan {
    /// The resource that has the model.
    pub source: Resource,
    /// What to copy.
    pub model_id: ModelId,
    /// The leave, which says where to, as what, and with which version.
    pub handover: AuthorizationFile,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// From one question for the status to the next.
    pub poll_interval: Duration,
}

impl DelegatedPlan {
    /// Refuses what can be seen to be impossible before anybody is asked.
    ///
    /// # Errors
    /// When the leave has expired, or is for another version than the model can be of.
    pub fn check(&self) -> Result<(), Error> {
        self.handover.refuse_expired(Timestamp::now())?;
        if self.handover.version.has_document_models() { Ok(()) } else { refuse_unless_uuid(&self.model_id) }
    }

    fn connect<'a>(&self, observer: Observer<'a>, cancel: &'a CancellationToken) -> Result<Client<'a>, Error> {
        let source = Connection::http(&self.source)?.client(context(self.timeout, observer, cancel));
        source.hide(&self.handover.authorization.access_token);
        Ok(source)
    }

    fn report(&self) -> Report {
        let AuthorizationFile { target, version, kind, address, authorization } = &self.handover;
        let mut report = Report::new(*kind, &self.source.endpoint, Some(target));
        report.source_model_id = Some(self.model_id.clone());
        report.api_version = Some(*version);
        report.note_authorization(authorization, address.as_ref());
        report
    }

    /// What the source shows of the model, where it shows it.
    async fn look(&self, source: &Client<'_>, observer: Observer<'_>) -> Result<Option<Model>, Error> {
        let AuthorizationFile { version, kind, .. } = self.handover;
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
                return Err(error.with_message(format!("the source has no {kind} {} of API {version}", self.model_id)));
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
        cancel: &CancellationToken,
        report: &mut Report,
    ) -> Result<(), Error> {
        let AuthorizationFile { version, kind, ref authorization, .. } = self.handover;
        let (allow_degrade, poll_interval) = (self.allow_degrade, self.poll_interval);
        let target = None;
        let starting = Starting { source, target, observer, cancel, version, kind, allow_degrade, poll_interval };
        let started = starting.start(&*self.handover.protocol()?, &self.model_id, authorization, report).await;
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
        match pursuit.follow(&operation, report).await {
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
pub async fn copy_delegated(plan: &DelegatedPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    let mut report = plan.report();
    let result = async {
        let source = &plan.connect(observer, cancel)?;
        plan.look(source, observer).await?;
        plan.start_and_follow(source, observer, cancel, &mut report).await.map(|()| Outcome::Copied)
    };
    let result = result.await;
    report.outcome(result)
}

/// Says what [`copy_delegated`] would do, and what stands in its way on the source. It only reads.
pub async fn dry_run_delegated(plan: &DelegatedPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    let result = async {
        let source = &plan.connect(observer, cancel)?;
        plan.look(source, observer).await.map(|_| Outcome::WouldCopy)
    };
    plan.report().outcome(result.await)
}
