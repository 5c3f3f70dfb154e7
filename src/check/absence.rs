//! What lists do not prove: a model that they do not show may be among the entries that cannot be read.

use super::comparison::{Comparison, Verdict};
use crate::api::version::ApiVersion;
use crate::error::{Error, ErrorKind};
use crate::inventory::IncompleteLists;
use crate::model::{Kind, Model, ModelId};
use crate::resource::Side;
use crate::selection::Selection;

/// What the lists of a check show.
pub(crate) struct Shown<'a> {
    /// The models of all lists.
    pub models: Vec<&'a Model>,
    /// The ids of the copies that are known.
    pub copies: Vec<&'a ModelId>,
    /// The lists that have entries that cannot be read, by their side.
    pub incomplete: Vec<(Side, &'a IncompleteLists)>,
}

impl Shown<'_> {
    /// Refuses a selection of which the lists show nothing. Returns the ids that they do not show, and of which it is not
    /// known whether they are there.
    ///
    /// # Errors
    /// As those of [`Selection::check_with`].
    pub(crate) fn check(&self, selection: &Selection, on: &str) -> Result<Vec<Comparison>, Error> {
        let Self { models, copies, incomplete } = self;
        let ids = match selection {
            Selection::Matching(_) if incomplete.iter().any(|(_, lists)| !lists.is_empty()) => return Ok(Vec::new()),
            Selection::Matching(_) => Vec::new(),
            Selection::Ids(ids) => Selection::unknown(ids, models, copies),
        };
        let unread: Vec<_> = ids.into_iter().filter_map(|id| Some((id, self.may_have(id)?))).collect();
        let known: Vec<_> = copies.iter().copied().chain(unread.iter().map(|(id, _)| *id)).collect();
        selection.check_with(models, &known, on)?;
        Ok(unread.into_iter().map(|(id, (side, kind))| not_shown(side, kind, id)).collect())
    }

    /// The first incomplete list that may have this id.
    fn may_have(&self, id: &ModelId) -> Option<(Side, Kind)> {
        self.incomplete.iter().find_map(|(side, lists)| Some((*side, lists.kinds_that_may_have(id).next()?)))
    }
}

/// A model that was asked for by its id, and that no list shows.
fn not_shown(side: Side, kind: Kind, id: &ModelId) -> Comparison {
    Comparison { copy_id: Some(id.clone()), ..Comparison::empty(kind, Verdict::Unread(not_proven(side))) }
}

/// The verdict on a model that the lists of a side do not show.
pub(crate) fn missing(
    from: Side,
    incomplete: &IncompleteLists,
    (kind, version): (Kind, ApiVersion),
    verdict: Verdict,
) -> Verdict {
    if incomplete.may_have(kind, version) { Verdict::Unread(not_proven(from)) } else { verdict }
}

/// The error of a model that a list does not show, although it may have it.
fn not_proven(side: Side) -> Error {
    let what = format!("the list of the {side} does not show it, and has entries in an unknown format");
    Error::new(ErrorKind::Unforeseen, what).with_remedy("update frcopy, or compare this model by other means")
}
