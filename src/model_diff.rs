//! Whether two models come from the same training. Ids and descriptions do not count.
//!
//! A copy keeps its document types, its expiry, and a date: in v2.1 both dates and the name, in v3.0 and
//! v3.1 the date of creation, in v4.0 the source's date of modification, while it is created anew.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{DocumentType, Model};
use crate::text::UntrustedText;

/// The differences between a copy and its source, in words; none where they come from the same training.
///
/// Both must be complete, and read with the same API version.
#[must_use]
pub(crate) fn differences(source: &Model, copy: &Model) -> Vec<String> {
    let mut found = Vec::new();
    if source.name != copy.name {
        let name = |model: &Model| model.name.clone().unwrap_or_else(|| "(no name)".into());
        found.push(format!("the source is called {}, the target {}", name(source), name(copy)));
    }
    if !have_same_date(source, copy) {
        found.push(format!("the source was trained {}, the target {}", trained(source), trained(copy)));
    }
    // An older API version does not show the expiry.
    if source.expires.zip(copy.expires).is_some_and(|(source, copy)| !is_same(source, copy)) {
        found.push(format!("the source expires {}, the target {}", day(source.expires), day(copy.expires)));
    }
    compare_document_types(source, copy, &mut found);
    found
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

fn have_same_date(source: &Model, copy: &Model) -> bool {
    if is_custom_model(source) {
        return have_both_dates(source, copy);
    }
    let same = |a: Option<Timestamp>, b: Option<Timestamp>| a.zip(b).is_some_and(|(a, b)| is_same(a, b));
    // Which of its source's dates a v4.0 copy shows as that of its modification is not documented; either one counts, and
    // a new training has two new dates.
    let of_source = [source.created, source.modified];
    let of_copy = [copy.created, copy.modified];
    of_source.iter().any(|a| of_copy.iter().any(|b| same(*a, *b)))
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
    let named = model.document_types.iter();
    named.map(|(name, of)| (if own_names.contains(&name.raw()) { neutral.into() } else { name.clone() }, of)).collect()
}

fn trained(model: &Model) -> String {
    day(model.modified.or(model.created))
}

fn day(date: Option<Timestamp>) -> String {
    date.map_or_else(|| "at an unknown time".into(), |date| format!("{date:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Readiness};

    fn model(id: &str, created: &str, modified: Option<&str>) -> Model {
        let date = |text: &str| text.parse().unwrap();
        let fields = DocumentType { field_schema: Some("{}".into()), build_mode: Some("template".into()) };
        Model {
            id: id.parse().unwrap(),
            kind: Kind::Model,
            readiness: Readiness::Ready,
            api_version: Some("2023-07-31".into()),
            name: None,
            description: None,
            tags: BTreeMap::new(),
            created: Some(date(created)),
            modified: modified.map(date),
            expires: None,
            document_types: BTreeMap::from([(id.into(), fields)]),
            components: Vec::new(),
            is_complete: true,
        }
    }

    fn custom(name: Option<&str>, created: &str, modified: &str) -> Model {
        Model {
            api_version: None,
            name: name.map(Into::into),
            document_types: BTreeMap::new(),
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
    fn fields_build_mode_document_types_and_expiry_tell_trainings_apart() {
        let source = Model { expires: Some(TRAINED.parse().unwrap()), ..model("invoices", TRAINED, None) };
        let with = |field_schema: &str, build_mode: &str| {
            let fields = DocumentType { field_schema: Some(field_schema.into()), build_mode: Some(build_mode.into()) };
            Model { document_types: BTreeMap::from([("invoices".into(), fields)]), ..source.clone() }
        };
        for (copy, what) in [
            (with(r#"{"Total":{}}"#, "template"), "the fields of document type invoices differ"),
            (with("{}", "neural"), "document type invoices is template on the source, neural on the target"),
            (Model { document_types: BTreeMap::new(), ..source.clone() }, "the target has no document type invoices"),
            (Model { expires: Some(COPIED.parse().unwrap()), ..source.clone() }, "the source expires 2026-10-01"),
        ] {
            let found = differences(&source, &copy);
            assert!(found.len() == 1 && found[0].starts_with(what), "{found:?}");
        }
        assert!(differences(&source, &Model { expires: None, ..source.clone() }).is_empty());
    }
}
