//! Turns the arguments of `frcopy copy` into a plan. Every conflict is reported here, before the first request.

use std::path::Path;
use std::rc::Rc;

use crate::cli::args::parse_api_version;
use crate::cli::authorization_file;
use crate::cli::input::{
    self, Environment, parse, parse_description, parse_ids, parse_patterns, parse_tags, read_ids, unique,
};
use crate::cli::side::{SideSettings, Sides, refuse_same_target_twice};
use crate::copy::{BatchPlan, CopyOptions, DelegatedPlan, IfExists, Plan};
use crate::error::Error;
use crate::id_template::IdTemplate;
use crate::manifest::Manifest;
use crate::model::Kind;
use crate::resource::{Resource, Side, TargetAddress};
use crate::selection::Selection;

use super::args::{BatchArgs, CopyArgs, CopyOptionArgs, IfExistsArg};

/// The plan of a copy command: one model to one target, or a batch for each target.
pub(super) enum CopyPlan {
    One(Plan),
    Batches(Vec<BatchPlan>),
}

impl CopyPlan {
    /// The options of each target.
    fn options_mut(&mut self) -> Vec<&mut CopyOptions> {
        match self {
            Self::One(plan) => vec![Rc::make_mut(&mut plan.options)],
            Self::Batches(plans) => plans.iter_mut().map(|plan| Rc::make_mut(&mut plan.options)).collect(),
        }
    }
}

/// The plan, and the manifest that the copies are recorded in.
pub(super) fn plan(args: &CopyArgs) -> Result<(CopyPlan, Option<Manifest>), Error> {
    let mut plan = plan_without_manifest(args, &input::process_environment)?;
    let Some(path) = &args.options.manifest else { return Ok((plan, None)) };
    let mut manifest = Manifest::read(path)?;
    let mut of_targets = plan.options_mut();
    for options in &mut of_targets {
        options.known_copies = manifest.known_copies(&options.source.endpoint, &options.target.endpoint);
    }
    if args.options.dry_run {
        return Ok((plan, None));
    }
    let journal = manifest.open_for_copies()?;
    for options in of_targets {
        options.journal = Rc::clone(&journal);
    }
    Ok((plan, Some(manifest)))
}

fn plan_without_manifest(args: &CopyArgs, environment: Environment<'_>) -> Result<CopyPlan, Error> {
    let sides = Sides::new(&args.config, environment).with_names(args.from.from.iter().chain(&args.to.to));
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    let targets = sides.targets(&args.to.to, &args.target)?;
    check_stdin(args, &source, &targets)?;
    let selection = selection(args)?;
    if !args.to.to.is_empty() {
        refuse_names_as_ids(args, &sides)?;
    }
    let (target_model_id, template) = match args.options.target_model_id.as_deref() {
        Some(text) if IdTemplate::is_template(text) => (None, Some(parse("--target-model-id", text)?)),
        text => (text.map(|id| parse("--target-model-id", id)).transpose()?, None),
    };
    let mut of_targets = options_of_targets(args, &source, &targets, environment)?;
    let kind = args.options.kind.map(Kind::from);
    match selection {
        Selection::Ids(ids) if ids.len() == 1 && of_targets.len() == 1 && template.is_none() => {
            let model_id = ids.into_iter().next().ok_or_else(no_ids)?;
            let options = of_targets.pop().ok_or_else(no_ids)?;
            let plan = Plan { options, model_id, kind, target_model_id };
            plan.check().map(|()| CopyPlan::One(plan))
        }
        selection if target_model_id.is_some() && !matches!(&selection, Selection::Ids(ids) if ids.len() == 1) => {
            Err(Error::settings(
                "--target-model-id names one copy, and several models may be selected",
                "copy that model alone, or give a template such as '{id}-v2'",
            ))
        }
        selection => {
            let jobs = usize::from(args.batch.jobs);
            let plan = |options| {
                let (selection, target_model_id) = (selection.clone(), target_model_id.clone());
                let plan = BatchPlan { options, selection, kind, target_model_id, template: template.clone(), jobs };
                plan.check().map(|()| plan)
            };
            of_targets.into_iter().map(plan).collect::<Result<_, _>>().map(CopyPlan::Batches)
        }
    }
}

/// Refuses the name of a resource as the id of a model: a second name after one `--to`.
fn refuse_names_as_ids(args: &CopyArgs, sides: &Sides<'_>) -> Result<(), Error> {
    match args.model_ids.iter().find(|id| sides.named("the model id", id, Side::Target).is_ok()) {
        None => Ok(()),
        Some(name) => Err(Error::settings(
            format!("{name} is given as the id of a model, and is the name of a resource"),
            format!("repeat --to for each target: --to {name}; a model with this id is named with --model-id {name}"),
        )),
    }
}

