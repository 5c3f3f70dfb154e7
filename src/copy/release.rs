//! Giving back: what this run has reserved and not used is deleted on the target, and nothing else ever is.

use std::time::Duration;

use tokio::time::Instant;

use super::pipeline::Pipeline;
use super::preflight::Look;
use super::{Event, Observer};
use crate::api::version::ApiVersion;
use crate::api::{self, Answer};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Finding};
use crate::model::{Kind, ModelId, Readiness};

/// All of it, the read and the deletion, on a resource that takes a request in a second and has others to answer. After
/// a signal it is over much sooner.
const TIME_TO_GIVE_BACK: Duration = Duration::from_secs(60);

/// What came of giving an id back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Released {
    /// The target says that it is deleted.
    Deleted,
    /// The target has a ready model of this id: there was nothing to give back.
    Ready,
    /// The target says that it has no such model, which says nothing of a reservation.
    NothingThere,
    /// The target could not be asked, or refused.
    NotGiven,
}

impl Pipeline<'_> {
    /// Gives a reserved id back and says what came of it.
    pub(super) async fn release(&self, look: &Look, id: &ModelId) -> Released {
        release(self.target, self.observer, look.found.version, look.found.kind, id).await
    }
}

/// Deletes one reserved id, after a read that does not show a ready model.
///
/// Whether that frees an id of v3.0 and later is not documented: the target's answer is reported, nothing is promised.
pub(super) async fn release(
    target: &Client<'_>,
    observer: Observer<'_>,
    version: ApiVersion,
    kind: Kind,
    target_model_id: &ModelId,
) -> Released {
    let deletion = tokio::select! {
        deletion = delete_unless_ready(target, version, kind, target_model_id) => deletion,
        () = target.end_of_grace(TIME_TO_GIVE_BACK) => {
            Err(Error::new(ErrorKind::Unavailable, "the target did not answer in time"))
        }
    };
    match deletion {
        Ok(Some(())) => {
            observer(Event::Released { target_model_id });
            Released::Deleted
        }
        Ok(None) => {
            observer(Event::FoundOnTarget { target_model_id });
            Released::Ready
        }
        // A deletion whose answer was lost has taken place; in v2.1 there is nothing else that could be there.
        Err(error) if error.finding() == Finding::NoSuchModel && !version.has_document_models() => Released::Deleted,
        Err(error) => {
            observer(Event::LeftBehind { target_model_id, error: &error });
            if error.finding() == Finding::NoSuchModel { Released::NothingThere } else { Released::NotGiven }
        }
    }
}

/// Deletes the id; nothing where the target has a ready model of it.
pub(super) async fn delete_unless_ready(
    target: &Client<'_>,
    version: ApiVersion,
    kind: Kind,
    id: &ModelId,
) -> Result<Option<()>, Error> {
    let until = Instant::now() + TIME_TO_GIVE_BACK;
    let read = |answer: &Answer| api::read_model(version, answer);
    // Being told to stop does not stop this: it is what is left to do.
    match target.last_word(&api::model(version, kind, id), until, read).await {
        Ok(model) if model.readiness == Readiness::Ready => return Ok(None),
        Ok(_) => {}
        Err(error) if error.finding() == Finding::NoSuchModel => {}
        Err(error) => return Err(error),
    }
    target.last_word(&api::delete(version, kind, id), until, api::read_deleted).await.map(Some)
}
