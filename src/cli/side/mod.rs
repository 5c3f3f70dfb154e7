//! Turns the flags, environment variables and files of one resource into a [`Resource`].

pub(super) mod flags;
mod named;
mod names;
pub(super) mod origin;
mod setting_origin;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::{Credential, Key, StaticToken, TokenCache, TokenFile};
use crate::doctor::AccountQuery;
use crate::error::Error;
use crate::label::{Label, SettingNames};
use crate::resource::{Endpoint, Region, Resource, ResourceId, Side, TargetAddress};
use crate::trace::TraceParent;
use secrecy::SecretString;

use super::account_query::account_query;
use super::az::{Account, Details};
use super::ci::{self, Masked};
use super::input::{Environment, about, is_read_once, is_stdin, parse, process_variables, read_text, without_keys};
use super::key_command;
use flags::{AuthArg, Flags, Setting, SideArgs, WhichSide};
pub(super) use flags::{SourceArgs, TargetAddressArgs, TargetArgs, variables};
pub(super) use named::Sides;
pub(super) use names::{FromArg, ToArg, ToArgs, target_ids};
use origin::Origin;
use setting_origin::{given_name, names_of_side};

/// The largest file of a key or token that is read.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// The settings of one resource. A flag takes precedence over the environment.
pub(super) struct SideSettings {
    pub(super) endpoint: Option<String>,
    origin: Origin,
    /// How messages name the settings.
    names: SettingNames,
    /// The flags, for printed commands.
    flags: String,
    /// The file that defines the named resource, if `--config` gave it.
    config: Option<PathBuf>,
    auth: Option<AuthSource>,
    tenant: Option<String>,
    trace: Option<TraceParent>,
    account: Option<Account>,
    /// The Azure CLI's answer about the account.
    details: Option<Details>,
    /// What to do about a missing setting, if the other side has a name: choose this one by name as well.
    named_remedy: Option<String>,
    /// Where it is in Azure, as far as the definition of a named resource says.
    resource_id: Option<String>,
    region: Option<String>,
}

/// Where the credential comes from.
enum AuthSource {
    Key(Secret),
    /// The account's key, from the Azure CLI.
    KeyOfAccount,
    Token(Secret),
    /// The identity of this machine.
    Identity,
}

/// A key or token that may still have to be read.
enum Secret {
    Text(SecretString),
    File(PathBuf),
    /// The output of a program.
    Command(Vec<String>),
}

impl Secret {
    fn is_from_stdin(&self) -> bool {
        matches!(self, Self::File(path) if is_stdin(path))
    }
}

impl<S: WhichSide> SideArgs<S> {
    /// Adds the environment to the flags.
    pub(super) fn settings(&self, environment: Environment<'_>) -> Result<SideSettings, Error> {
        SideSettings::new(S::SIDE, &self.flags, environment)
    }

    /// The endpoint, for a command that only names the resource. The Azure CLI is not asked.
    pub(super) fn endpoint(&self, environment: Environment<'_>) -> Result<Option<Endpoint>, Error> {
        let given = self.flags.endpoint.clone().or_else(|| environment(&Setting::Endpoint.variable(S::SIDE)));
        given.map(|text| parse(&format!("the {} endpoint", S::SIDE), &text)).transpose()
    }
}

/// Refuses two resources whose credentials both come from stdin.
pub(super) fn check_stdin<'s>(resources: impl IntoIterator<Item = &'s SideSettings>) -> Result<(), Error> {
    if resources.into_iter().filter(|settings| settings.reads_stdin()).count() > 1 {
        return Err(both_from_stdin());
    }
    Ok(())
}

/// The error of two resources whose credentials both come from stdin.
pub(super) fn both_from_stdin() -> Error {
    Error::settings("both keys cannot come from stdin", "give one of the two keys another way")
}

