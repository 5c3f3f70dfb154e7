//! Whether two models come from the same training. Ids and descriptions do not count.
//!
//! A copy keeps its document types, its expiry, and a date: in v2.1 both dates and the name, in v3.0 and
//! v3.1 the date of creation, in v4.0 the source's date of modification, while it is created anew.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use ring::digest;

use crate::error::{Error, ErrorKind};
use crate::model::{DocumentType, Model, ModelId};
use crate::text::{UntrustedText, hexadecimal};

/// What tells trainings apart, in a form that can be kept: a manifest has it of each copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Training {
    /// The model's name (v2.1).
    pub name: Option<UntrustedText>,
    /// When the model was created.
    pub created: Option<Timestamp>,
    /// When it was last changed.
    pub modified: Option<Timestamp>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// A hash of the document types. v2.1 has none.
    pub fingerprint: Option<String>,
}

impl Training {
    /// The training of a complete model. A document type that is named after the model or after its copy or source has
    /// no name of its own.
    #[must_use]
    pub(crate) fn of(model: &Model, other_id: &ModelId) -> Self {
        let fingerprint = (!is_custom_model(model)).then(|| {
            let named = by_neutral_name(model, [model.id.as_str(), other_id.as_str()]);
            let own = UntrustedText::from(model.id.as_str());
            let types = named.into_iter().map(|(name, of)| (if name == own { "".into() } else { name }, of));
            fingerprint(&types.collect())
        });
        Self { fingerprint, ..Self::without_types(model) }
    }

    /// Name and dates only.
    fn without_types(model: &Model) -> Self {
        let Model { name, created, modified, expires, .. } = model;
        let fingerprint = (!is_custom_model(model)).then(String::new);
        Self { name: name.clone(), created: *created, modified: *modified, expires: *expires, fingerprint }
    }

    /// The differences between this training and that of a copy, in words; none where they are the same. Both must have
    /// been read with the same API version.
    #[must_use]
    pub(crate) fn differences(&self, copy: &Self) -> Vec<String> {
        let mut found = self.other_name_and_dates(copy, "the recorded model");
        if self.fingerprint != copy.fingerprint {
            found.push("the document types are not those of the recorded model".into());
        }
        found
    }

    fn other_name_and_dates(&self, copy: &Self, this: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.name != copy.name {
            let name = |of: &Self| of.name.clone().unwrap_or_else(|| "(no name)".into());
            found.push(format!("{this} is called {}, the target {}", name(self), name(copy)));
        }
        if !self.has_date_of(copy) {
            found.push(format!("{this} was trained {}, the target {}", self.trained(), copy.trained()));
        }
        // An older API version does not show the expiry.
        if self.expires.zip(copy.expires).is_some_and(|(source, copy)| !is_same(source, copy)) {
            found.push(format!("{this} expires {}, the target {}", day(self.expires), day(copy.expires)));
        }
        found
    }

    fn has_date_of(&self, copy: &Self) -> bool {
        let same = |a: Option<Timestamp>, b: Option<Timestamp>| a.zip(b).is_some_and(|(a, b)| is_same(a, b));
        if self.fingerprint.is_none() {
            return same(self.created, copy.created) && same(self.modified, copy.modified);
        }
        // Which of its source's dates a v4.0 copy shows as that of its modification is not documented; either one counts,
        // and a new training has two new dates.
        let of_copy = [copy.created, copy.modified];
        [self.created, self.modified].iter().any(|a| of_copy.iter().any(|b| same(*a, *b)))
    }

    fn trained(&self) -> String {
        day(self.modified.or(self.created))
    }
}

/// When a model was trained: the earlier one of its dates, because a copy keeps one of its source's and has the time of the
/// copy as the other.
#[must_use]
pub(crate) fn trained_at(model: &Model) -> Option<Timestamp> {
    [model.created, model.modified].into_iter().flatten().min()
}

/// SHA-256 over names, fields and build modes. Each text follows its length, so that no two lists have the same input.
fn fingerprint(types: &BTreeMap<UntrustedText, &DocumentType>) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for (name, DocumentType { field_schema, build_mode, .. }) in types {
        for text in [Some(name.raw()), field_schema.as_deref(), build_mode.as_ref().map(UntrustedText::raw)] {
            let text = text.map(str::as_bytes);
            hash.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
            hash.update(text.unwrap_or_default());
        }
    }
    format!("sha256:{}", hexadecimal(hash.finish().as_ref()))
}

/// The differences between a copy and its source, in words; none where they come from the same training.
///
/// Both must be complete, and read with the same API version.
#[must_use]
pub(crate) fn differences(source: &Model, copy: &Model) -> Vec<String> {
    let (of_source, of_copy) = (Training::without_types(source), Training::without_types(copy));
    let mut found = of_source.other_name_and_dates(&of_copy, "the source");
    compare_document_types(source, copy, &mut found);
    found
}

