//! The report of a copy, assembled from its events and its result. No step reads it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::event::Event;
use super::release::Copied;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::error::{Error, ErrorKind};
use crate::label::Label;
use crate::model::{Kind, Model, ModelId};
use crate::model_diff::Training;
use crate::operation::OperationUrl;
use crate::resource::{Endpoint, Resource, TargetAddress};
use crate::resource_name::ResourceName;
use crate::text::UntrustedText;

/// A successful outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The copy is there and ready.
    Copied,
    /// The copy is there and ready, and has replaced another model.
    Replaced,
    /// The target already had a copy of the same training.
    AlreadyThere,
    /// Dry run: a copy would be made.
    WouldCopy,
    /// Dry run: a copy would replace another model.
    WouldReplace,
}

/// What is known of one copy. Everything is absent until the service has said it.
#[derive(Debug)]
pub struct Report {
    /// A model or a classifier, where it is known.
    pub kind: Option<Kind>,
    /// The source resource, where it is known.
    pub source: Option<Endpoint>,
    /// The name of the source resource, if the user gave it one.
    pub source_resource: Option<ResourceName>,
    /// How messages name the source resource.
    pub(crate) source_label: Option<Arc<Label>>,
    /// The model that was copied, where it is known.
    pub source_model_id: Option<ModelId>,
    /// Its name (v2.1).
    pub source_name: Option<UntrustedText>,
    /// The target resource, where it is known.
    pub target: Option<Endpoint>,
    /// The name of the target resource, if the user gave it one.
    pub target_resource: Option<ResourceName>,
    /// How messages name the target resource.
    pub(crate) target_label: Option<Arc<Label>>,
    /// The version that the copy used.
    pub api_version: Option<ApiVersion>,
    /// The id of the copy.
    pub target_model_id: Option<ModelId>,
    /// The target's resource id: as given for v2.1, as the target says in later versions.
    pub target_resource_id: Option<UntrustedText>,
    /// The target's region, likewise.
    pub target_region: Option<UntrustedText>,
    /// The operation.
    pub operation: Option<OperationUrl>,
    /// Whether the target itself showed the copy, ready.
    pub verified: bool,
    /// When it did, by the target's own clock.
    pub(crate) verified_at: Option<Timestamp>,
    /// When a copy that was made ended, by the source's own clock.
    pub(crate) ended_at: Option<Timestamp>,
    /// The training of the source model and the version that shows it, where the source shows it.
    pub(crate) training: Option<(ApiVersion, Training)>,
    /// Known copies of the model that the target does not have.
    pub(crate) missing_copies: Vec<ModelId>,
    /// When the copy began, by the local clock.
    pub started_at: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// The service's ids of the requests.
    pub request_ids: RequestIds,
    /// Whether the copy was begun: not if the command was cancelled before, or the source or the target could not be
    /// reached.
    pub begun: bool,
    /// The outcome, or why there is none.
    pub result: Result<Outcome, Error>,
}

/// The `apim-request-id` of each call of a copy, which Azure support asks for.
#[derive(Debug, Default)]
pub struct RequestIds {
    /// Of the answer with the authorization.
    pub authorize: Option<UntrustedText>,
    /// Of the answer that accepted the copy.
    pub start: Option<UntrustedText>,
    /// Of the last answered poll.
    pub last_poll: Option<UntrustedText>,
}

/// How a copy ended well.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// The id of the copy, where there is or will be one.
    pub(super) target_model_id: Option<ModelId>,
    /// Whether the target itself showed the copy, ready.
    pub(super) verified: bool,
    /// When it did, by the target's clock.
    verified_at: Option<Timestamp>,
    /// When the copy was made, by the source's clock.
    ended_at: Option<Timestamp>,
}

impl Done {
    /// A copy that was made, with this outcome unless another process made it.
    pub(super) fn with_copy(outcome: Outcome, Copied { id, verified, is_of_other, .. }: Copied) -> Self {
        let outcome = if is_of_other { Outcome::AlreadyThere } else { outcome };
        Self { verified, ..Self::unverified(outcome, Some(id)) }
    }

    /// A copy of the same training that was there before.
    pub(super) fn already_there(id: ModelId) -> Self {
        Self::shown(Outcome::AlreadyThere, id)
    }

    /// An outcome that the target has shown.
    pub(super) fn shown(outcome: Outcome, id: ModelId) -> Self {
        Self { verified: true, ..Self::unverified(outcome, Some(id)) }
    }

    /// An outcome that the target has not shown.
    pub(super) fn unverified(outcome: Outcome, target_model_id: Option<ModelId>) -> Self {
        Self { outcome, target_model_id, verified: false, verified_at: None, ended_at: None }
    }

    /// Adds the time of the end, by the clocks of source and target.
    pub(super) fn at(self, source: Option<Timestamp>, target: Option<Timestamp>) -> Self {
        let is_made = matches!(self.outcome, Outcome::Copied | Outcome::Replaced);
        Self { ended_at: source.filter(|_| is_made), verified_at: target.filter(|_| self.verified), ..self }
    }
}

/// Collects a report while a copy runs.
pub(super) struct Recorder {
    report: RefCell<Report>,
    /// The source model and the version that shows it.
    found: RefCell<Option<(ApiVersion, Model)>>,
    began: Cell<Instant>,
    /// Whether an id was reserved.
    has_reserved: Cell<bool>,
    /// Whether the target has shown a training that the source does not show.
    is_other_training: Cell<bool>,
}

