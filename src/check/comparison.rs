//! What a check compares, what it shows of it, and what it reports meanwhile.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::inventory::{Inventory, Listed};
use crate::model::{Kind, Model, ModelId};
use crate::model_diff::Training;
use crate::resource::{Endpoint, Side};
use crate::samples::{Extent, SamplesOutcome};

/// A model of the source, one of the target, or both, and what tells them apart.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// A model or a classifier.
    pub kind: Kind,
    /// The source resource, where a manifest names it.
    pub source_endpoint: Option<Endpoint>,
    /// On the source, or as a manifest has recorded it.
    pub source: Option<Model>,
    /// On the target.
    pub target: Option<Model>,
    /// The id that the copy should have, if that is known.
    pub copy_id: Option<ModelId>,
    /// What came of it.
    pub verdict: Verdict,
    /// The training of the source model and the version that shows it, where both sides are the same.
    pub training: Option<(ApiVersion, Training)>,
    /// When a manifest says that the copy was last verified, by the target's clock.
    pub verified_at: Option<Timestamp>,
    /// The version in which both can be used, or the one that is there.
    pub version: Option<ApiVersion>,
    /// What came of its samples, if there is a plan for them and it is on both sides.
    pub samples: Option<SamplesOutcome>,
}

/// What the check of one target has shown.
#[derive(Debug)]
pub(crate) struct Checked {
    /// One comparison per model.
    pub comparisons: Vec<Comparison>,
    /// The time by the target's own clock.
    pub target_time: Option<Timestamp>,
}

/// What came of the check of each target.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Why the source is unavailable.
    pub source_down: Option<Error>,
    /// One result per target.
    pub targets: Vec<Result<TargetCheck, Error>>,
}

/// What came of the check of one target.
#[derive(Debug)]
pub(crate) enum TargetCheck {
    /// It was compared with the source.
    Compared(Checked),
    /// The source is unavailable. This is what the target has.
    Listed(TargetInventory),
}

/// What a target has.
#[derive(Debug)]
pub(crate) struct TargetInventory {
    /// Its models.
    pub inventory: Inventory,
    /// The time by its own clock.
    pub time: Option<Timestamp>,
}

impl Comparison {
    /// A comparison of a source model with what the target has.
    pub(crate) fn new(version: ApiVersion, source: Model, target: Option<Model>, verdict: Verdict) -> Self {
        let kind = source.kind;
        Self { source: Some(source), target, version: Some(version), ..Self::empty(kind, verdict) }
    }

    /// A model that only the target has.
    pub(crate) fn only_on_target(Listed { version, model }: Listed) -> Self {
        let kind = model.kind;
        Self { target: Some(model), version: Some(version), ..Self::empty(kind, Verdict::OnlyOnTarget) }
    }

    pub(super) fn empty(kind: Kind, verdict: Verdict) -> Self {
        let (source, target, source_endpoint, copy_id) = (None, None, None, None);
        let (training, verified_at, version, samples) = (None, None, None, None);
        Self { kind, source_endpoint, source, target, copy_id, verdict, training, verified_at, version, samples }
    }
}

/// What came of a comparison.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Both come from the same training.
    Same,
    /// The target has no copy.
    OnlyOnSource,
    /// The source has no such model.
    OnlyOnTarget,
    /// They come from different trainings, or read samples otherwise, in these points.
    Differs(Vec<String>),
    /// One of the two could not be read, or did not read its samples.
    Unread(Error),
}

impl Verdict {
    /// The points in which the two differ, if they come from different trainings.
    #[must_use]
    pub(crate) fn differences(&self) -> &[String] {
        if let Self::Differs(found) = self { found } else { &[] }
    }
}

/// What is said while it is being compared.
#[derive(Debug)]
pub(crate) enum CheckEvent<'a> {
    /// A request will be sent again.
    Waiting {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// A list has entries that cannot be read, which are not compared.
    Unread {
        /// Whose list.
        side: Side,
        /// How many.
        count: usize,
    },
    /// The copies that a manifest records on the target are of these sources.
    Recorded {
        /// The sources.
        sources: &'a [&'a Endpoint],
    },
    /// Further copies on the target of v2.1 models that have one.
    Spare {
        /// How many.
        count: usize,
    },
    /// Samples are sent to both resources.
    Sampling(&'a Extent),
    /// Samples are done.
    Sampled {
        /// How many.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Models that are not ready are not compared: failed trainings, and blank targets of v2.1 copies.
    NotReady {
        /// Whose models.
        side: Side,
        /// How many.
        count: usize,
    },
}