/// Checks that a model can be compared: two fields that cannot be read are not the same.
///
/// # Errors
/// When a field that tells trainings apart has an unknown form.
pub(crate) fn check_comparable(model: &Model, resource: impl Display) -> Result<(), Error> {
    let Some(field) = model.unreadable else { return Ok(()) };
    let Model { kind, id, .. } = model;
    let what = format!("{resource} shows the {field} of the {kind} {id} in an unknown form, so it cannot be compared");
    Err(Error::new(ErrorKind::Unforeseen, what).with_remedy("run the command again, and update frcopy if it stays"))
}

/// Whether a model is the one that was shown before. The service writes the same date with and without fractions of a
/// second.
#[must_use]
pub(crate) fn is_unchanged(before: &Model, now: &Model) -> bool {
    let seconds =
        |model: &Model| [model.created, model.modified, model.expires].map(|date| date.map(Timestamp::as_second));
    let undated = |model: &Model| Model { created: None, modified: None, expires: None, ..model.clone() };
    seconds(before) == seconds(now) && undated(before) == undated(now)
}

/// Whether two v2.1 models come from the same training. The service names copies, so nothing else pairs them.
#[must_use]
pub(crate) fn has_same_name_and_dates(source: &Model, copy: &Model) -> bool {
    source.name == copy.name && have_both_dates(source, copy)
}

/// Whether the names or dates of two models, which may have been read with different versions, show that they come from
/// different trainings. A date that is not known shows nothing.
#[must_use]
pub(crate) fn shows_other_training(source: &Model, copy: &Model) -> bool {
    let is_other = |a: Option<Timestamp>, b: Option<Timestamp>| a.zip(b).is_some_and(|(a, b)| !is_same(a, b));
    if is_custom_model(source) && is_custom_model(copy) {
        let has_other_dates = is_other(source.created, copy.created) || is_other(source.modified, copy.modified);
        return source.name != copy.name || has_other_dates;
    }
    // A copy keeps one of its source's dates, and which one depends on the version.
    let all = |model: &Model| [model.created, model.modified].into_iter().flatten().collect::<Vec<_>>();
    let (of_source, of_copy) = (all(source), all(copy));
    let has_none = of_source.is_empty() || of_copy.is_empty();
    !has_none && !of_source.iter().any(|a| of_copy.iter().any(|b| is_same(*a, *b)))
}

/// v2.1 does not say which version trained a model, and has no types of documents.
fn is_custom_model(model: &Model) -> bool {
    model.api_version.is_none() && model.document_types.is_empty() && model.modified.is_some()
}

fn have_both_dates(source: &Model, copy: &Model) -> bool {
    let pairs = [(source.created, copy.created), (source.modified, copy.modified)];
    pairs.iter().all(|(a, b)| a.zip(*b).is_some_and(|(a, b)| is_same(a, b)))
}

/// The service writes the same date with and without fractions of a second.
fn is_same(a: Timestamp, b: Timestamp) -> bool {
    a.as_second() == b.as_second()
}

fn compare_document_types(source: &Model, copy: &Model, found: &mut Vec<String>) {
    let own_names = [source.id.as_str(), copy.id.as_str()];
    let of_source = by_neutral_name(source, own_names);
    let of_copy = by_neutral_name(copy, own_names);
    for name in of_source.keys().filter(|name| !of_copy.contains_key(name)) {
        found.push(format!("the target has no document type {name}"));
    }
    for name in of_copy.keys().filter(|name| !of_source.contains_key(name)) {
        found.push(format!("the source has no document type {name}"));
    }
    for (name, source, copy) in of_source.iter().filter_map(|(name, source)| Some((name, source, of_copy.get(name)?))) {
        if source.field_schema != copy.field_schema {
            found.push(format!("the fields of document type {name} differ"));
        }
        if source.build_mode != copy.build_mode {
            let mode = |of: &DocumentType| of.build_mode.clone().unwrap_or_else(|| "unknown".into());
            found.push(format!("document type {name} is {} on the source, {} on the target", mode(source), mode(copy)));
        }
    }
}

