//! From arguments, environment and key files to a plan. Every conflict is refused here, before the first request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use crate::api::version::ApiVersion;
use crate::auth::read_limited;
use crate::check::CheckPlan;
use crate::copy::{BatchPlan, CopyOptions, DelegatedPlan, IfExists, Plan, WaitPlan};
use crate::error::Error;
use crate::inventory::Scope;
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use crate::resource::{Endpoint, Region, Resource, ResourceId, TargetAddress};
use crate::selection::{Pattern, Patterns, Selection};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use url::Position;

use super::args::{
    BatchArgs, CopyArgs, HowArgs, IfExistsArg, KindArg, PatternArgs, ScopeArgs, SourceArgs, TargetAddressArgs,
    TargetArgs, WaitArgs,
};
use super::authorization_file;
use super::check::CheckArgs;
use super::side::SideSettings;
use super::usage::without_keys;

/// Looks up a variable; one that is empty counts as not set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The path that stands for stdin, or where something is written for stdout.
pub(super) const STDIN: &str = "-";
/// More ids than any resource has.
const LONGEST_ID_FILE: u64 = 16 * 1024 * 1024;

/// The environment of this process.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    // What is not UTF-8 is refused later, with its name, as any other value that cannot be.
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.trim().is_empty())
}

/// What a copy command is to do.
pub(crate) enum Order {
    One(Plan),
    Many(BatchPlan),
}

impl Order {
    pub(crate) fn options(&self) -> &CopyOptions {
        match self {
            Self::One(plan) => &plan.options,
            Self::Many(plan) => &plan.options,
        }
    }

    /// Adds the copies of v2.1 models that are known of.
    pub(crate) fn with_known_copies(self, known_copies: BTreeMap<ModelId, ModelId>) -> Self {
        let options = Rc::new(CopyOptions { known_copies, ..self.options().clone() });
        match self {
            Self::One(plan) => Self::One(Plan { options, ..plan }),
            Self::Many(plan) => Self::Many(BatchPlan { options, ..plan }),
        }
    }
}

/// Makes a plan of what was asked for.
pub(crate) fn order(args: &CopyArgs, environment: Environment<'_>) -> Result<Order, Error> {
    let source = SideSettings::source(&args.source, environment)?;
    let target = SideSettings::target(&args.target, environment)?;
    let ids_from_stdin = args.many.from_file.as_deref() == Some(Path::new(STDIN));
    if usize::from(source.reads_stdin()) + usize::from(target.reads_stdin()) + usize::from(ids_from_stdin) > 1 {
        return Err(Error::settings(
            "two of the keys and ids are to come from stdin",
            "give all but one of them another way",
        ));
    }
    let HowArgs { api_version, kind, target_model_id, description, tags, allow_degrade, if_exists, follow, .. } =
        &args.how;
    let selection = selection(args)?;
    let target_model_id = target_model_id.as_deref().map(|id| parse("--target-model-id", id)).transpose()?;
    let options = Rc::new(CopyOptions {
        api_version: parse_api_version(api_version)?,
        target_address: target_address(&args.address, &target, environment)?,
        description: description.as_deref().map(check_description).transpose()?,
        tags: parse_tags(tags)?,
        allow_degrade: *allow_degrade,
        if_exists: if_exists_of(*if_exists, follow.no_verify)?,
        verify: !follow.no_verify,
        timeout: parse_duration("--timeout", &follow.timeout)?,
        poll_interval: parse_duration("--poll-interval", &follow.poll_interval)?,
        ..CopyOptions::new(source.resource()?, target.resource()?)
    });
    let kind = kind.map(Kind::from);
    match selection {
        Selection::Ids(ids) if ids.len() == 1 => {
            let model_id = ids.into_iter().next().ok_or_else(no_ids)?;
            let plan = Plan { options, model_id, kind, target_model_id };
            plan.check().map(|()| Order::One(plan))
        }
        _ if target_model_id.is_some() => Err(Error::settings(
            "--target-model-id names one copy, and there may be several",
            "copy that model by itself, or leave out --target-model-id: copies have the ids of their sources",
        )),
        selection => {
            let plan = BatchPlan { options, selection, kind, jobs: usize::from(args.many.jobs) };
            plan.check().map(|()| Order::Many(plan))
        }
    }
}

/// Replacing deletes what was there, and what cannot be verified cannot take its place.
fn if_exists_of(arg: IfExistsArg, no_verify: bool) -> Result<IfExists, Error> {
    match arg {
        IfExistsArg::Fail => Ok(IfExists::Fail),
        IfExistsArg::Skip => Ok(IfExists::Skip),
        IfExistsArg::Replace if no_verify => Err(Error::settings(
            "--if-exists replace is not possible with --no-verify",
            "leave out --no-verify: the old model goes only when the target shows the new one",
        )),
        IfExistsArg::Replace => Ok(IfExists::Replace),
    }
}

