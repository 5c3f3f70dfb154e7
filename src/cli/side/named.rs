//! Resolves the resources of a command: by name, or by flags and environment.

use std::cell::OnceCell;
use std::path::Path;

use crate::error::Error;
use crate::resource::Side;

use super::flags::{SideArgs, SourceArgs, TargetArgs, WhichSide};
use super::origin::Origin;
use super::setting_origin::names_of_definition;
use super::{AuthSource, Secret, SideSettings, trace};
use crate::cli::az::Account;
use crate::cli::config::{Auth, Config, ConfigArgs, Definition, KeySource, Token};
use crate::cli::input::{Environment, without_keys};

/// The sides of a command. The configuration file is read when the first name is used.
pub(in crate::cli) struct Sides<'a> {
    config: &'a ConfigArgs,
    environment: Environment<'a>,
    loaded: OnceCell<Config>,
    /// Whether one of the sides has a name.
    has_names: bool,
}

impl<'a> Sides<'a> {
    pub(in crate::cli) fn new(config: &'a ConfigArgs, environment: Environment<'a>) -> Self {
        Self { config, environment, loaded: OnceCell::new(), has_names: false }
    }

    /// The same, where the options of the command name resources on one side or on both.
    pub(in crate::cli) fn with_names<'n>(self, mut names: impl Iterator<Item = &'n String>) -> Self {
        Self { has_names: names.next().is_some(), ..self }
    }

    /// The settings of the source: those of the name, else those of flags and environment.
    pub(in crate::cli) fn source(&self, from: Option<&String>, flags: &SourceArgs) -> Result<SideSettings, Error> {
        self.settings("--from", from, flags)
    }

    /// The settings of the target, likewise.
    pub(in crate::cli) fn target(&self, to: Option<&String>, flags: &TargetArgs) -> Result<SideSettings, Error> {
        self.settings("--to", to, flags)
    }

    /// The settings of each target: those of the names, else one target by flags and environment.
    pub(in crate::cli) fn targets(&self, to: &[String], flags: &TargetArgs) -> Result<Vec<SideSettings>, Error> {
        match to {
            [] => Ok(vec![self.target(None, flags)?]),
            names => names.iter().map(|name| self.target(Some(name), flags)).collect(),
        }
    }

    fn settings<S: WhichSide>(
        &self,
        option: &str,
        name: Option<&String>,
        flags: &SideArgs<S>,
    ) -> Result<SideSettings, Error> {
        if let Some(name) = name {
            return self.named(option, name, S::SIDE);
        }
        let mut settings = flags.settings(self.environment)?;
        if self.has_names {
            let names: Vec<_> = self.config()?.definitions().iter().map(|one| one.name.as_str()).collect();
            settings.named_remedy = Some(format!("give {option} NAME: {}", names.join(", ")));
        }
        Ok(settings)
    }

    /// The settings of a named resource.
    pub(in crate::cli) fn named(&self, option: &str, name: &str, side: Side) -> Result<SideSettings, Error> {
        let config = self.config()?;
        let settings = SideSettings::of_definition(side, config.find(option, name)?, self.environment)?;
        Ok(SideSettings { config: config.file_of_option().map(Path::to_owned), ..settings })
    }

    /// The settings of one resource: `source`, `target`, or a name.
    pub(in crate::cli) fn one(
        &self,
        resource: &str,
        source: &SourceArgs,
        target: &TargetArgs,
    ) -> Result<SideSettings, Error> {
        match resource {
            "source" => self.source(None, source),
            "target" => self.target(None, target),
            name if source.are_given() || target.are_given() => Err(Error::settings(
                format!("the flags of the source and the target do not apply to {}", without_keys(name)),
                "leave them out, or give source or target",
            )),
            name => self.named("the name of the resource", name, Side::Alone),
        }
    }

    /// Where a named resource is defined, and how it authenticates.
    pub(in crate::cli) fn origins(&self, name: &str) -> Result<String, Error> {
        let definition = self.config()?.find("the name of the resource", name)?;
        Ok(format!("{}, authentication: {}", definition.place, definition.authentication()))
    }

    fn config(&self) -> Result<&Config, Error> {
        if let Some(config) = self.loaded.get() {
            return Ok(config);
        }
        let config = self.config.load(self.environment)?;
        Ok(self.loaded.get_or_init(|| config))
    }
}

impl SideSettings {
    fn of_definition(side: Side, definition: &Definition, environment: Environment<'_>) -> Result<Self, Error> {
        let Definition { name, place, .. } = definition;
        let origin = Origin::Named { side, name: name.clone(), place: place.clone() };
        let account = account(definition, &origin)?;
        let details = account.as_ref().map(Account::details).transpose()?;
        let endpoint = match &details {
            Some(details) => Some(details.properties.endpoint.clone()),
            None => definition.endpoint.clone(),
        };
        Ok(Self {
            endpoint,
            names: names_of_definition(definition),
            flags: String::new(),
            config: None,
            auth: auth_source(definition, environment)?,
            tenant: definition.tenant.clone(),
            trace: trace(environment),
            resource_id: definition.resource_id.clone(),
            region: definition.region.clone(),
            origin,
            account,
            details,
            named_remedy: None,
        })
    }
}

fn account(definition: &Definition, origin: &Origin) -> Result<Option<Account>, Error> {
    let Some(name) = definition.account.clone() else { return Ok(None) };
    let resource_group = definition.resource_group.clone().ok_or_else(|| {
        let what = format!("{} is missing", origin.part("resource group"));
        Error::settings(what, format!("give resource-group beside account = {:?}", without_keys(&name)))
    })?;
    let subscription = definition.subscription.clone();
    Ok(Some(Account { origin: origin.clone(), name, resource_group, subscription }))
}

fn auth_source(definition: &Definition, environment: Environment<'_>) -> Result<Option<AuthSource>, Error> {
    let key = |secret| Some(AuthSource::Key(secret));
    Ok(match (&definition.key, &definition.token, definition.auth) {
        (Some(KeySource::Text(text)), ..) => key(Secret::Text(text.clone())),
        (Some(KeySource::Variable(variable)), ..) => {
            let text = environment(variable).ok_or_else(|| {
                let what = format!("the key of {} is missing: {variable} is not set", definition.name);
                Error::settings(what, format!("set {variable}, which key-env names ({})", definition.place))
            })?;
            key(Secret::Text(text.into()))
        }
        (Some(KeySource::File(path)), ..) => key(Secret::File(path.clone())),
        (Some(KeySource::Command(words)), ..) => key(Secret::Command(words.clone())),
        (Some(KeySource::Az), ..) => Some(AuthSource::KeyOfAccount),
        (None, Some(Token::Text(text)), _) => Some(AuthSource::Token(Secret::Text(text.clone()))),
        (None, Some(Token::File(path)), _) => Some(AuthSource::Token(Secret::File(path.clone()))),
        (None, None, Some(Auth::Entra)) => Some(AuthSource::Identity),
        (None, None, _) => None,
    })
}