impl Recorder {
    /// A recorder for a copy that begins now.
    pub(super) fn new<'a>(kind: impl Into<Option<Kind>>, source: impl Into<Option<&'a Resource>>) -> Self {
        let source = source.into();
        let report = Report {
            kind: kind.into(),
            source: source.map(|source| source.endpoint.clone()),
            source_resource: source.and_then(|source| source.name.clone()),
            source_label: source.map(|source| Arc::clone(&source.label)),
            source_model_id: None,
            source_name: None,
            target: None,
            target_resource: None,
            target_label: None,
            api_version: None,
            target_model_id: None,
            target_resource_id: None,
            target_region: None,
            operation: None,
            verified: false,
            verified_at: None,
            ended_at: None,
            training: None,
            missing_copies: Vec::new(),
            started_at: Timestamp::now(),
            elapsed: Duration::ZERO,
            request_ids: RequestIds::default(),
            begun: true,
            result: Err(Error::new(ErrorKind::Unforeseen, "the copy has not ended")),
        };
        Self {
            report: RefCell::new(report),
            found: RefCell::default(),
            began: Cell::new(Instant::now()),
            has_reserved: Cell::default(),
            is_other_training: Cell::default(),
        }
    }

    /// Sets the target.
    pub(super) fn to(self, target: &Resource) -> Self {
        self.with(|report| {
            report.target = Some(target.endpoint.clone());
            report.target_resource.clone_from(&target.name);
            report.target_label = Some(Arc::clone(&target.label));
        })
    }

    /// Sets what is known before the first event.
    pub(super) fn with(self, set: impl FnOnce(&mut Report)) -> Self {
        set(&mut self.report.borrow_mut());
        self
    }

    /// Adds what an event says.
    pub(super) fn record(&self, event: &Event<'_>) {
        let report = &mut *self.report.borrow_mut();
        match event {
            Event::Found { version, kind, shown_by, model } => {
                *self.found.borrow_mut() = model.map(|model| (*shown_by, model.clone()));
                report.api_version = Some(*version);
                report.kind = Some(*kind);
                report.source_name = model.and_then(|model| model.name.clone());
            }
            Event::TrainedAgain { shown_by, model } => {
                *self.found.borrow_mut() = model.map(|model| (*shown_by, model.clone()));
                report.source_name = model.and_then(|model| model.name.clone());
                self.is_other_training.set(model.is_none());
            }
            // A replacement may wait again.
            Event::LeftQueue if report.target_model_id.is_none() => {
                report.started_at = Timestamp::now();
                self.began.set(Instant::now());
            }
            // A replacement has its staging copy.
            Event::NotTried => report.begun = self.has_reserved.get(),
            Event::Authorized { authorization, address, request_id } => {
                self.has_reserved.set(true);
                report.record_authorization(authorization, *address);
                report.request_ids.authorize = request_id.cloned();
            }
            Event::Started { operation, request_id } => {
                report.operation = Some((*operation).clone());
                report.request_ids.start = request_id.cloned();
            }
            Event::Polled { request_id, .. } => report.request_ids.last_poll = request_id.cloned(),
            Event::Adopted { target_model_id, operation } => {
                report.operation = Some((*operation).clone());
                report.target_model_id = Some((*target_model_id).clone());
            }
            Event::Continued { kind, target_model_id, operation } => {
                report.kind = Some(*kind);
                report.target_model_id = Some((*target_model_id).clone());
                report.operation = operation.cloned();
            }
            Event::Resumed { kind, target_model_id } => {
                report.kind = Some(*kind);
                report.target_model_id = Some((*target_model_id).clone());
            }
            Event::AdoptionEnded | Event::RepeatInconclusive => report.operation = None,
            Event::AlreadyThere { target_model_id } => report.target_model_id = Some((*target_model_id).clone()),
            Event::CopyMissing { target_model_id } => report.missing_copies.push((*target_model_id).clone()),
            Event::StartingOver => report.target_model_id = None,
            Event::Staged => {
                report.operation = None;
                report.target_model_id = None;
            }
            _ => {}
        }
    }

    /// Completes the report.
    pub(super) fn finish(self, result: Result<Done, Error>) -> Report {
        let mut report = self.report.into_inner();
        report.elapsed = self.began.get().elapsed();
        report.result = result.map(|done| {
            report.target_model_id = done.target_model_id;
            report.verified = done.verified;
            // A time of verification is that of a training.
            report.verified_at = done.verified_at.filter(|_| !self.is_other_training.get());
            report.ended_at = done.ended_at;
            done.outcome
        });
        if let (Some((version, model)), Some(copy)) = (self.found.into_inner(), &report.target_model_id) {
            report.training = model.unreadable.is_none().then(|| (version, Training::of(&model, copy)));
        }
        report
    }
}

impl Report {
    /// Adds what an authorization says. In v2.1 the target does not say where it is.
    pub(super) fn record_authorization(&mut self, authorization: &CopyAuthorization, address: Option<&TargetAddress>) {
        let resource_id = address.map(|address| address.resource_id.as_str().into());
        let region = address.map(|address| address.region.as_str().into());
        self.target_resource_id = resource_id.or_else(|| authorization.target_resource_id.clone());
        self.target_region = region.or_else(|| authorization.target_region.clone());
        self.target_model_id = Some(authorization.target_model_id.clone());
    }
}
