//! From arguments, environment and key files to a plan. Every conflict is refused here, before the first request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use frcopy::api::version::ApiVersion;
use frcopy::copy::{Plan, WaitPlan};
use frcopy::error::Error;
use frcopy::model::Kind;
use frcopy::operation::OperationUrl;
use frcopy::resource::{Credential, Endpoint, Key, Region, Resource, ResourceId, Side, TargetAddress};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use url::Position;

use super::args::{CopyArgs, HowArgs, KindArg, SecretArg, SourceArgs, TargetAddressArgs, TargetArgs, WaitArgs};
use super::usage::without_keys;

/// Looks up a variable; one that is empty counts as not set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A file that is longer holds something else than a key.
const LONGEST_KEY_FILE: u64 = 4096;

/// The environment of this process.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    // What is not UTF-8 is refused later, with its name, as any other value that cannot be.
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.trim().is_empty())
}

/// Makes a plan of what was asked for.
pub(crate) fn plan(args: &CopyArgs, environment: Environment<'_>) -> Result<Plan, Error> {
    let source = SideSettings::from(&args.source).with(environment);
    let target = SideSettings::from(&args.target).with(environment);
    if source.reads_stdin() && target.reads_stdin() {
        return Err(both_from_stdin());
    }
    let model_id = args.model_id.as_deref().or(args.model_id_option.as_deref()).unwrap_or_default();
    let HowArgs { api_version, kind, target_model_id, description, tags, allow_degrade, follow } = &args.how;
    let plan = Plan {
        model_id: parse("the model id", model_id)?,
        kind: match kind {
            KindArg::Model => Kind::Model,
            KindArg::Classifier => Kind::Classifier,
        },
        api_version: parse_api_version(api_version)?,
        target_address: target_address(&args.address, environment)?,
        target_model_id: target_model_id.as_deref().map(|id| parse("--target-model-id", id)).transpose()?,
        description: description.as_deref().map(check_description).transpose()?,
        tags: parse_tags(tags)?,
        allow_degrade: *allow_degrade,
        verify: !follow.no_verify,
        timeout: parse_duration("--timeout", &follow.timeout)?,
        poll_interval: parse_duration("--poll-interval", &follow.poll_interval)?,
        source: source.resource()?,
        target: target.resource()?,
    };
    if let Some(version) = plan.api_version {
        plan.protocol(version, None)?;
    }
    Ok(plan)
}

/// Makes a plan for a copy that is under way. The URL says which source it is on; a setting that says otherwise is
/// refused, because its key would go to another host.
pub(crate) fn wait_plan(args: &WaitArgs, environment: Environment<'_>) -> Result<WaitPlan, Error> {
    let mut source = SideSettings::from(&args.source).with(environment);
    let target = SideSettings::from(&args.target).with(environment);
    if source.reads_stdin() && target.reads_stdin() {
        return Err(both_from_stdin());
    }
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
    if frcopy::api::version_of_operation(&operation).is_none() {
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

const OPERATION_REMEDY: &str = "give the URL that frcopy printed, with /copyresults/ or /operations/ in it";

fn both_from_stdin() -> Error {
    Error::settings("both keys cannot come from stdin", "give one of the two keys another way")
}

/// What was given for one of the two sides. A flag beats the environment.
struct SideSettings<'a> {
    side: Side,
    endpoint: Option<String>,
    key: Option<&'a SecretArg>,
    key_file: Option<PathBuf>,
    key_variable: Option<SecretString>,
}

impl<'a> From<&'a SourceArgs> for SideSettings<'a> {
    fn from(SourceArgs { endpoint, key, key_file }: &'a SourceArgs) -> Self {
        Self {
            side: Side::Source,
            endpoint: endpoint.clone(),
            key: key.as_ref(),
            key_file: key_file.clone(),
            key_variable: None,
        }
    }
}

impl<'a> From<&'a TargetArgs> for SideSettings<'a> {
    fn from(TargetArgs { endpoint, key, key_file }: &'a TargetArgs) -> Self {
        Self {
            side: Side::Target,
            endpoint: endpoint.clone(),
            key: key.as_ref(),
            key_file: key_file.clone(),
            key_variable: None,
        }
    }
}

