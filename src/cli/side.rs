//! One side of a copy: from its options, its environment and its files to a resource.

use std::path::{Path, PathBuf};

use crate::auth::{Credential, Key, StaticToken, TokenCache, TokenFile};
use crate::error::Error;
use crate::resource::{Endpoint, Resource, Side, TargetAddress, TraceParent};
use secrecy::SecretString;

use super::args::{AuthArg, SecretArg, SourceArgs, TargetArgs};
use super::az::{Account, Details};
use super::ci::{self, Masked};
use super::settings::{Environment, STDIN, about, parse, read_text};
use super::usage::without_keys;

/// A file that is longer holds something else than a key or a token.
const LONGEST_SECRET_FILE: u64 = 64 * 1024;

/// What was given for one of the two sides. An option beats the environment.
pub(super) struct SideSettings {
    pub(super) endpoint: Option<String>,
    side: Side,
    means: Option<AuthSource>,
    tenant: Option<String>,
    trace: Option<TraceParent>,
    account: Option<Account>,
    /// What the Azure CLI says of the account.
    details: Option<Details>,
}

/// With what a side is to let us in.
enum AuthSource {
    Key(Secret),
    /// That of the account, which the Azure CLI knows.
    KeyOfAccount,
    Token(Secret),
    /// Whatever identity this machine has.
    Identity,
}

/// A key or a token, as it was given.
enum Secret {
    Text(SecretString),
    File(PathBuf),
}

impl Secret {
    fn is_from_stdin(&self) -> bool {
        matches!(self, Self::File(path) if path == Path::new(STDIN))
    }
}

/// The options of one side, whichever it is.
struct Options<'a> {
    side: Side,
    endpoint: Option<&'a String>,
    key: Option<AuthSource>,
    token: Option<Secret>,
    auth: Option<AuthArg>,
    tenant: Option<&'a String>,
    account: Option<&'a String>,
    resource_group: Option<&'a String>,
    subscription: Option<&'a String>,
}

/// The options out of the arguments of either side, which have the same fields and are two types: each has its prefix.
macro_rules! options_of {
    ($side:expr, $args:expr) => {
        Options {
            side: $side,
            endpoint: $args.endpoint.as_ref(),
            key: given_key($args.key.as_ref(), $args.key_file.as_ref(), $args.key_from_az),
            token: $args.token_file.clone().map(Secret::File),
            auth: $args.auth,
            tenant: $args.tenant.as_ref(),
            account: $args.account.as_ref(),
            resource_group: $args.resource_group.as_ref(),
            subscription: $args.subscription.as_ref(),
        }
    };
}

impl SideSettings {
    pub(super) fn source(args: &SourceArgs, environment: Environment<'_>) -> Result<Self, Error> {
        Self::new(options_of!(Side::Source, args), environment)
    }

    pub(super) fn target(args: &TargetArgs, environment: Environment<'_>) -> Result<Self, Error> {
        Self::new(options_of!(Side::Target, args), environment)
    }

    fn new(options: Options<'_>, environment: Environment<'_>) -> Result<Self, Error> {
        let side = options.side;
        let given =
            |option: Option<&String>, what: &str| option.cloned().or_else(|| environment(&variable_name(side, what)));
        let account = account(&options, &given)?;
        let tenant = given(options.tenant, "TENANT");
        // Whoever traces sets it for all of its children, and a trace is not worth a copy that is not made.
        let trace = environment("TRACEPARENT").and_then(|text| text.parse().ok());
        // A resource that is named is that one, whatever else the environment says.
        let details = account.as_ref().map(Account::details).transpose()?;
        let endpoint = match &details {
            Some(details) => Some(details.properties.endpoint.clone()),
            None => given(options.endpoint, "ENDPOINT"),
        };
        let means = means(options, environment)?;
        Ok(Self { endpoint, side, means, tenant, trace, account, details })
    }

    /// Where the resource is in Azure, when the Azure CLI was asked.
    pub(super) fn address(&self) -> Result<Option<TargetAddress>, Error> {
        let Some(Details { id, location, .. }) = &self.details else { return Ok(None) };
        let side = self.side;
        let resource_id = parse(&format!("the {side} resource id of the Azure CLI"), id)?;
        let region = parse(&format!("the {side} region of the Azure CLI"), location)?;
        Ok(Some(TargetAddress { resource_id, region }))
    }