/// Refuses two inputs that both come from stdin.
fn check_stdin(args: &CopyArgs, source: &SideSettings, targets: &[SideSettings]) -> Result<(), Error> {
    let ids_from_stdin = args.batch.from_file.as_deref().is_some_and(input::is_stdin);
    let resources = std::iter::once(source).chain(targets);
    if resources.filter(|settings| settings.reads_stdin()).count() + usize::from(ids_from_stdin) > 1 {
        return Err(Error::settings(
            "only one of the keys and the ids can come from stdin",
            "give the others another way",
        ));
    }
    Ok(())
}

/// The options of the copies to each target. They differ in the target only.
fn options_of_targets(
    args: &CopyArgs,
    source: &SideSettings,
    targets: &[SideSettings],
    environment: Environment<'_>,
) -> Result<Vec<Rc<CopyOptions>>, Error> {
    let mut of_targets: Vec<CopyOptions> = Vec::new();
    for target in targets {
        let target_address = args.address.address(target, environment)?;
        let resource = || args.address.resource(target, environment);
        let of_target = if let Some(first) = of_targets.first() {
            CopyOptions { target_address, target: resource()?, ..first.clone() }
        } else {
            options(args, source, resource, target_address)?
        };
        of_targets.push(of_target);
    }
    refuse_same_target_twice(of_targets.iter().map(|options| &options.target))?;
    // Reading the credentials has taken time.
    let timeout = args.options.poll.timeout()?;
    Ok(of_targets.into_iter().map(|options| Rc::new(CopyOptions { timeout, ..options })).collect())
}

fn options(
    args: &CopyArgs,
    source: &SideSettings,
    target: impl FnOnce() -> Result<Resource, Error>,
    target_address: Option<TargetAddress>,
) -> Result<CopyOptions, Error> {
    let CopyOptionArgs { api_version, description, tags, allow_degrade, if_exists, poll, .. } = &args.options;
    Ok(CopyOptions {
        api_version: parse_api_version(api_version)?,
        target_address,
        description: description.as_deref().map(parse_description).transpose()?,
        tags: parse_tags(tags)?,
        allow_degrade: *allow_degrade,
        if_exists: if_exists_of(*if_exists, poll.no_verify)?,
        verify: !poll.no_verify,
        timeout: poll.timeout()?,
        poll_interval: poll.poll_interval()?,
        ..CopyOptions::new(source.resource()?, target()?)
    })
}

/// The old model is deleted only after its replacement was verified, so replacing needs verification.
fn if_exists_of(arg: IfExistsArg, no_verify: bool) -> Result<IfExists, Error> {
    match arg {
        IfExistsArg::Fail => Ok(IfExists::Fail),
        IfExistsArg::Skip => Ok(IfExists::Skip),
        IfExistsArg::Replace if no_verify => Err(Error::settings(
            "--if-exists replace is not possible with --no-verify",
            "leave out --no-verify: the old model is deleted only after the new one was verified",
        )),
        IfExistsArg::Replace => Ok(IfExists::Replace),
    }
}

/// The named models, each once, or a pattern over all models of the source.
fn selection(CopyArgs { model_ids, model_id, batch, .. }: &CopyArgs) -> Result<Selection, Error> {
    let BatchArgs { all, include, exclude, from_file, .. } = batch;
    if *all || !include.is_empty() {
        return Ok(Selection::Matching(parse_patterns(include, exclude)?));
    }
    let mut ids = parse_ids(model_ids.iter().chain(model_id))?;
    if let Some(path) = from_file {
        ids.extend(read_ids(path)?);
    }
    if ids.is_empty() { Err(no_ids()) } else { Ok(Selection::Ids(unique(ids))) }
}

fn no_ids() -> Error {
    Error::settings("there is no model id", "name a model, or copy every model of the source with --all")
}

/// The plan of a copy with an authorization file. No request goes to the target.
pub(super) fn delegated_plan(args: &CopyArgs, path: &Path) -> Result<DelegatedPlan, Error> {
    let sides = Sides::new(&args.config, &input::process_environment);
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    if source.reads_stdin() && input::is_stdin(path) {
        return Err(Error::settings(
            "the source key and the authorization cannot both come from stdin",
            "give one of the two another way",
        ));
    }
    let Selection::Ids(ids) = selection(args)? else { return Err(no_ids()) };
    let [model_id] = &*ids else {
        return Err(Error::settings(
            "an authorization is for one copy, and several models are named",
            "ask the target's owner for one authorization per model",
        ));
    };
    let plan = DelegatedPlan {
        source: source.resource()?,
        model_id: model_id.clone(),
        file: authorization_file::read(path)?,
        allow_degrade: args.options.allow_degrade,
        timeout: args.options.poll.timeout()?,
        poll_interval: args.options.poll.poll_interval()?,
    };
    plan.check().map(|()| plan)
}
