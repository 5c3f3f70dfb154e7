//! A copy between two parties, each with the credential of its own resource only: the target's operator authorizes, the
//! source's operator copies with the authorization, and the target's operator revokes an unused one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authorized::Authorized;
use super::context::Context;
use super::event::{Event, Observer};
use super::journal::NoJournal;
use super::plan::{
    StepOptions, check_id, classifiers_need_newer, needs_target_address, not_with_copies_named_by_service,
    refuse_for_classifiers,
};
use super::preflight::{check_ready, check_region};
use super::release::{
    Claim, Copied, Deletion, Owner, RELEASE_TIME, Reservation, Reserved, delete_unless_ready, release,
};
use super::report::{Done, Outcome, Recorder, Report};
use super::reserve::{AuthorizeRequest, reserve};
use super::run::{Connect, call_context};
use super::running::RunningCopy;
use super::start::start;
use super::transfer::finish;
use crate::api::version::ApiVersion;
use crate::api::{Naming, NewCopy};
use crate::authorization_file::AuthorizationFile;
use crate::client::{Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, ModelId};
use crate::resource::{Resource, Side, TargetAddress};

/// The part of the target's operator: which copy to authorize.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizePlan {
    /// The target resource.
    pub target: Resource,
    /// The version to copy with. The source cannot be asked.
    pub api_version: ApiVersion,
    /// A model or a classifier.
    pub kind: Kind,
    /// The id of the copy (v3.0 and later); in v2.1 the service chooses it.
    pub target_model_id: Option<ModelId>,
    /// Where the target is in Azure; v2.1 needs it.
    pub target_address: Option<TargetAddress>,
    /// The description of the copy (v3.0 and later); `None` leaves it to the service.
    pub description: Option<String>,
    /// The tags of the copy (v3.0 and later); `None` leaves them to the service.
    pub tags: Option<BTreeMap<String, String>>,
    /// For the whole command.
    pub timeout: Duration,
}