/// Which models are meant: those that are named, each once, or what the source has.
fn selection(CopyArgs { model_ids, model_id, many, .. }: &CopyArgs) -> Result<Selection, Error> {
    let BatchArgs { all, include, exclude, from_file, .. } = many;
    if *all || !include.is_empty() {
        return Ok(Selection::Matching(parse_patterns(include, exclude)?));
    }
    let mut ids = parse_ids(model_ids.iter().chain(model_id))?;
    if let Some(path) = from_file {
        ids.extend(read_ids(path)?);
    }
    if ids.is_empty() { Err(no_ids()) } else { Ok(Selection::Ids(each_once(ids))) }
}

/// Model ids from the command line.
fn parse_ids<'a>(texts: impl Iterator<Item = &'a String> + Clone) -> Result<Vec<ModelId>, Error> {
    let is_only = texts.clone().count() == 1;
    let parse_id = |text: &String| {
        let what = if is_only { "the model id".into() } else { format!("the model id {:?}", without_keys(text)) };
        parse(&what, text)
    };
    texts.map(parse_id).collect()
}

fn each_once(ids: Vec<ModelId>) -> Vec<ModelId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

fn no_ids() -> Error {
    Error::settings("there is no model id", "name a model, or take all that the source has with --all")
}

/// A file of ids: one a line; blank lines and comments are left out.
fn read_ids(path: &Path) -> Result<Vec<ModelId>, Error> {
    let file = without_keys(&path.to_string_lossy());
    let text = read_text(path, LONGEST_ID_FILE).map_err(|error| {
        Error::settings(
            format!("the ids cannot be read from {file}"),
            "check that the file is there, may be read and has one id a line",
        )
        .with_source(error)
    })?;
    // Some shells write a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parse_id = |(at, line): (usize, &str)| {
        parse(&format!("the model id {:?} in line {} of {file}", without_keys(line), at + 1), line)
    };
    let ids: Vec<_> = lines.map(parse_id).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Err(Error::settings(format!("there is no id in {file}"), "write one id a line"));
    }
    Ok(ids)
}

/// A whole file, or stdin, unless it is longer than it should be.
pub(super) fn read_text(path: &Path, longest: u64) -> io::Result<String> {
    if path == Path::new(STDIN) { read_limited(io::stdin(), longest) } else { read_limited(File::open(path)?, longest) }
}

/// Makes a plan for a copy that is under way. The URL says which source it is on; a setting that says otherwise is
/// refused, because its key would go to another host.
pub(crate) fn wait_plan(args: &WaitArgs, environment: Environment<'_>) -> Result<WaitPlan, Error> {
    let (mut source, target) = both_sides(&args.source, &args.target, environment)?;
    // Some shells leave the quotes of the printed line around it.
    let text = args.operation.trim().trim_matches(['\'', '"']);
    let url = url::Url::parse(text).map_err(|error| {
        Error::settings("the operation is not a URL", OPERATION_REMEDY).with_source(error.to_string())
    })?;
    let origin: Endpoint = parse(
        "the operation's URL",
        &format!("{}://{}", url.scheme(), &url[Position::BeforeUsername..Position::AfterPort]),
    )?;
    if let Some(given) = &source.endpoint
        && parse::<Endpoint>("the source endpoint", given)? != origin
    {
        return Err(Error::settings(
            format!("the operation is on {origin}, and the source endpoint is another one"),
            "give the source that the operation is on, with its key",
        ));
    }
    source.endpoint = Some(origin.to_string());
    let operation = OperationUrl::new(text, &origin).map_err(|error| {
        Error::settings("the operation is not usable", OPERATION_REMEDY).with_source(error.to_string())
    })?;
    if ApiVersion::of_operation(&operation).is_none() {
        return Err(Error::settings("the URL names no copy operation", OPERATION_REMEDY));
    }
    let knows_target = target.endpoint.is_some();
    Ok(WaitPlan {
        operation,
        verify: !args.follow.no_verify,
        timeout: parse_duration("--timeout", &args.follow.timeout)?,
        poll_interval: parse_duration("--poll-interval", &args.follow.poll_interval)?,
        source: source.resource()?,
        target: knows_target.then(|| target.resource()).transpose()?,
    })
}