/// Refuses two targets that are one resource.
pub(super) fn refuse_same_target_twice<'r>(targets: impl Iterator<Item = &'r Resource>) -> Result<(), Error> {
    let mut seen: Vec<&Resource> = Vec::new();
    for target in targets {
        if let Some(other) = seen.iter().find(|other| other.endpoint == target.endpoint) {
            let name = &target.label;
            let what = if other.name == target.name {
                format!("the target {name} is given twice")
            } else {
                format!("{name} and {} are the same resource: both have the endpoint {}", other.label, target.endpoint)
            };
            return Err(Error::settings(what, "name each target once"));
        }
        seen.push(target);
    }
    Ok(())
}

impl TargetAddressArgs {
    /// The target as a resource, whose label names the flag or the variable of its address.
    pub(super) fn resource(&self, target: &SideSettings, environment: Environment<'_>) -> Result<Resource, Error> {
        let resource = target.resource()?;
        if target.origin.name().is_some() {
            return Ok(resource);
        }
        let name = |setting, flag: &Option<String>| given_name(setting, Side::Target, flag.is_some(), environment);
        let settings = SettingNames {
            resource_id: name(Setting::ResourceId, &self.resource_id),
            region: name(Setting::Region, &self.region),
            ..resource.label.settings().clone()
        };
        let label = Label::clone(&resource.label).with(settings);
        Ok(Resource { label: Arc::new(label), ..resource })
    }

    /// Where the target is in Azure: the flags, else the Azure CLI's answer, else the environment.
    ///
    /// One of the two values alone is of no use. Whether they are needed depends on the API version, so a missing one is
    /// no error here.
    pub(super) fn address(
        &self,
        target: &SideSettings,
        environment: Environment<'_>,
    ) -> Result<Option<TargetAddress>, Error> {
        if self.resource_id.is_none()
            && self.region.is_none()
            && let Some(address) = target.address()?
        {
            return Ok(Some(address));
        }
        if target.origin.name().is_some() {
            return target.address_of_definition();
        }
        let given = |flag: &Option<String>, setting: Setting| {
            flag.clone().or_else(|| environment(&setting.variable(Side::Target)))
        };
        let name = |setting, flag: &Option<String>| given_name(setting, Side::Target, flag.is_some(), environment);
        let resource_id = given(&self.resource_id, Setting::ResourceId);
        let region = given(&self.region, Setting::Region);
        let resource_id: Option<ResourceId> =
            resource_id.map(|id| parse(&name(Setting::ResourceId, &self.resource_id), &id)).transpose()?;
        let region: Option<Region> =
            region.map(|region| parse(&name(Setting::Region, &self.region), &region)).transpose()?;
        Ok(resource_id.zip(region).map(|(resource_id, region)| TargetAddress { resource_id, region }))
    }
}

impl SideSettings {
    fn new(side: Side, flags: &Flags, environment: Environment<'_>) -> Result<Self, Error> {
        let given =
            |flag: Option<&String>, setting: Setting| flag.cloned().or_else(|| environment(&setting.variable(side)));
        let origin = Origin::Side(side);
        let account = account(side, flags, &given)?;
        let tenant = given(flags.tenant.as_ref(), Setting::Tenant);
        let trace = trace(environment);
        let details = account.as_ref().map(Account::details).transpose()?;
        // An account takes precedence over an endpoint in the environment.
        let endpoint = match &details {
            Some(details) => Some(details.properties.endpoint.clone()),
            None => given(flags.endpoint.as_ref(), Setting::Endpoint),
        };
        let auth = auth_source(side, flags, environment)?;
        Ok(Self {
            endpoint,
            origin,
            names: names_of_side(side, flags, environment),
            flags: flags.in_command(side),
            config: None,
            auth,
            tenant,
            trace,
            account,
            details,
            named_remedy: None,
            resource_id: None,
            region: None,
        })
    }

    /// Where the resource is in Azure, when the Azure CLI was asked.
    fn address(&self) -> Result<Option<TargetAddress>, Error> {
        let Some(Details { id, location, .. }) = &self.details else { return Ok(None) };
        let resource_id = parse(&format!("{}, as the Azure CLI says,", self.origin.part("resource id")), id)?;
        let region = parse(&format!("{}, as the Azure CLI says,", self.origin.part("region")), location)?;
        Ok(Some(TargetAddress { resource_id, region }))
    }