    pub(super) fn reads_stdin(&self) -> bool {
        matches!(&self.means, Some(AuthSource::Key(secret) | AuthSource::Token(secret)) if secret.is_from_stdin())
    }

    pub(super) fn resource(&self) -> Result<Resource, Error> {
        let side = self.side;
        let endpoint: Endpoint = match &self.endpoint {
            Some(endpoint) => parse(&format!("the {side} endpoint"), endpoint)?,
            None => return Err(missing(side, "endpoint", "ENDPOINT")),
        };
        let credential = self.credential(&endpoint)?;
        if matches!(credential, Credential::Tokens(_)) && endpoint.is_regional() {
            return Err(Error::settings(
                format!("the {side} endpoint is that of a region, where no tokens are taken"),
                format!(
                    "use the resource's custom subdomain as the {side} endpoint: https://….cognitiveservices.azure.com"
                ),
            ));
        }
        Ok(Resource { trace: self.trace.clone(), ..Resource::new(side, endpoint, credential) })
    }

    fn credential(&self, endpoint: &Endpoint) -> Result<Credential, Error> {
        let side = self.side;
        match &self.means {
            Some(AuthSource::Key(secret)) => key(side, &read(side, "key", secret)?),
            Some(AuthSource::KeyOfAccount) => key(side, &key_of(self.account.as_ref(), side)?),
            Some(AuthSource::Token(secret)) => {
                let tokens = tokens(side, secret).map_err(|error| about(&format!("the {side} token"), &error));
                tokens.map(Credential::Tokens)
            }
            Some(AuthSource::Identity) => identity(side, endpoint, self.tenant.as_deref()),
            None => Err(missing(side, "key", "KEY")),
        }
    }
}

/// The resource by its name, where it was given one.
fn account(
    options: &Options<'_>,
    given: &impl Fn(Option<&String>, &str) -> Option<String>,
) -> Result<Option<Account>, Error> {
    let side = options.side;
    // An endpoint on the command line says which resource is meant.
    let name = options.account.cloned().or_else(|| given(None, "ACCOUNT").filter(|_| options.endpoint.is_none()));
    let Some(name) = name else { return Ok(None) };
    let resource_group = given(options.resource_group, "RESOURCE_GROUP").ok_or_else(|| {
        Error::settings(
            format!("the resource group of the {side} {} is missing", without_keys(&name)),
            format!("give it with --{side}-resource-group"),
        )
    })?;
    Ok(Some(Account { side, name, resource_group, subscription: given(options.subscription, "SUBSCRIPTION") }))
}

fn given_key(key: Option<&SecretArg>, file: Option<&PathBuf>, from_az: bool) -> Option<AuthSource> {
    let text = key.map(|key| Secret::Text(key.0.clone()));
    text.or(file.cloned().map(Secret::File)).map(AuthSource::Key).or(from_az.then_some(AuthSource::KeyOfAccount))
}

fn key_of(account: Option<&Account>, side: Side) -> Result<SecretString, Error> {
    let account = account.ok_or_else(|| {
        Error::settings(
            format!("--{side}-key-from-az does not say of which resource"),
            format!("name it with --{side}-account and --{side}-resource-group"),
        )
    })?;
    account.key()
}

/// Which means was chosen: by an option, else by FRCOPY_…_AUTH, else by what there is.
fn means(options: Options<'_>, environment: Environment<'_>) -> Result<Option<AuthSource>, Error> {
    let Options { side, key, token, auth, .. } = options;
    match (auth, key, token) {
        (_, Some(_), Some(_)) | (Some(AuthArg::Entra), Some(_), _) | (Some(AuthArg::Key), _, Some(_)) => {
            Err(two_means(side, "on the command line"))
        }
        (_, Some(key), None) => Ok(Some(key)),
        (_, None, Some(token)) => Ok(Some(AuthSource::Token(token))),
        (auth, None, None) => means_of_environment(side, auth, environment),
    }
}