/// The one document type of a simple model has the name of the model: in a copy of v3.0 the source's, later its own.
fn by_neutral_name<'m>(model: &'m Model, own_names: [&'m str; 2]) -> BTreeMap<UntrustedText, &'m DocumentType> {
    let [neutral, _] = own_names;
    let neutral_name =
        |name: &UntrustedText| if own_names.contains(&name.raw()) { neutral.into() } else { name.clone() };
    model.document_types.iter().map(|of| (neutral_name(&of.name), of)).collect()
}

fn day(date: Option<Timestamp>) -> String {
    date.map_or_else(|| "at an unknown time".into(), |date| format!("{date:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, created: &str, modified: Option<&str>) -> Model {
        let date = |text: &str| text.parse().unwrap();
        let fields =
            DocumentType { name: id.into(), field_schema: Some("{}".into()), build_mode: Some("template".into()) };
        Model {
            api_version: Some("2023-07-31".into()),
            created: Some(date(created)),
            modified: modified.map(date),
            document_types: vec![fields],
            ..Model::example(id)
        }
    }

    fn custom(name: Option<&str>, created: &str, modified: &str) -> Model {
        Model {
            api_version: None,
            name: name.map(Into::into),
            document_types: Vec::new(),
            ..model("33f4d42c-cd2f-4e74-b990-a1aeafab5a5d", created, Some(modified))
        }
    }

    const TRAINED: &str = "2026-10-01T10:00:00Z";
    const COPIED: &str = "2026-11-01T10:00:00Z";

    #[test]
    fn a_copy_has_the_date_that_its_version_inherits() {
        let v3 = model("invoices", TRAINED, None);
        assert!(differences(&v3, &model("invoices", "2026-10-01T10:00:00.25Z", None)).is_empty());
        assert_eq!(differences(&v3, &model("invoices", COPIED, None)).len(), 1);
        let v4 = model("invoices", TRAINED, Some("2026-10-01T10:00:06Z"));
        let copy = model("invoices", COPIED, Some("2026-10-01T10:00:06Z"));
        assert!(differences(&v4, &copy).is_empty());
        // Back again, after a failover.
        assert!(differences(&copy, &v4).is_empty());
        let retrained = model("invoices", TRAINED, Some("2026-11-20T10:00:06Z"));
        assert_eq!(differences(&retrained, &copy).len(), 1);
    }

    #[test]
    fn a_copy_of_v2_1_has_both_dates_and_the_name_of_its_source() {
        let source = custom(Some("invoices"), TRAINED, COPIED);
        assert!(has_same_name_and_dates(&source, &custom(Some("invoices"), TRAINED, COPIED)));
        for other in [
            custom(None, TRAINED, COPIED),
            custom(Some("invoices"), COPIED, COPIED),
            custom(Some("invoices"), TRAINED, TRAINED),
        ] {
            assert!(!has_same_name_and_dates(&source, &other) && !differences(&source, &other).is_empty());
        }
    }

    #[test]
    fn a_document_type_that_is_named_after_its_model_may_have_either_name() {
        let source = model("invoices", TRAINED, None);
        let renamed = Model { id: "backup".parse().unwrap(), ..source.clone() };
        assert!(differences(&source, &renamed).is_empty(), "v3.0 keeps the source's name");
        assert!(differences(&source, &model("backup", TRAINED, None)).is_empty(), "later it is the copy's");
    }

    #[test]
    fn the_fingerprint_of_a_training_changes_with_its_fields_and_not_with_the_id() {
        let source = model("invoices", TRAINED, None);
        let training = Training::of(&source, &"backup".parse().unwrap());
        let renamed = Model { id: "backup".parse().unwrap(), ..source.clone() };
        assert_eq!(training, Training::of(&renamed, &source.id), "v3.0 keeps the source's name");
        assert_eq!(training, Training::of(&model("backup", TRAINED, None), &source.id), "later it is the copy's");
        let name = "invoices".into();
        let fields = DocumentType { name, field_schema: Some("{}".into()), build_mode: Some("neural".into()) };
        let other = Model { document_types: vec![fields], ..source.clone() };
        assert_ne!(training.fingerprint, Training::of(&other, &source.id).fingerprint);
        assert_eq!(training.fingerprint.unwrap().len(), "sha256:".len() + 64);
        assert_eq!(Training::of(&custom(None, TRAINED, COPIED), &source.id).fingerprint, None);
    }

    #[test]
    fn fields_build_mode_document_types_and_expiry_tell_trainings_apart() {
        let source = Model { expires: Some(TRAINED.parse().unwrap()), ..model("invoices", TRAINED, None) };
        let with = |field_schema: &str, build_mode: &str| {
            let (name, field_schema) = ("invoices".into(), Some(field_schema.into()));
            let fields = DocumentType { name, field_schema, build_mode: Some(build_mode.into()) };
            Model { document_types: vec![fields], ..source.clone() }
        };
        for (copy, what) in [
            (with(r#"{"Total":{}}"#, "template"), "the fields of document type invoices differ"),
            (with("{}", "neural"), "document type invoices is template on the source, neural on the target"),
            (Model { document_types: Vec::new(), ..source.clone() }, "the target has no document type invoices"),
            (Model { expires: Some(COPIED.parse().unwrap()), ..source.clone() }, "the source expires 2026-10-01"),
        ] {
            let found = differences(&source, &copy);
            assert!(found.len() == 1 && found[0].starts_with(what), "{found:?}");
        }
        assert!(differences(&source, &Model { expires: None, ..source.clone() }).is_empty());
    }
}
