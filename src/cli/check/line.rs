//! The line of JSON of one comparison.

use crate::check::{Comparison, Verdict};
use crate::cli::json::{ErrorObject, date, line, text};
use crate::cli::samples_object::SamplesObject;
use crate::model::{Model, ModelId};
use crate::resource::{Endpoint, Resource};
use crate::resource_name::ResourceName;
use jiff::Timestamp;
use serde::Serialize;

/// The line of one comparison of a check.
#[expect(clippy::struct_excessive_bools, reason = "each one is a field of the JSON")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparisonLine<'a> {
    schema: &'static str,
    sign: char,
    verdict: &'static str,
    kind: String,
    source: ComparedModel<'a>,
    target: ComparedModel<'a>,
    copy_id: Option<&'a str>,
    differences: &'a [String],
    expires_at: Option<String>,
    expires_soon: bool,
    expired: bool,
    retired: bool,
    verified_at: Option<String>,
    too_old: bool,
    samples: Option<SamplesObject<'a>>,
    error: Option<ErrorObject>,
}

/// What a comparison shows of the end of its models.
pub(super) struct EndOfLife {
    /// The earlier expiry date of the two models.
    pub(super) expires: Option<Timestamp>,
    /// Whether that date is within the time that was given.
    pub(super) is_soon: bool,
    /// Whether that date has passed.
    pub(super) is_past: bool,
    /// Whether a preview version trained one of the two.
    pub(super) is_retired: bool,
    /// When the copy was verified.
    pub(super) age: Age,
}

/// What a manifest says of the age of a copy.
pub(super) struct Age {
    /// When the copy was last verified.
    pub(super) verified: Option<Timestamp>,
    /// Whether that is longer ago than the time that was given.
    pub(super) is_too_old: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparedModel<'a> {
    resource: Option<&'a str>,
    endpoint: Option<String>,
    model_id: Option<&'a str>,
    name: Option<String>,
}

impl<'a> ComparedModel<'a> {
    fn new(resource: Option<&'a Resource>, recorded: Option<&Endpoint>, model: Option<&'a Model>) -> Self {
        let resource = resource.filter(|one| recorded.is_none_or(|recorded| *recorded == one.endpoint));
        Self {
            resource: resource.and_then(|one| one.name.as_ref()).map(ResourceName::as_str),
            endpoint: recorded.or(resource.map(|one| &one.endpoint)).map(text),
            model_id: model.map(|model| model.id.as_str()),
            name: model.and_then(|model| model.name.as_ref()).map(text),
        }
    }
}

/// `frcopy.check/1`: the line of one comparison.
pub(super) fn comparison(one: &Comparison, source: Option<&Resource>, target: &Resource, end: &EndOfLife) -> String {
    line(&ComparisonLine {
        schema: "frcopy.check/1",
        sign: sign(&one.verdict),
        verdict: verdict(&one.verdict),
        kind: one.kind.to_string(),
        source: ComparedModel::new(source, one.source_endpoint.as_ref(), one.source.as_ref()),
        target: ComparedModel::new(Some(target), None, one.target.as_ref()),
        copy_id: one.copy_id.as_ref().map(ModelId::as_str),
        differences: one.verdict.differences(),
        expires_at: end.expires.map(date),
        expires_soon: end.is_soon,
        expired: end.is_past,
        retired: end.is_retired,
        verified_at: end.age.verified.map(date),
        too_old: end.age.is_too_old,
        samples: one.samples.as_ref().map(SamplesObject::new),
        error: if let Verdict::Unread(error) = &one.verdict { Some(error.into()) } else { None },
    })
}

/// The sign of a verdict, in text and in JSON. The signs are those of `rclone check`.
pub(super) fn sign(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Same => '=',
        Verdict::OnlyOnSource => '+',
        Verdict::OnlyOnTarget => '-',
        Verdict::Differs(_) => '*',
        Verdict::Unread(_) => '!',
    }
}

fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "same",
        Verdict::OnlyOnSource => "onlyOnSource",
        Verdict::OnlyOnTarget => "onlyOnTarget",
        Verdict::Differs(_) => "differs",
        Verdict::Unread(_) => "unread",
    }
}