fn means_of_environment(
    side: Side,
    auth: Option<AuthArg>,
    environment: Environment<'_>,
) -> Result<Option<AuthSource>, Error> {
    let auth = match auth {
        Some(auth) => Some(auth),
        None => auth_of_environment(side, environment)?,
    };
    let secret = |what: &str| {
        let (text, file) = (variable_name(side, what), variable_name(side, &format!("{what}_FILE")));
        match (environment(&text), environment(&file)) {
            (Some(_), Some(_)) => Err(Error::settings(
                format!("there are two {side} {}s: {text} and {file} are both set", what.to_lowercase()),
                "unset one of the two",
            )),
            (Some(text), None) => Ok(Some(Secret::Text(text.into()))),
            (None, file) => Ok(file.map(|file| Secret::File(file.into()))),
        }
    };
    match auth {
        Some(AuthArg::Key) => Ok(secret("KEY")?.map(AuthSource::Key)),
        Some(AuthArg::Entra) => Ok(Some(secret("TOKEN")?.map_or(AuthSource::Identity, AuthSource::Token))),
        None => match (secret("KEY")?, secret("TOKEN")?) {
            (Some(_), Some(_)) => Err(two_means(side, "in the environment")),
            (Some(key), None) => Ok(Some(AuthSource::Key(key))),
            (None, token) => Ok(token.map(AuthSource::Token)),
        },
    }
}

fn auth_of_environment(side: Side, environment: Environment<'_>) -> Result<Option<AuthArg>, Error> {
    let name = variable_name(side, "AUTH");
    match environment(&name).as_deref().map(str::trim) {
        None => Ok(None),
        Some("key") => Ok(Some(AuthArg::Key)),
        Some("entra") => Ok(Some(AuthArg::Entra)),
        Some(_) => Err(Error::settings(format!("{name} is neither key nor entra"), "set it to one of the two")),
    }
}

fn two_means(side: Side, place: &str) -> Error {
    Error::settings(
        format!("there are a {side} key and a {side} token {place}"),
        format!("leave out one of the two, or choose with --{side}-auth key or --{side}-auth entra"),
    )
}

fn key(side: Side, secret: &SecretString) -> Result<Credential, Error> {
    ci::mask(secret);
    Key::new(secret).map(Credential::Key).map_err(|error| about(&format!("the {side} key"), &error))
}

fn tokens(side: Side, secret: &Secret) -> Result<TokenCache, Error> {
    match secret {
        Secret::File(path) if !secret.is_from_stdin() => {
            TokenFile::new(path.clone()).map(|file| TokenCache::new(Masked(file)))
        }
        secret => StaticToken::new(&read(side, "token", secret)?).map(|token| TokenCache::new(Masked(token))),
    }
}

#[cfg(feature = "entra")]
fn identity(side: Side, endpoint: &Endpoint, tenant: Option<&str>) -> Result<Credential, Error> {
    let entra = crate::auth::entra::Entra::new(side, endpoint.cloud(), tenant, crate::client::entra_http_clients()?)?;
    Ok(Credential::Tokens(TokenCache::new(Masked(entra))))
}

#[cfg(not(feature = "entra"))]
fn identity(side: Side, _: &Endpoint, _: Option<&str>) -> Result<Credential, Error> {
    Err(Error::settings(
        "this frcopy was built without the feature entra, and asks nobody for tokens",
        format!("give a token in {}, or use a build with all features", variable_name(side, "TOKEN")),
    ))
}

/// A key or a token from where it is; one line end after it is dropped.
fn read(side: Side, what: &str, secret: &Secret) -> Result<SecretString, Error> {
    match secret {
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => {
            let text = read_text(path, LONGEST_SECRET_FILE).map_err(|error| {
                Error::settings(
                    format!("the {side} {what} cannot be read from {}", without_keys(&path.to_string_lossy())),
                    format!("check that the file is there, may be read and holds nothing but the {what}"),
                )
                .with_source(error)
            })?;
            let line = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
            Ok(line.into())
        }
    }
}

fn missing(side: Side, what: &str, variable: &str) -> Error {
    let name = variable_name(side, variable);
    let or_tokens =
        if variable == "KEY" { format!(", or use --{side}-key-from-az or --{side}-auth entra") } else { String::new() };
    Error::settings(
        format!("the {side} {what} is missing"),
        format!("set {name}; the resource's page Keys and Endpoint in the Azure portal shows it{or_tokens}"),
    )
}

fn variable_name(side: Side, what: &str) -> String {
    format!("FRCOPY_{}_{what}", side.to_string().to_uppercase())
}