    /// Where a named resource is in Azure, if its definition has both values.
    fn address_of_definition(&self) -> Result<Option<TargetAddress>, Error> {
        let Some((id, region)) = self.resource_id.as_ref().zip(self.region.as_ref()) else { return Ok(None) };
        let resource_id = parse(&self.origin.part("resource id"), id)?;
        let region = parse(&self.origin.part("region"), region)?;
        Ok(Some(TargetAddress { resource_id, region }))
    }

    /// Asks the Azure CLI for the account, while something else is done.
    pub(super) fn account_query(&self, endpoint: &Endpoint, address: Option<&TargetAddress>) -> AccountQuery {
        let of_definition = || self.resource_id.as_ref()?.parse().ok();
        let id: Option<ResourceId> = address.map(|address| address.resource_id.clone()).or_else(of_definition);
        account_query(endpoint, self.details.as_ref(), id.as_ref())
    }

    pub(super) fn reads_stdin(&self) -> bool {
        matches!(&self.auth, Some(AuthSource::Key(secret) | AuthSource::Token(secret)) if secret.is_from_stdin())
    }

    /// Whether its requests carry tokens of Entra ID.
    pub(super) fn uses_tokens(&self) -> bool {
        matches!(self.auth, Some(AuthSource::Token(_) | AuthSource::Identity))
    }

    /// Reads the credential and makes the resource.
    pub(super) fn resource(&self) -> Result<Resource, Error> {
        let origin = &self.origin;
        let endpoint: Endpoint = match &self.endpoint {
            Some(endpoint) => parse(&self.label(String::new()).endpoint_setting(), endpoint)?,
            None => return Err(self.missing("endpoint", Setting::Endpoint)),
        };
        let label = self.label(endpoint.to_string());
        let credential = self.credential(&endpoint, &label)?;
        if matches!(credential, Credential::Tokens(_)) && endpoint.is_regional() {
            let what = origin.part("endpoint");
            return Err(Error::settings(
                format!("{what} is regional, and a regional endpoint accepts no tokens"),
                format!("use the resource's custom subdomain as {what}: https://….cognitiveservices.azure.com"),
            ));
        }
        let name = origin.name().cloned();
        let resource = Resource::new(origin.side(), endpoint, credential);
        let limits = self.details.as_ref().map(Details::rate_limits).unwrap_or_default();
        Ok(Resource { trace: self.trace.clone(), name, label: Arc::new(label), limits, ..resource })
    }

    fn key(&self, secret: &SecretString) -> Result<Credential, Error> {
        ci::mask(secret);
        Key::new(secret).map(Credential::Key).map_err(|error| about(&self.names.key, &error))
    }

    fn missing(&self, what: &str, setting: Setting) -> Error {
        let origin = &self.origin;
        let or_tokens = match origin {
            _ if setting != Setting::Key => String::new(),
            Origin::Side(side) => {
                format!(", or use {} or {} entra", Setting::KeyFromAz.flag(*side), Setting::Auth.flag(*side))
            }
            Origin::Named { .. } => ", or use key-from-az = true or auth = \"entra\"".into(),
        };
        let variable = origin.to_set(setting);
        let remedy = match (&self.named_remedy, misspelt(&variable)) {
            (Some(remedy), _) => format!("{remedy}; or set {variable}"),
            (None, Some(other)) => format!("rename {other}, which is set and has no meaning, to {variable}"),
            (None, None) => {
                format!("set {variable}; the resource's page Keys and Endpoint in the Azure portal shows it{or_tokens}")
            }
        };
        Error::settings(format!("{} is missing", origin.part(what)), remedy)
    }

    /// How messages name it.
    fn label(&self, url: String) -> Label {
        let label = match self.origin.name() {
            Some(name) => Label::of_name(name, url, self.config.as_deref()),
            None => Label::of_side(&self.origin.side().to_string(), url),
        };
        label.with(self.names.clone()).with_flags(self.flags.clone())
    }

