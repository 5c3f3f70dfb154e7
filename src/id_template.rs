//! Ids of copies that are made from the ids of their sources: `{id}-v2`.

use std::str::FromStr;

use crate::error::Error;
use crate::model::ModelId;

/// Stands for the id of the source model.
const PLACEHOLDER: &str = "{id}";

/// Makes the id of a copy from the id of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdTemplate {
    before: String,
    after: String,
}

impl IdTemplate {
    /// Whether a text is meant as a template and not as an id: an id has no braces.
    #[must_use]
    pub(crate) fn is_template(text: &str) -> bool {
        text.contains(['{', '}'])
    }

    /// The id of the copy.
    ///
    /// # Errors
    /// When the service would not accept it.
    pub(crate) fn apply(&self, id: &ModelId) -> Result<ModelId, Error> {
        let Self { before, after } = self;
        let text = format!("{before}{id}{after}");
        text.parse().map_err(|error: Error| {
            let what = format!("--target-model-id makes {text:?} of {id}, which is no model id");
            Error::settings(what, "choose a shorter template, or leave this model out with --exclude")
                .with_source(error)
        })
    }

    /// Whether an id has the form of the results: such a model is not copied again, or `x-v2` would become `x-v2-v2`.
    #[must_use]
    pub(crate) fn is_result(&self, id: &ModelId) -> bool {
        let Self { before, after } = self;
        let source = id.as_str().strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
        source.is_some_and(|source| !source.is_empty())
    }
}

impl FromStr for IdTemplate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const REMEDY: &str =
            "give an id, or a template with {id} once and letters, digits, '.', '_', '~' or '-' around it";
        let not_usable = |why: &str| Error::settings(why, REMEDY);
        let (before, after) = text.trim().split_once(PLACEHOLDER).ok_or_else(|| not_usable("it has no {id}"))?;
        if Self::is_template(before) || Self::is_template(after) {
            return Err(not_usable("it has another brace than those of one {id}"));
        }
        if before.is_empty() && after.is_empty() {
            return Err(not_usable("it makes no other id"));
        }
        // With the shortest id that a model can have.
        format!("{before}a{after}")
            .parse::<ModelId>()
            .map_err(|error| not_usable("it makes no id").with_source(error))?;
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> IdTemplate {
        text.parse().unwrap()
    }

    fn id(text: &str) -> ModelId {
        text.parse().unwrap()
    }

    #[test]
    fn the_id_of_the_source_stands_in_for_the_placeholder() {
        assert_eq!(template("{id}-v2").apply(&id("invoices")).unwrap(), id("invoices-v2"));
        assert_eq!(template("test.{id}").apply(&id("invoices")).unwrap(), id("test.invoices"));
    }

    #[test]
    fn a_text_that_is_no_template_is_refused() {
        for text in ["", "x", "{id}", "{id}{id}", "{id}-{name}", "{ID}-v2", "{id}/x", "{id} x", "{id}-\u{e9}"] {
            assert!(text.parse::<IdTemplate>().is_err(), "{text}");
        }
        assert!(!IdTemplate::is_template("x-v2") && IdTemplate::is_template("x-{name}"));
    }

    #[test]
    fn an_id_that_the_service_would_refuse_is_refused() {
        assert!(template("{id}-v2").apply(&id(&"x".repeat(61))).is_ok());
        assert!(template("{id}-v2").apply(&id(&"x".repeat(62))).is_err());
    }

    #[test]
    fn results_are_known_by_their_form() {
        let template = template("a.{id}-v2");
        assert!(template.is_result(&id("a.x-v2")));
        for other in ["xx", "a.x", "x-v2", "a.-v2", "b.x-v2"] {
            assert!(!template.is_result(&id(other)), "{other}");
        }
    }
}
