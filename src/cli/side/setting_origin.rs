//! Says where the settings of a resource come from: flags, the environment, files, the Azure CLI.

use std::path::Path;

use super::flags::{AuthArg, Flags, Setting, SideArgs, WhichSide, variables};
use crate::cli::config::{Definition, KeySource, Token};
use crate::cli::input::{Environment, without_keys};
use crate::label::SettingNames;
use crate::resource::Side;

impl<S: WhichSide> SideArgs<S> {
    /// Whether a flag or a variable of this side is given.
    pub(in crate::cli) fn is_configured(&self, environment: Environment<'_>) -> bool {
        self.are_given() || variables(S::SIDE).any(|(name, _)| environment(&name).is_some())
    }

    /// Where the endpoint and the credential come from, in one line.
    pub(in crate::cli) fn origins(&self, environment: Environment<'_>) -> String {
        let endpoint = endpoint_place(S::SIDE, &self.flags, environment).map(|place| format!("endpoint from {place}"));
        let credential = credential_place(S::SIDE, &self.flags, environment);
        endpoint.into_iter().chain(credential).collect::<Vec<_>>().join(", ")
    }
}

/// Where the endpoint comes from.
pub(super) fn endpoint_place(side: Side, flags: &Flags, environment: Environment<'_>) -> Option<String> {
    let variable = |setting: Setting| Some(setting.variable(side)).filter(|name| environment(name).is_some());
    let by_az = |origin: String| format!("the Azure CLI ({origin})");
    match (&flags.account, &flags.endpoint) {
        (Some(_), _) => Some(by_az(Setting::Account.flag(side))),
        (None, Some(_)) => Some(Setting::Endpoint.flag(side)),
        (None, None) => variable(Setting::Account).map(by_az).or_else(|| variable(Setting::Endpoint)),
    }
}

/// What the credential is, and where it comes from, such as `key from FRCOPY_SOURCE_KEY`.
pub(super) fn credential_place(side: Side, flags: &Flags, environment: Environment<'_>) -> Option<String> {
    let flag = |setting: Setting| setting.flag(side);
    if flags.key.is_some() {
        return Some(format!("key from {}", flag(Setting::Key)));
    }
    if let Some(path) = &flags.key_file {
        return Some(from_file("key", path, &flag(Setting::KeyFile)));
    }
    if flags.key_from_az {
        return Some(format!("key from the Azure CLI ({})", flag(Setting::KeyFromAz)));
    }
    if let Some(path) = &flags.token_file {
        return Some(from_file("token", path, &flag(Setting::TokenFile)));
    }
    let auth_variable = Setting::Auth.variable(side);
    let is_entra = flags.auth == Some(AuthArg::Entra)
        || (flags.auth.is_none() && environment(&auth_variable).is_some_and(|auth| auth.trim() == "entra"));
    if !is_entra && let Some(origin) = secret_origin("key", [Setting::Key, Setting::KeyFile], side, environment) {
        return Some(origin);
    }
    let token = secret_origin("token", [Setting::Token, Setting::TokenFile], side, environment);
    let by = if flags.auth.is_some() { flag(Setting::Auth) } else { auth_variable };
    token.or_else(|| is_entra.then(|| format!("tokens of this machine's identity ({by})")))
}

fn secret_origin(what: &str, [text, file]: [Setting; 2], side: Side, environment: Environment<'_>) -> Option<String> {
    let (text, file) = (text.variable(side), file.variable(side));
    if environment(&text).is_some() {
        return Some(format!("{what} from {text}"));
    }
    environment(&file).map(|path| from_file(what, Path::new(&path), &file))
}

pub(super) fn from_file(what: &str, path: &Path, origin: &str) -> String {
    format!("{what} from the file {} ({origin})", without_keys(&path.to_string_lossy()))
}

/// How messages name the settings of a side: after the flag or the variable that is given.
pub(super) fn names_of_side(side: Side, flags: &Flags, environment: Environment<'_>) -> SettingNames {
    let credential = credential_place(side, flags, environment);
    let default = SettingNames::of_side(&side.to_string());
    SettingNames {
        endpoint_place: endpoint_place(side, flags, environment),
        key: credential.map(|place| format!("the {side} {place}")).unwrap_or(default.key),
        tenant: given_name(Setting::Tenant, side, flags.tenant.is_some(), environment),
        ..default
    }
}

/// The flag of a setting, or its variable if that one is set.
pub(super) fn given_name(setting: Setting, side: Side, has_flag: bool, environment: Environment<'_>) -> String {
    let variable = setting.variable(side);
    if !has_flag && environment(&variable).is_some() { variable } else { setting.flag(side) }
}

/// How messages name the settings of a named resource.
pub(super) fn names_of_definition(definition: &Definition) -> SettingNames {
    let Definition { name, place, account, key, token, .. } = definition;
    let field = |field: &str| format!("{field} of {name} ({place})");
    let of = |what: &str, from: String| format!("the {what} of {name} from {from}");
    let file = |path: &Path| format!("the file {} ({place})", without_keys(&path.to_string_lossy()));
    let key = match (key, token) {
        (Some(KeySource::Text(_)), _) => of("key", format!("FRCOPY_RESOURCE_{}_KEY", name.in_variables())),
        (Some(KeySource::Variable(variable)), _) => of("key", format!("{variable} ({place})")),
        (Some(KeySource::File(path)), _) => of("key", file(path)),
        (Some(KeySource::Command(_)), _) => of("key", format!("key-command ({place})")),
        (Some(KeySource::Az), _) => of("key", format!("the Azure CLI ({place})")),
        (None, Some(Token::Text(_))) => of("token", format!("FRCOPY_RESOURCE_{}_TOKEN", name.in_variables())),
        (None, Some(Token::File(path))) => of("token", file(path)),
        (None, None) => format!("the key of {name}"),
    };
    SettingNames {
        endpoint: format!("the endpoint of {name}"),
        endpoint_place: Some(match account {
            Some(_) => format!("the Azure CLI, account of {name}, {place}"),
            None => place.clone(),
        }),
        key,
        entra: format!("auth = \"entra\" for {name} ({place})"),
        tenant: field("tenant"),
        resource_id: "resource-id".into(),
        region: field("region"),
    }
}
