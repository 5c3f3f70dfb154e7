//! Which of a resource's models are selected: by id, or by pattern.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::model::{Model, ModelId};

/// The selected models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The models with these ids.
    Ids(Vec<ModelId>),
    /// All listed models that the patterns select.
    Matching(Patterns),
}

/// Picks models by their ids, those of v2.1 also by the name that their owner gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Patterns {
    /// Picks what any of them matches; without one, everything.
    pub include: Vec<Pattern>,
    /// Leaves out what any of them matches, whatever picks it.
    pub exclude: Vec<Pattern>,
}

/// A pattern as shells write it: `*`, `?`, `[a-z]`. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(glob::Pattern);

impl Selection {
    /// Whether it selects a model.
    #[must_use]
    pub(crate) fn picks(&self, model: &Model) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&model.id),
            Self::Matching(patterns) => patterns.pick(model),
        }
    }

    /// Whether it selects a model and its copy, by the id of either. What leaves out one of the two leaves out both.
    #[must_use]
    pub(crate) fn picks_pair(&self, models: [Option<&Model>; 2], copy_id: Option<&ModelId>) -> bool {
        let models = || models.into_iter().flatten();
        match self {
            Self::Ids(ids) => models().map(|model| &model.id).chain(copy_id).any(|id| ids.contains(id)),
            Self::Matching(Patterns { include, exclude }) => {
                let matches = |one: &Pattern| {
                    models().any(|model| one.matches(model)) || copy_id.is_some_and(|id| one.matches_id(id))
                };
                (include.is_empty() || include.iter().any(matches)) && !exclude.iter().any(matches)
            }
        }
    }

    /// Whether it selects a model by its id.
    #[must_use]
    pub(crate) fn names(&self, model: &Model) -> bool {
        matches!(self, Self::Ids(_)) && self.picks(model)
    }

    /// The ids that none of these models and copies has.
    pub(crate) fn unknown<'i>(ids: &'i [ModelId], models: &[&Model], copies: &[&ModelId]) -> Vec<&'i ModelId> {
        let is_known = |id: &ModelId| models.iter().any(|model| model.id == *id) || copies.contains(&id);
        ids.iter().filter(|id| !is_known(id)).collect()
    }

    /// Refuses a selection with an id or a pattern that none of these models has.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], for all such ids, or for the first such pattern.
    pub(crate) fn check(&self, models: &[&Model], on: &str) -> Result<(), Error> {
        self.check_with(models, &[], on)
    }

    /// The same, where copies with these ids are known as well.
    ///
    /// # Errors
    /// As those of [`Selection::check`].
    pub(crate) fn check_with(&self, models: &[&Model], copies: &[&ModelId], on: &str) -> Result<(), Error> {
        let nothing = match self {
            Self::Ids(ids) => {
                let unknown: Vec<_> = Self::unknown(ids, models, copies).into_iter().map(ModelId::as_str).collect();
                let named = unknown.join(", ");
                (!unknown.is_empty()).then(|| format!("there is no model or classifier {named} on {on}"))
            }
            Self::Matching(Patterns { include, exclude }) => {
                let matches = |pattern: &Pattern| {
                    models.iter().any(|model| pattern.matches(model)) || copies.iter().any(|id| pattern.matches_id(id))
                };
                let unmatched = include.iter().chain(exclude).find(|pattern| !matches(pattern));
                unmatched.map(|pattern| format!("no model or classifier on {on} matches {pattern}"))
            }
        };
        nothing.map_or(Ok(()), |what| {
            Err(Error::new(ErrorKind::NotFound, what)
                .with_remedy("check it against the ids that `frcopy list` shows, which differ in upper and lower case"))
        })
    }
}

impl Patterns {
    /// Whether they pick a model.
    #[must_use]
    pub(crate) fn pick(&self, model: &Model) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(model));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Pattern {
    /// Whether it matches the id, or in v2.1 the name.
    #[must_use]
    pub(crate) fn matches(&self, model: &Model) -> bool {
        self.matches_id(&model.id) || model.name.as_ref().is_some_and(|name| self.0.matches(name.raw()))
    }

    fn matches_id(&self, id: &ModelId) -> bool {
        self.0.matches(id.as_str())
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const EXAMPLE: &str = "write a pattern such as 'invoices-*', between quotes so that the shell leaves it alone";
        if text.is_empty() {
            return Err(Error::settings("it is empty", EXAMPLE));
        }
        let pattern = glob::Pattern::new(text);
        pattern.map(Self).map_err(|error| Error::settings("it is not a pattern", EXAMPLE).with_source(error.msg))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, name: Option<&str>) -> Model {
        Model { name: name.map(Into::into), ..Model::example(id) }
    }

    fn patterns(include: &[&str], exclude: &[&str]) -> Selection {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Selection::Matching(Patterns { include: parse(include), exclude: parse(exclude) })
    }

    #[test]
    fn patterns_pick_ids_and_names_and_what_is_excluded_is_out() {
        let (invoices, receipts) = (model("invoices-1", None), model("ab", Some("receipts")));
        for (selection, picked) in [
            (patterns(&[], &[]), [true, true]),
            (patterns(&["inv*"], &[]), [true, false]),
            (patterns(&["INV*", "rec?ipts"], &[]), [false, true]),
            (patterns(&["inv*", "*"], &["*-[0-9]"]), [false, true]),
            (Selection::Ids(vec!["ab".parse().unwrap()]), [false, true]),
        ] {
            assert_eq!([selection.picks(&invoices), selection.picks(&receipts)], picked, "{selection:?}");
        }
    }

    #[test]
    fn an_id_or_pattern_without_a_model_is_refused() {
        let model = model("invoices-1", None);
        let models = [&model];
        for (selection, what) in [
            (patterns(&["inv*", "rec*"], &[]), "no model or classifier on the source matches rec*"),
            (patterns(&["inv*"], &["rec*"]), "no model or classifier on the source matches rec*"),
            (Selection::Ids(vec!["other".parse().unwrap()]), "there is no model or classifier other on the source"),
        ] {
            let error = selection.check(&models, "the source").unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, what));
        }
        assert!(patterns(&["*"], &["inv*"]).check(&models, "the source").is_ok());
        assert!("a[".parse::<Pattern>().is_err() && "".parse::<Pattern>().is_err());
    }
}