    fn credential(&self, endpoint: &Endpoint, label: &Label) -> Result<Credential, Error> {
        let origin = &self.origin;
        match &self.auth {
            Some(AuthSource::Key(secret)) => self.key(&read(origin, "key", secret)?),
            Some(AuthSource::KeyOfAccount) => self.key(&key_of(self.account.as_ref(), origin)?),
            Some(AuthSource::Token(secret)) => {
                let tokens = tokens(origin, secret).map_err(|error| about(&origin.part("token"), &error));
                tokens.map(Credential::Tokens)
            }
            Some(AuthSource::Identity) => identity(label, endpoint, self.tenant.as_deref()),
            None => Err(self.missing("key", Setting::Key)),
        }
    }
}

/// The trace context of this process.
fn trace(environment: Environment<'_>) -> Option<TraceParent> {
    // Other programs set this variable for all child processes; an unusable value must not stop a copy.
    environment("TRACEPARENT").and_then(|text| text.parse().ok())
}

/// The account, if one is named. An endpoint on the command line takes precedence over an account in the environment.
fn account(
    side: Side,
    flags: &Flags,
    given: &impl Fn(Option<&String>, Setting) -> Option<String>,
) -> Result<Option<Account>, Error> {
    let name = flags.account.clone().or_else(|| given(None, Setting::Account).filter(|_| flags.endpoint.is_none()));
    let Some(name) = name else { return Ok(None) };
    let resource_group = given(flags.resource_group.as_ref(), Setting::ResourceGroup).ok_or_else(|| {
        Error::settings(
            format!("the resource group of the {side} {} is missing", without_keys(&name)),
            format!("give it with {}", Setting::ResourceGroup.flag(side)),
        )
    })?;
    let origin = Origin::Side(side);
    let subscription = given(flags.subscription.as_ref(), Setting::Subscription);
    Ok(Some(Account { origin, name, resource_group, subscription }))
}

fn key_of(account: Option<&Account>, origin: &Origin) -> Result<SecretString, Error> {
    let account = account.ok_or_else(|| {
        Error::settings(
            format!("{} needs the name of the resource in Azure", origin.option(Setting::KeyFromAz)),
            format!("give {} and {}", origin.option(Setting::Account), origin.option(Setting::ResourceGroup)),
        )
    })?;
    account.key()
}

/// Where the credential comes from: the flags, else the environment. `--…-auth` decides between a key and a token there.
fn auth_source(side: Side, flags: &Flags, environment: Environment<'_>) -> Result<Option<AuthSource>, Error> {
    let key_text = flags.key.clone().map(Secret::Text);
    let key = key_text.or(flags.key_file.clone().map(Secret::File)).map(AuthSource::Key);
    let key = key.or(flags.key_from_az.then_some(AuthSource::KeyOfAccount));
    let token = flags.token_file.clone().map(Secret::File);
    match (flags.auth, key, token) {
        (_, Some(_), Some(_)) | (Some(AuthArg::Entra), Some(_), _) | (Some(AuthArg::Key), _, Some(_)) => {
            Err(key_and_token(side, "on the command line"))
        }
        (_, Some(key), None) => Ok(Some(key)),
        (_, None, Some(token)) => Ok(Some(AuthSource::Token(token))),
        (auth, None, None) => auth_source_of_environment(side, auth, environment),
    }
}

fn auth_source_of_environment(
    side: Side,
    auth: Option<AuthArg>,
    environment: Environment<'_>,
) -> Result<Option<AuthSource>, Error> {
    let auth = match auth {
        Some(auth) => Some(auth),
        None => auth_of_environment(side, environment)?,
    };
    let secret = |what: &str, text: Setting, file: Setting| {
        let (text, file) = (text.variable(side), file.variable(side));
        match (environment(&text), environment(&file)) {
            (Some(_), Some(_)) => Err(Error::settings(
                format!("there are two {side} {what}s: {text} and {file} are both set"),
                "unset one of the two",
            )),
            (Some(text), None) => Ok(Some(Secret::Text(text.into()))),
            (None, file) => Ok(file.map(|file| Secret::File(file.into()))),
        }
    };
    let key = || secret("key", Setting::Key, Setting::KeyFile);
    let token = || secret("token", Setting::Token, Setting::TokenFile);
    match auth {
        Some(AuthArg::Key) => Ok(key()?.map(AuthSource::Key)),
        Some(AuthArg::Entra) => Ok(Some(token()?.map_or(AuthSource::Identity, AuthSource::Token))),
        None => match (key()?, token()?) {
            (Some(_), Some(_)) => Err(key_and_token(side, "in the environment")),
            (Some(key), None) => Ok(Some(AuthSource::Key(key))),
            (None, token) => Ok(token.map(AuthSource::Token)),
        },
    }
}

