//! What a batch reports while it runs.

use std::time::Duration;

use super::event::Event;
use super::report::Report;
use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::model::{Kind, ModelId};

/// One event of a batch.
#[derive(Debug)]
pub(crate) enum BatchEvent<'a> {
    /// A request that belongs to no single copy will be sent again.
    Retrying {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// The source cannot be reached or refuses the credentials, and no copy is begun.
    SourceGivenUp(&'a Error),
    /// Why the models that wait for the target are not tried. It is reported once.
    GivenUp(&'a Error),
    /// The target has less room than is needed if none of the selected models is there already.
    MayNotFit {
        /// The newest version of those that share the limit.
        version: ApiVersion,
        /// How many models the target has room for.
        room: u64,
        /// How many models are selected.
        selected: u64,
    },
    /// The source is being listed.
    Listing,
    /// The list has entries that cannot be read.
    Unreadable {
        /// How many.
        count: usize,
    },
    /// The source has staging copies of a replacement, which are left out.
    StagingLeftOut {
        /// How many.
        count: usize,
    },
    /// The source has models whose ids have the form of the template's results, which are left out.
    ResultsLeftOut {
        /// Their ids.
        ids: &'a [ModelId],
    },
    /// The description and the tags that were given apply to models only.
    ForModelsOnly {
        /// How many classifiers are selected.
        classifiers: usize,
    },
    /// The template for the ids of copies does not apply to copies whose ids the service chooses (v2.1).
    TemplateNotUsed {
        /// How many such models are selected.
        count: usize,
    },
    /// The models to copy are known.
    Selected {
        /// How many models and classifiers.
        count: usize,
        /// How many of them start at a limit per minute (v2.1).
        by_the_minute: usize,
        /// Models that a pattern selects and that are left out because they are not ready.
        not_ready: &'a [ModelId],
    },
    /// A copy begins.
    Begun {
        /// The source model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
    },
    /// An event of one copy.
    OfCopy {
        /// The source model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
        /// The event.
        event: Event<'a>,
    },
    /// There are no more events of it.
    Left {
        /// The source model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
    },
    /// A copy has ended.
    Ended(&'a Report),
}

/// Receives each [`BatchEvent`].
pub(crate) type BatchObserver<'a> = &'a dyn Fn(BatchEvent<'_>);
