//! Giving back: what this run has reserved and not used is deleted on the target, and nothing else ever is.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::pipeline::Pipeline;
use super::{Event, Observer};
use crate::api::version::ApiVersion;
use crate::api::{self, Answer};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Finding};
use crate::model::{Kind, ModelId, Readiness};

/// All of it, the read and the deletion.
const TIME_TO_GIVE_BACK: Duration = Duration::from_secs(5);

impl Pipeline<'_> {
    /// Gives a reserved id back and says what came of it; whether the target deleted it.
    pub(super) async fn give_back(&self, version: ApiVersion, id: &ModelId) -> bool {
        give_back(&self.target, self.observer, version, self.plan.kind, id).await
    }
}

/// Deletes one reserved id, after a read that does not show a ready model.
///
/// Whether that frees an id of v3.0 and later is not documented: the target's answer is reported, nothing is promised.
pub(super) async fn give_back(
    target: &Client<'_>,
    observer: Observer<'_>,
    version: ApiVersion,
    kind: Kind,
    target_model_id: &ModelId,
) -> bool {
    let given_back = timeout(TIME_TO_GIVE_BACK, delete_unless_ready(target, version, kind, target_model_id)).await;
    let result =
        given_back.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the target did not answer in time")));
    match &result {
        Ok(()) => observer(Event::GivenBack { target_model_id }),
        Err(error) => observer(Event::LeftBehind { target_model_id, error }),
    }
    result.is_ok()
}

async fn delete_unless_ready(target: &Client<'_>, version: ApiVersion, kind: Kind, id: &ModelId) -> Result<(), Error> {
    let until = Instant::now() + TIME_TO_GIVE_BACK;
    let read = |answer: &Answer| api::read_model(version, answer);
    // Being told to stop does not stop this: it is what is left to do.
    match target.last_word(&api::model(version, kind, id), until, read).await {
        Ok(model) if model.readiness == Readiness::Ready => {
            return Err(Error::new(ErrorKind::Exists, "the target has a ready model of this id"));
        }
        Ok(_) => {}
        Err(error) if error.finding() == Finding::NoSuchModel => {}
        Err(error) => return Err(error),
    }
    match target.last_word(&api::delete(version, kind, id), until, api::read_deleted).await {
        // A deletion whose answer was lost has taken place; in v2.1 there is nothing else that could be there.
        Err(error) if error.finding() == Finding::NoSuchModel && !version.has_document_models() => Ok(()),
        answer => answer,
    }
}