/// Makes a plan of what is to be compared.
pub(crate) fn check_plan(args: &CheckArgs, environment: Environment<'_>) -> Result<CheckPlan, Error> {
    let (source, target) = both_sides(&args.source, &args.target, environment)?;
    let selection = match parse_ids(args.model_ids.iter())? {
        ids if ids.is_empty() => Selection::Matching(patterns(&args.patterns)?),
        ids => Selection::Ids(each_once(ids)),
    };
    let plan = CheckPlan {
        selection,
        scope: scope(&args.scope)?,
        known_copies: BTreeMap::new(),
        timeout: parse_duration("--timeout", &args.timeout)?,
        source: source.resource()?,
        target: target.resource()?,
    };
    if plan.source.endpoint == plan.target.endpoint {
        return Err(Error::settings(
            "source and target are the same resource, which has all that it has",
            "give the endpoint of the resource that should have the copies as the target",
        ));
    }
    Ok(plan)
}

/// The source alone, for a command that needs no target.
pub(crate) fn source(args: &SourceArgs, environment: Environment<'_>) -> Result<Resource, Error> {
    SideSettings::source(args, environment)?.resource()
}

/// The target alone, for a command that needs no source.
pub(crate) fn target(args: &TargetArgs, environment: Environment<'_>) -> Result<Resource, Error> {
    SideSettings::target(args, environment)?.resource()
}

/// The target and where it is in Azure, for the target's half of a copy.
pub(crate) fn target_with_address(
    args: &TargetArgs,
    address: &TargetAddressArgs,
    environment: Environment<'_>,
) -> Result<(Resource, Option<TargetAddress>), Error> {
    let target = SideSettings::target(args, environment)?;
    Ok((target.resource()?, target_address(address, &target, environment)?))
}

/// The target alone, where its endpoint is known.
pub(crate) fn target_at(
    args: &TargetArgs,
    endpoint: &Endpoint,
    environment: Environment<'_>,
) -> Result<Resource, Error> {
    let mut target = SideSettings::target(args, environment)?;
    target.endpoint.get_or_insert_with(|| endpoint.to_string());
    target.resource()
}

/// A copy with the leave of somebody else, whose target is not asked anything.
pub(crate) fn delegated_plan(
    args: &CopyArgs,
    path: &Path,
    environment: Environment<'_>,
) -> Result<DelegatedPlan, Error> {
    let source = SideSettings::source(&args.source, environment)?;
    if source.reads_stdin() && path == Path::new(STDIN) {
        return Err(Error::settings(
            "the source key and the authorization are both to come from stdin",
            "give one of the two another way",
        ));
    }
    let Selection::Ids(ids) = selection(args)? else { return Err(no_ids()) };
    let [model_id] = &*ids else {
        return Err(Error::settings(
            "an authorization is for one copy, and there are several models",
            "ask the target's side for one authorization for each of them",
        ));
    };
    let plan = DelegatedPlan {
        source: source.resource()?,
        model_id: model_id.clone(),
        file: authorization_file::read(path)?,
        allow_degrade: args.how.allow_degrade,
        timeout: parse_duration("--timeout", &args.how.follow.timeout)?,
        poll_interval: parse_duration("--poll-interval", &args.how.follow.poll_interval)?,
    };
    plan.check().map(|()| plan)
}

pub(crate) fn scope(args: &ScopeArgs) -> Result<Scope, Error> {
    let scope = Scope { api_version: parse_api_version(&args.api_version)?, kind: args.kind.map(Kind::from) };
    if let Some(version) = scope.api_version.filter(|version| !version.wire().has(Kind::Classifier))
        && scope.kind == Some(Kind::Classifier)
    {
        return Err(Error::settings(
            format!("{version} knows no classifiers"),
            "leave out --api-version, or give one from 3.1 on",
        ));
    }
    Ok(scope)
}

pub(crate) fn patterns(PatternArgs { include, exclude }: &PatternArgs) -> Result<Patterns, Error> {
    parse_patterns(include, exclude)
}

fn parse_patterns(include: &[String], exclude: &[String]) -> Result<Patterns, Error> {
    let parse_all = |option: &str, texts: &[String]| {
        let parsed = texts.iter().map(|text| parse(&format!("{option} {:?}", without_keys(text)), text));
        parsed.collect::<Result<Vec<Pattern>, _>>()
    };
    Ok(Patterns { include: parse_all("--include", include)?, exclude: parse_all("--exclude", exclude)? })
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Model => Self::Model,
            KindArg::Classifier => Self::Classifier,
        }
    }
}

const OPERATION_REMEDY: &str = "give the URL that frcopy printed, with /copyresults/ or /operations/ in it";

