//! The target's part of a copy: it gives leave, and reserves an id with it.

use super::release::{Released, release};
use super::start::may_begin;
use super::{Event, Observer};
use crate::api::version::ApiVersion;
use crate::api::{Answer, Protocol};
use crate::authorization::CopyAuthorization;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Kind, ModelId};
use tokio_util::sync::CancellationToken;

/// How often an authorize is sent at most while its answers are lost.
const MOST_AUTHORIZES: u32 = 3;

/// Who is asked for leave, and for what.
#[derive(Clone, Copy)]
pub(super) struct Reserving<'a> {
    pub(super) target: &'a Client<'a>,
    pub(super) observer: Observer<'a>,
    pub(super) cancel: &'a CancellationToken,
    pub(super) version: ApiVersion,
    pub(super) kind: Kind,
    pub(super) wanted: Wanted<'a>,
}

/// The id that is wanted for the copy.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// v2.1: the service chooses one.
    Any,
    /// The target has said that it has no such model.
    Free(&'a ModelId),
    /// The target has not said whether it has such a model.
    Unseen(&'a ModelId),
}

impl Reserving<'_> {
    /// Obtains an authorization, and the id of the request that brought it.
    ///
    /// # Errors
    /// When there is none. What an answer that never came may have reserved is given back, or named.
    pub(super) async fn authorize(
        &self,
        protocol: &dyn Protocol,
    ) -> Result<(CopyAuthorization, Option<String>), Error> {
        let mut lost = 0;
        let obtained = match self.obtain(protocol, &mut lost).await {
            Ok(obtained) => obtained,
            Err(error) => {
                if lost > 0 {
                    self.account_for_lost(&error).await;
                }
                return Err(self.explain(error, lost));
            }
        };
        self.target.hide(&obtained.0.access_token);
        (self.observer)(Event::Authorized { target_model_id: &obtained.0.target_model_id });
        Ok(obtained)
    }

    /// Asks for leave until there is an answer, and counts the ones that are lost: each may have reserved an id.
    async fn obtain(
        &self,
        protocol: &dyn Protocol,
        lost: &mut u32,
    ) -> Result<(CopyAuthorization, Option<String>), Error> {
        let read = |answer: &Answer| Ok((protocol.read_authorization(answer)?, answer.request_id()));
        // How often a conflict may still be about our own request.
        let mut may_be_ours = MOST_AUTHORIZES;
        loop {
            may_begin(self.target, self.cancel)?;
            let error = match self.target.call(&protocol.authorize(), RetryPolicy::AUTHORIZE, read).await {
                Ok(obtained) => return Ok(obtained),
                Err(error) => error,
            };
            if error.delivery() == Delivery::Unanswered {
                *lost += 1;
                if matches!(self.wanted, Wanted::Any) {
                    (self.observer)(Event::MayBeReserved { target_model_id: None });
                }
                if *lost == MOST_AUTHORIZES || self.cancel.is_cancelled() {
                    return Err(error);
                }
                self.target.wait_before_again(&error, *lost).await?;
            } else if let Wanted::Free(id) = self.wanted
                && error.kind() == ErrorKind::Exists
                && *lost > 0
                && may_be_ours > 0
            {
                // The id was free, so it is our own request that has reserved it, the one whose answer was lost.
                may_be_ours -= 1;
                match self.release(id).await {
                    Released::Deleted => *lost = 0,
                    Released::NothingThere => may_be_ours = 0,
                    Released::Ready | Released::NotGiven => return Err(error),
                }
            } else {
                return Err(error);
            }
        }
    }

    /// After an answer that never came and no authorization: from v3.0 on the id that it may have reserved is known.
    async fn account_for_lost(&self, error: &Error) {
        match self.wanted {
            // That was tried already, and what was not given back has been named.
            Wanted::Free(_) if error.kind() == ErrorKind::Exists => {}
            Wanted::Free(id) => drop(self.release(id).await),
            // Nobody has seen the id free: what is there may be somebody else's.
            Wanted::Unseen(id) => (self.observer)(Event::MayBeReserved { target_model_id: Some(id) }),
            Wanted::Any => {}
        }
    }

    pub(super) async fn release(&self, id: &ModelId) -> Released {
        release(self.target, self.observer, self.version, self.kind, id).await
    }

    /// Tells an id that exists from one that somebody's unused authorization holds, and says what an answer that never
    /// came may have left behind.
    fn explain(&self, error: Error, lost: u32) -> Error {
        match self.wanted {
            Wanted::Free(id) if error.kind() == ErrorKind::Exists => {
                let by = if lost > 0 {
                    "perhaps by this command's own request"
                } else {
                    "by an authorization that was not used"
                };
                Error::new(ErrorKind::Exists, format!("the target id {id} is reserved {by}"))
                    .with_remedy(
                        "choose another target id (--target-model-id of a copy), or wait until the authorization has expired (an hour at most)",
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