impl AuthorizePlan {
    /// Refuses what is impossible before any request is sent.
    ///
    /// # Errors
    /// When the copy cannot be made with this version.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.copy().map(drop)
    }

    fn copy(&self) -> Result<NewCopy, Error> {
        let (version, kind) = (self.api_version, self.kind);
        if !version.wire().copies(kind) {
            return Err(classifiers_need_newer(version));
        }
        if kind == Kind::Classifier {
            refuse_for_classifiers(self.description.is_some(), self.tags.is_some())?;
        }
        let naming = if version.wire().service_names_the_copy() {
            Naming::ByService(self.address_for_copy_named_by_service()?)
        } else {
            let id = self.target_model_id.clone().ok_or_else(|| needs_target_model_id(version))?;
            Naming::ByCaller { id, description: self.description.clone(), tags: self.tags.clone() }
        };
        Ok(NewCopy { kind, naming })
    }

    fn address_for_copy_named_by_service(&self) -> Result<TargetAddress, Error> {
        let version = self.api_version;
        let refused = [
            ("a target model id", self.target_model_id.is_some()),
            ("--description", self.description.is_some()),
            ("--tag", self.tags.is_some()),
        ];
        if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(not_with_copies_named_by_service(version, option));
        }
        self.target_address.clone().ok_or_else(|| needs_target_address(version, &self.target.label))
    }

    /// Whether the target says that the id is free. Where the target chooses it, its region is compared.
    ///
    /// # Errors
    /// When the target has such a model, is in another region, or refuses.
    async fn check_free(&self, target: &Client<'_>, copy: &NewCopy, observer: Observer<'_>) -> Result<bool, Error> {
        observer(Event::PreflightOf(Side::Target));
        let Some(id) = copy.id() else {
            check_region(target, self.api_version, copy.address(), observer).await?;
            return Ok(false);
        };
        match target.read(&self.api_version.wire().model(self.kind, id)).await {
            Ok(_) => Err(Error::new(ErrorKind::Exists, format!("{} already has a {} {id}", target.label(), self.kind))
                .with_remedy("choose another id, or delete the model from that resource")),
            Err(error) if error.is_no_such_model() => Ok(true),
            Err(error) if error.is_inconclusive() => {
                observer(Event::Inconclusive { error: &error });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn needs_target_model_id(version: ApiVersion) -> Error {
    let named_by_service = ApiVersion::all().filter(|version| version.wire().service_names_the_copy());
    let named_by_service: Vec<_> = named_by_service.map(|version| version.to_string()).collect();
    Error::settings(
        format!("a {version} copy needs an id on the target"),
        format!(
            "give it: frcopy authorize TARGET_MODEL_ID --out FILE; only {} chooses the id of a copy itself",
            named_by_service.join(", ")
        ),
    )
}

/// Authorizes one copy, and keeps the authorization. If it cannot be kept, its id is released.
///
/// # Errors
/// When the target refuses, or the authorization cannot be kept.
pub(crate) async fn authorize(
    plan: &AuthorizePlan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    keep: impl FnOnce(&AuthorizationFile) -> Result<(), Error>,
) -> Result<AuthorizationFile, Error> {
    authorize_over(plan, observer, cancel, &Connection::http, keep).await
}

/// [`authorize`] over another transport.
pub(super) async fn authorize_over(
    plan: &AuthorizePlan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
    keep: impl FnOnce(&AuthorizationFile) -> Result<(), Error>,
) -> Result<AuthorizationFile, Error> {
    let copy = plan.copy()?;
    let address = copy.address().cloned();
    let context = call_context(plan.timeout, observer, cancel);
    let target = &connect(&plan.target)?.client(context);
    let (version, kind) = (plan.api_version, plan.kind);
    let is_free = plan.check_free(target, &copy, observer).await?;
    let (authorized, _kept) = reserve(target, observer, AuthorizeRequest::without_source(version, copy, is_free))
        .await
        .map_err(|e| e.error)?;
    let authorization = authorized.authorization;
    let file = AuthorizationFile { target: plan.target.endpoint.clone(), version, kind, address, authorization };
    if let Err(error) = keep(&file) {
        let until = target.release_deadline(RELEASE_TIME);
        let reserved = Reserved {
            target,
            version,
            kind,
            id: &file.authorization.target_model_id,
            claim: Claim::AuthorizedAt(Instant::now()),
        };
        release(&reserved, observer, until, async || RunningCopy::Absent).await;
        return Err(error);
    }
    Ok(file)
}

/// Releases the id of an unused authorization.
///
/// # Errors
/// When it was used, its id is not there, or the target does not delete it.
pub(crate) async fn revoke(
    target: &Resource,
    file: &AuthorizationFile,
    timeout: Duration,
    observer: Observer<'_>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let AuthorizationFile { version, kind, authorization, .. } = file;
    let id = &authorization.target_model_id;
    let context = call_context(timeout, observer, cancel);
    let client = &Connection::http(target)?.client(context);
    // It is the whole work of the command, so it ends with its deadline.
    let until = client.release_deadline(RELEASE_TIME).min(client.deadline());
    let reserved = Reserved { target: client, version: *version, kind: *kind, id, claim: Claim::AuthorizedEarlier };
    match client.interruptible(delete_unless_ready(&reserved, until, async || RunningCopy::Absent)).await? {
        Ok(Deletion::Deleted) => {
            observer(Event::Released { target_model_id: id });
            Ok(())
        }
        // It is the authorization's own id: no other process is asked for.
        Ok(Deletion::Ready | Deletion::InUse) => {
            let what = format!("the authorization was used: {} has a ready {kind} {id}", client.label());
            Err(Error::new(ErrorKind::Exists, what)
                .with_remedy("keep the model, or delete it from the target resource if it is not needed"))
        }
        // Where the service chooses the ids, an unused authorization has a blank model: without it, nothing is reserved.
        Err(error) if error.is_no_such_model() && version.wire().service_names_the_copy() => Ok(()),
        Err(error) if error.is_no_such_model() => {
            let what = format!("{} has nothing under {id} that it could delete", client.label());
            let expires = authorization.expires;
            Err(error.with_message(what).with_remedy(format!(
                "wait until {expires:.0}: then the unused authorization has expired and its id is free"
            )))
        }
        Err(error) => Err(error),
    }
}

/// The part of the source's operator: what to copy with an authorization.
#[derive(Debug)]
pub(crate) struct DelegatedPlan {
    /// The source resource.
    pub source: Resource,
    /// The model to copy.
    pub model_id: ModelId,
    /// The authorization, which says where to, which kind, and with which version.
    pub file: AuthorizationFile,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// Delay between status polls.
    pub poll_interval: Duration,
}

impl DelegatedPlan {
    /// Refuses what is impossible before any request is sent.
    ///
    /// # Errors
    /// When the authorization is for another version than the model can be of.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_id(self.file.version, &self.model_id)
    }

    fn connect<'a>(
        &self,
        connect: Connect<'_>,
        observer: Observer<'a>,
        cancel: &'a CancellationToken,
    ) -> Result<Client<'a>, Error> {
        if self.file.seems_expired(Timestamp::now()) {
            observer(Event::SeemsExpired { expires: self.file.authorization.expires });
        }
        let context = call_context(self.timeout, observer, cancel);
        Ok(connect(&self.source)?.client(context))
    }

    fn recorder(&self) -> Recorder {
        let AuthorizationFile { target, version, kind, address, authorization } = &self.file;
        Recorder::new(*kind, &self.source).with(|report| {
            report.target = Some(target.clone());
            report.source_model_id = Some(self.model_id.clone());
            report.api_version = Some(*version);
            report.record_authorization(authorization, address.as_ref());
        })
    }

    /// Reads the model on the source.
    async fn preflight(&self, source: &Client<'_>, observer: Observer<'_>) -> Result<(), Error> {
        let AuthorizationFile { version, kind, .. } = self.file;
        observer(Event::PreflightOf(Side::Source));
        let call = version.wire().model(kind, &self.model_id);
        let model = match source.read_with_first_answer(&call).await {
            Ok(model) => {
                check_ready(source, &model)?;
                Some(model)
            }
            // A source that has answered nothing must not use up the authorization.
            Err(error) if error.is_inconclusive() && source.has_answered() => {
                observer(Event::Inconclusive { error: &error });
                None
            }
            Err(error) if error.is_no_such_model() => {
                let what = format!("{} has no {kind} {} of API {version}", source.label(), self.model_id);
                return Err(error.with_message(what));
            }
            Err(error) => return Err(error),
        };
        observer(Event::Found { version, kind, shown_by: version, model: model.as_ref() });
        let id = &self.file.authorization.target_model_id;
        if !version.wire().service_names_the_copy() && *id != self.model_id {
            observer(Event::NamedByOtherParty { target_model_id: id });
        }
        Ok(())
    }

    /// The calls after the authorize request, which the target's operator has sent.
    async fn transfer(self, cx: &Context<'_>) -> Result<Copied, Error> {
        let Self { model_id, file, .. } = self;
        let copy = file.copy()?;
        let AuthorizationFile { version, kind, authorization, .. } = file;
        let id = authorization.target_model_id.clone();
        let reservation =
            Reservation::new(version, kind, id, Owner::OtherParty).at(authorization.target_location.clone());
        let authorized = Authorized::received_now(version, copy, authorization);
        let start = start(cx, &model_id, authorized).await;
        finish(cx, start, reservation).await.result()
    }
}