/// What was given for the two sides, of which one may come from stdin.
fn both_sides(
    source: &SourceArgs,
    target: &TargetArgs,
    environment: Environment<'_>,
) -> Result<(SideSettings, SideSettings), Error> {
    let source = SideSettings::source(source, environment)?;
    let target = SideSettings::target(target, environment)?;
    if source.reads_stdin() && target.reads_stdin() {
        return Err(Error::settings("both keys cannot come from stdin", "give one of the two keys another way"));
    }
    Ok((source, target))
}

/// Only the pair is of use, and which versions need it is known later: half a pair is refused when v2.1 is pinned.
fn target_address(
    args: &TargetAddressArgs,
    target: &SideSettings,
    environment: Environment<'_>,
) -> Result<Option<TargetAddress>, Error> {
    let TargetAddressArgs { resource_id, region } = args.clone();
    if resource_id.is_none()
        && region.is_none()
        && let Some(address) = target.address()?
    {
        return Ok(Some(address));
    }
    let resource_id = resource_id.or_else(|| environment("FRCOPY_TARGET_RESOURCE_ID"));
    let region = region.or_else(|| environment("FRCOPY_TARGET_REGION"));
    let resource_id: Option<ResourceId> = resource_id.map(|id| parse("the target resource id", &id)).transpose()?;
    let region: Option<Region> = region.map(|region| parse("the target region", &region)).transpose()?;
    Ok(resource_id.zip(region).map(|(resource_id, region)| TargetAddress { resource_id, region }))
}

fn parse_api_version(text: &str) -> Result<Option<ApiVersion>, Error> {
    if text.trim() == "auto" { Ok(None) } else { parse("--api-version", text).map(Some) }
}

pub(super) fn parse_tags(tags: &[String]) -> Result<Option<BTreeMap<String, String>>, Error> {
    let mut parsed = BTreeMap::new();
    for tag in tags {
        let (name, value) = tag.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Error::settings(
                format!("--tag {:?} is not a tag", without_keys(tag)),
                "write a tag as KEY=VALUE, such as --tag backup=nightly",
            )
        })?;
        if parsed.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::settings(
                format!("--tag {:?} is given twice", without_keys(name)),
                "give each tag one value",
            ));
        }
    }
    Ok(Some(parsed).filter(|tags| !tags.is_empty()))
}

pub(super) fn check_description(text: &str) -> Result<String, Error> {
    const LONGEST: usize = 4096;
    match text.chars().count() {
        0..=LONGEST => Ok(text.to_owned()),
        long => Err(Error::settings(
            format!("--description has {long} characters"),
            format!("shorten it to at most {LONGEST} characters"),
        )),
    }
}

/// A duration that may be nothing at all.
#[cfg(feature = "emulator")]
pub(crate) fn parse_pause(option: &str, text: &str) -> Result<Duration, Error> {
    duration_from(Duration::ZERO, option, text)
}

pub(crate) fn parse_duration(option: &str, text: &str) -> Result<Duration, Error> {
    duration_from(SHORTEST_DURATION, option, text)
}

/// A duration of days, for dates that are far away.
pub(crate) fn parse_long_duration(option: &str, text: &str) -> Result<Duration, Error> {
    let days_are_24_hours = SpanRelativeTo::days_are_24_hours();
    let span = text.parse::<Span>().ok().and_then(|span| span.to_duration(days_are_24_hours).ok());
    span.and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(|| {
        Error::settings(
            format!("{option} {:?} is not a duration", without_keys(text)),
            "give a number with its unit, in days or less: 60d, 36h",
        )
    })
}

fn duration_from(shortest: Duration, option: &str, text: &str) -> Result<Duration, Error> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.filter(|duration| (shortest..=LONGEST_DURATION).contains(duration)).ok_or_else(|| {
        Error::settings(
            format!("{option} {:?} is not a duration", without_keys(text)),
            format!("give a number with its unit, from {}ms to 24h: 500ms, 90s, 1h30m", shortest.as_millis()),
        )
    })
}

const SHORTEST_DURATION: Duration = Duration::from_millis(1);
/// After 24 hours the service has forgotten every operation.
const LONGEST_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn parse<T: FromStr<Err = Error>>(what: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| about(what, &error))
}

/// Says of which setting an error speaks. The value is not repeated: somebody may have put a key there.
pub(super) fn about(what: &str, error: &Error) -> Error {
    let named = Error::settings(format!("{what} is not usable: {error}"), error.remedy().unwrap_or_default());
    match error.causes().next() {
        Some(cause) => named.with_source(cause.to_string()),
        None => named,
    }
}
