//! Turns the arguments of `frcopy check` into what is compared.

use crate::check::CheckPlan;
use crate::cli::input::{parse, parse_ids, parse_long_duration, parse_timeout, process_environment, unique};
use crate::cli::side::{Sides, check_stdin};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::recorded::RecordedPlan;
use crate::resource::{Endpoint, Resource};
use crate::selection::Selection;

use super::args::CheckArgs;
use super::end_of_life::Limits;

/// What is compared.
pub(super) struct Plan {
    /// Source and target; none where the target alone is asked.
    pub(super) both: Option<CheckPlan>,
    /// The target and the manifest.
    pub(super) recorded: Option<RecordedPlan>,
    pub(super) manifest: Option<Manifest>,
    pub(super) target: Resource,
    pub(super) limits: Limits,
}

pub(super) fn plan(args: &CheckArgs) -> Result<Plan, Error> {
    let selection = match parse_ids(args.model_ids.iter())? {
        ids if ids.is_empty() => Selection::Matching(args.patterns.patterns()?),
        ids => Selection::Ids(unique(ids)),
    };
    let duration = |option: &str, text: Option<&str>| text.map(|text| parse_long_duration(option, text)).transpose();
    let limits = Limits {
        expiring_within: duration("--expiring-within", args.expiring_within.as_deref())?,
        max_age: duration("--max-age", args.max_age.as_deref())?,
    };
    let scope = args.scope.scope()?;
    let (source, target) = resources(args)?;
    let endpoint = match &source {
        Some(source) => Some(source.endpoint.clone()),
        None => source_endpoint(args)?,
    };
    let template = args.target_model_id.as_deref().map(|text| parse("--target-model-id", text)).transpose()?;
    let manifest = args.manifest.as_deref().map(Manifest::read_existing).transpose()?;
    let timeout = parse_timeout(&args.timeout)?;
    let samples = args.samples.plan()?;
    let recorded = manifest.as_ref().map(|manifest| RecordedPlan {
        target: target.clone(),
        selection: selection.clone(),
        scope,
        copies: manifest.copies_on(&target.endpoint, endpoint.as_ref()),
        known: manifest.copies_on(&target.endpoint, None),
        timeout,
    });
    let both = source.map(|source| {
        let known = manifest.as_ref().map(|manifest| manifest.known_copies(&source.endpoint, &target.endpoint));
        CheckPlan {
            selection,
            scope,
            template,
            known_copies: known.unwrap_or_default(),
            source,
            target: target.clone(),
            samples,
            timeout,
        }
    });
    Ok(Plan { both, recorded, manifest, target, limits })
}

/// The endpoint of a source that is not asked. It selects the copies of one source.
fn source_endpoint(args: &CheckArgs) -> Result<Option<Endpoint>, Error> {
    let Some(name) = &args.from.from else { return args.source.endpoint(&process_environment) };
    let source = Sides::new(&args.config, &process_environment).source(Some(name), &args.source)?;
    source.endpoint.map(|text| parse("the source endpoint", &text)).transpose()
}

/// Source and target; the target alone where the source is not asked.
fn resources(args: &CheckArgs) -> Result<(Option<Resource>, Resource), Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let target = sides.target(args.to.to.as_ref(), &args.target)?;
    if args.target_only {
        return Ok((None, target.resource()?));
    }
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    check_stdin(&source, &target)?;
    let (source, target) = (source.resource()?, target.resource()?);
    if source.endpoint == target.endpoint && args.target_model_id.is_none() {
        return Err(Error::settings(
            "source and target are the same resource",
            "give the endpoint of the resource that should have the copies as the target, or --target-model-id",
        ));
    }
    Ok((Some(source), target))
}