impl SideSettings<'_> {
    fn with(mut self, environment: Environment<'_>) -> Self {
        let variable = |what: &str| environment(&format!("FRCOPY_{}_{what}", self.side.to_string().to_uppercase()));
        self.endpoint = self.endpoint.or_else(|| variable("ENDPOINT"));
        if self.key.is_none() && self.key_file.is_none() {
            self.key_variable = variable("KEY").map(SecretString::from);
            self.key_file = variable("KEY_FILE").map(PathBuf::from);
        }
        self
    }

    fn reads_stdin(&self) -> bool {
        self.key_file.as_deref() == Some(Path::new("-"))
    }

    fn resource(&self) -> Result<Resource, Error> {
        let side = self.side;
        let endpoint: Endpoint = match &self.endpoint {
            Some(endpoint) => parse(&format!("the {side} endpoint"), endpoint)?,
            None => return Err(self.missing("endpoint", "ENDPOINT")),
        };
        let key = Key::new(&self.secret()?).map_err(|error| about(&format!("the {side} key"), &error))?;
        Ok(Resource { side, endpoint, credential: Credential::Key(key) })
    }

    fn secret(&self) -> Result<SecretString, Error> {
        let side = self.side;
        match (self.key, &self.key_variable, &self.key_file) {
            (Some(key), _, _) => Ok(key.0.clone()),
            (None, Some(_), Some(_)) => {
                let name = side.to_string().to_uppercase();
                Err(Error::settings(
                    format!("there are two {side} keys: FRCOPY_{name}_KEY and FRCOPY_{name}_KEY_FILE are both set"),
                    "unset one of the two",
                ))
            }
            (None, Some(key), None) => Ok(key.clone()),
            (None, None, Some(path)) => read_key_file(path).map_err(|error| {
                Error::settings(
                    format!("the {side} key cannot be read from {}", without_keys(&path.to_string_lossy())),
                    "check that the file is there, may be read and holds nothing but the key",
                )
                .with_source(error)
            }),
            (None, None, None) => Err(self.missing("key", "KEY")),
        }
    }

    fn missing(&self, what: &str, variable: &str) -> Error {
        let side = self.side;
        let name = side.to_string().to_uppercase();
        Error::settings(
            format!("the {side} {what} is missing"),
            format!("set FRCOPY_{name}_{variable}; the resource's page Keys and Endpoint in the Azure portal shows it"),
        )
    }
}

fn read_key_file(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    let file: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    file.take(LONGEST_KEY_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_KEY_FILE {
        return Err(io::Error::other("it is too long to be a key"));
    }
    let secret = SecretString::from(text);
    let key = secret.expose_secret();
    let line = key.strip_suffix('\n').map_or(key, |key| key.strip_suffix('\r').unwrap_or(key));
    Ok(line.into())
}

/// Only the pair is of use, and which versions need it is known later: half a pair is refused when v2.1 is pinned.
fn target_address(args: &TargetAddressArgs, environment: Environment<'_>) -> Result<Option<TargetAddress>, Error> {
    let resource_id = args.resource_id.clone().or_else(|| environment("FRCOPY_TARGET_RESOURCE_ID"));
    let region = args.region.clone().or_else(|| environment("FRCOPY_TARGET_REGION"));
    let resource_id: Option<ResourceId> = resource_id.map(|id| parse("the target resource id", &id)).transpose()?;
    let region: Option<Region> = region.map(|region| parse("the target region", &region)).transpose()?;
    Ok(resource_id.zip(region).map(|(resource_id, region)| TargetAddress { resource_id, region }))
}

fn parse_api_version(text: &str) -> Result<Option<ApiVersion>, Error> {
    if text.trim() == "auto" { Ok(None) } else { parse("--api-version", text).map(Some) }
}

fn parse_tags(tags: &[String]) -> Result<Option<BTreeMap<String, String>>, Error> {
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

fn check_description(text: &str) -> Result<String, Error> {
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

fn parse_duration(option: &str, text: &str) -> Result<Duration, Error> {
    duration_from(SHORTEST_DURATION, option, text)
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

fn parse<T: FromStr<Err = Error>>(what: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| about(what, &error))
}

/// Says of which setting an error speaks. The value is not repeated: somebody may have put a key there.
fn about(what: &str, error: &Error) -> Error {
    let named = Error::settings(format!("{what} is not usable: {error}"), error.remedy().unwrap_or_default());
    match error.causes().next() {
        Some(cause) => named.with_source(cause.to_string()),
        None => named,
    }
}
