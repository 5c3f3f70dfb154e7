//! Which training was copied: the source model may have been trained again, under the same id, after it was read and before
//! its copy was started.

use super::context::Job;
use super::event::Event;
use super::preflight::{Lookup, SourceModel};
use super::release::Copied;
use crate::model::{Model, ModelId};
use crate::model_diff::shows_other_training;

/// From which training a copy comes.
enum Origin {
    /// The one that the source showed before the copy.
    AsRead,
    /// The one that the source shows now.
    AsNow(Box<Model>),
    /// Neither of them.
    Other,
    /// The target or one of the models cannot be read.
    Unknown,
}

impl Job<'_> {
    /// Checks that a copy comes from the training that the source showed. Where it does not, the source is read again, and
    /// what it shows is reported.
    pub(super) async fn check_training(&self, source: &SourceModel, copied: &Copied) {
        let Some(model) = source.model.as_ref().filter(|_| copied.verified && !copied.is_of_other) else { return };
        if copied.shown.as_ref().is_some_and(|shown| !shows_other_training(model, shown)) {
            return;
        }
        let now = match self.origin(source, &copied.id).await {
            Origin::AsRead => return,
            // Nothing has shown another training.
            Origin::Unknown if copied.shown.is_none() => return,
            Origin::AsNow(now) => Some(now),
            Origin::Other | Origin::Unknown => None,
        };
        self.cx.emit(Event::TrainedAgain { shown_by: source.shown_by, model: now.as_deref() });
    }

    /// Reads the copy, and where it is not of the training that is known, the source, both with the same version.
    async fn origin(&self, source: &SourceModel, id: &ModelId) -> Origin {
        let SourceModel { shown_by, kind, .. } = *source;
        let Ok(Lookup::Found(copy)) = self.look_up(self.target, shown_by, kind, id).await else {
            return Origin::Unknown;
        };
        match source.is_same_training(&copy) {
            Ok(true) => return Origin::AsRead,
            Ok(false) => {}
            Err(_) => return Origin::Unknown,
        }
        let Ok(Lookup::Found(now)) = self.look_up(self.cx.source, shown_by, kind, &source.id).await else {
            return Origin::Other;
        };
        let now_shown = SourceModel { model: Some(now.clone()), ..source.clone() };
        if now_shown.is_same_training(&copy).unwrap_or(false) { Origin::AsNow(Box::new(now)) } else { Origin::Other }
    }
}