fn auth_of_environment(side: Side, environment: Environment<'_>) -> Result<Option<AuthArg>, Error> {
    let name = Setting::Auth.variable(side);
    match environment(&name).as_deref().map(str::trim) {
        None => Ok(None),
        Some("key") => Ok(Some(AuthArg::Key)),
        Some("entra") => Ok(Some(AuthArg::Entra)),
        Some(_) => Err(Error::settings(format!("{name} is neither key nor entra"), "set it to one of the two")),
    }
}

fn key_and_token(side: Side, place: &str) -> Error {
    let flag = Setting::Auth.flag(side);
    Error::settings(
        format!("there are a {side} key and a {side} token {place}"),
        format!("leave out one of the two, or choose with {flag} key or {flag} entra"),
    )
}

fn tokens(origin: &Origin, secret: &Secret) -> Result<TokenCache, Error> {
    match secret {
        Secret::File(path) if !is_read_once(path) => {
            TokenFile::new(path.clone()).map(|file| TokenCache::new(Masked(file)))
        }
        secret => StaticToken::new(&read(origin, "token", secret)?).map(|token| TokenCache::new(Masked(token))),
    }
}

#[cfg(feature = "entra")]
fn identity(label: &Label, endpoint: &Endpoint, tenant: Option<&str>) -> Result<Credential, Error> {
    let http = crate::client::entra_http_clients()?;
    let entra = crate::auth::entra::Entra::new(label.clone(), endpoint.cloud(), tenant, http)?;
    Ok(Credential::Tokens(TokenCache::new(Masked(entra))))
}

#[cfg(not(feature = "entra"))]
fn identity(label: &Label, _: &Endpoint, _: Option<&str>) -> Result<Credential, Error> {
    Err(Error::settings(
        "this frcopy was built without the feature entra and cannot request tokens",
        format!("give a token for {label}, or use a build with all features"),
    ))
}

/// A variable that is set, means nothing, and differs from this one by a slip of the keyboard.
fn misspelt(variable: &str) -> Option<String> {
    const MAX_SLIPS: usize = 2;
    let is_known = |name: &str| {
        [Side::Source, Side::Target].into_iter().any(|side| variables(side).any(|(known, _)| known == name))
    };
    let is_near = |name: &String| !is_known(name) && strsim::osa_distance(name, variable) <= MAX_SLIPS;
    process_variables().into_iter().filter(|name| name.len() > MAX_SLIPS * 4).find(is_near)
}

/// Reads a key or token; one line end after it is removed.
fn read(origin: &Origin, what: &str, secret: &Secret) -> Result<SecretString, Error> {
    match secret {
        Secret::Text(text) => Ok(text.clone()),
        Secret::Command(words) => key_command::run(words, &origin.part(what)),
        Secret::File(path) => {
            let text = read_text(path, MAX_SECRET_FILE).map_err(|error| {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let shown = without_keys(&absolute.to_string_lossy());
                let remedy = if path.starts_with("~") {
                    "write the whole path: frcopy does not expand ~".to_owned()
                } else if error.kind() == io::ErrorKind::InvalidData {
                    format!("save the file as UTF-8, with nothing but the {what}")
                } else {
                    format!("check that the file exists, is readable and contains only the {what}")
                };
                Error::settings(format!("{} cannot be read from {shown}", origin.part(what)), remedy).with_source(error)
            })?;
            let line = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
            Ok(line.into())
        }
    }
}