/// Copies a model with an authorization file, until there is a verdict or the command is cancelled. No request is sent to
/// the target.
pub(crate) async fn copy_delegated(plan: DelegatedPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    copy_delegated_over(plan, observer, cancel, &Connection::http).await
}

/// [`copy_delegated`] over another transport.
pub(super) async fn copy_delegated_over(
    plan: DelegatedPlan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Report {
    let recorder = plan.recorder();
    let record = |event: Event<'_>| {
        recorder.record(&event);
        observer(event);
    };
    let result = async {
        let source = &plan.connect(connect, &record, cancel)?;
        plan.preflight(source, &record).await?;
        let DelegatedPlan { allow_degrade, poll_interval, .. } = plan;
        let options = StepOptions { allow_degrade, verify: false, poll_interval };
        plan.transfer(&Context { source, target: None, options, observer: &record, journal: &NoJournal }).await
    };
    let result = result.await.map(|copied| Done::with_copy(Outcome::Copied, copied));
    recorder.finish(result)
}

/// Says what [`copy_delegated`] would do, and what would prevent it on the source. It only reads.
pub(crate) async fn dry_run_delegated(
    plan: &DelegatedPlan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
) -> Report {
    let result = async {
        let source = &plan.connect(&Connection::http, observer, cancel)?;
        plan.preflight(source, observer).await
    };
    let target_model_id = Some(plan.file.authorization.target_model_id.clone());
    let done = |()| Done::unverified(Outcome::WouldCopy, target_model_id);
    plan.recorder().finish(result.await.map(done))
}
