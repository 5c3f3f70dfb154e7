//! Turns the arguments of `frcopy check` into what is compared.

use crate::check::CheckPlan;
use crate::cli::input::{parse, parse_ids, parse_long_duration, parse_timeout, process_environment, unique};
use crate::cli::side::{SideSettings, Sides, check_stdin, refuse_same_target_twice};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::recorded::RecordedPlan;
use crate::resource::{Endpoint, Resource};
use crate::selection::Selection;

use super::args::CheckArgs;
use super::end_of_life::Limits;

/// What is compared.
pub(super) struct Plan {
    /// The source with each target; empty where the targets alone are asked.
    pub(super) both: Vec<CheckPlan>,
    /// Each target with the manifest; empty without one.
    pub(super) recorded: Vec<RecordedPlan>,
    pub(super) manifest: Option<Manifest>,
    /// None where the targets alone are asked.
    pub(super) source: Option<Resource>,
    pub(super) targets: Vec<Resource>,
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
    let (source, targets) = resources(args)?;
    let endpoint = match &source {
        Some(source) => Some(source.endpoint.clone()),
        None => source_endpoint(args)?,
    };
    let template = args.target_model_id.as_deref().map(|text| parse("--target-model-id", text)).transpose()?;
    let manifest = args.manifest.as_deref().map(Manifest::read_existing).transpose()?;
    let timeout = parse_timeout(&args.timeout)?;
    let samples = args.samples.plan()?;
    let recorded = |manifest: &Manifest, target: &Resource| RecordedPlan {
        target: target.clone(),
        selection: selection.clone(),
        scope,
        copies: manifest.copies_on(&target.endpoint, endpoint.as_ref()),
        known: manifest.copies_on(&target.endpoint, None),
        timeout,
    };
    let both = |source: &Resource, target: &Resource| {
        let known = manifest.as_ref().map(|manifest| manifest.known_copies(&source.endpoint, &target.endpoint));
        CheckPlan {
            source: source.clone(),
            target: target.clone(),
            selection: selection.clone(),
            scope,
            known_copies: known.unwrap_or_default(),
            template: template.clone(),
            samples: samples.clone(),
            timeout,
        }
    };
    let recorded = manifest.iter().flat_map(|manifest| targets.iter().map(|target| recorded(manifest, target)));
    let recorded = recorded.collect();
    let both = source.iter().flat_map(|source| targets.iter().map(|target| both(source, target))).collect();
    Ok(Plan { both, recorded, manifest, source, targets, limits })
}

/// The endpoint of a source that is not asked. It selects the copies of one source.
fn source_endpoint(args: &CheckArgs) -> Result<Option<Endpoint>, Error> {
    let Some(name) = &args.from.from else { return args.source.endpoint(&process_environment) };
    let source = Sides::new(&args.config, &process_environment).source(Some(name), &args.source)?;
    source.endpoint.map(|text| parse("the source endpoint", &text)).transpose()
}

/// The source and the targets; the targets alone where the source is not asked.
fn resources(args: &CheckArgs) -> Result<(Option<Resource>, Vec<Resource>), Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let sides = sides.with_names(args.from.from.iter().chain(&args.to.to));
    let targets = sides.targets(&args.to.to, &args.target)?;
    let is_asked = !args.target_only;
    let source = is_asked.then(|| sides.source(args.from.from.as_ref(), &args.source)).transpose()?;
    check_stdin(source.iter().chain(&targets))?;
    let source = source.as_ref().map(SideSettings::resource).transpose()?;
    let targets = targets.iter().map(SideSettings::resource).collect::<Result<Vec<_>, _>>()?;
    refuse_same_target_twice(targets.iter())?;
    let is_a_target = |source: &Resource| targets.iter().any(|target| target.endpoint == source.endpoint);
    if source.as_ref().is_some_and(is_a_target) && args.target_model_id.is_none() {
        return Err(Error::settings(
            "source and target are the same resource",
            "give the endpoint of the resource that should have the copies as the target, or --target-model-id",
        ));
    }
    Ok((source, targets))
}
