//! Says where the settings of a resource come from: flags, the environment, files, the Azure CLI.

use std::path::Path;

use super::flags::{AuthArg, Setting, SideArgs, WhichSide, variables};
use crate::cli::input::{Environment, without_keys};

impl<S: WhichSide> SideArgs<S> {
    /// Whether a flag or a variable of this side is given.
    pub(in crate::cli) fn is_configured(&self, environment: Environment<'_>) -> bool {
        let flags = &self.flags;
        let has_flag = [&flags.endpoint, &flags.tenant, &flags.account, &flags.resource_group, &flags.subscription]
            .into_iter()
            .any(Option::is_some)
            || [&flags.key_file, &flags.token_file].into_iter().any(Option::is_some)
            || flags.key.is_some()
            || flags.auth.is_some()
            || flags.key_from_az;
        has_flag || variables(S::SIDE).any(|(name, _)| environment(&name).is_some())
    }

    /// Where the endpoint and the credential come from, in one line.
    pub(in crate::cli) fn origins(&self, environment: Environment<'_>) -> String {
        [self.endpoint_origin(environment), self.credential_origin(environment)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn endpoint_origin(&self, environment: Environment<'_>) -> Option<String> {
        let variable = |setting: Setting| Some(setting.variable(S::SIDE)).filter(|name| environment(name).is_some());
        let by_az = |origin: String| format!("endpoint from the Azure CLI ({origin})");
        match (&self.flags.account, &self.flags.endpoint) {
            (Some(_), _) => Some(by_az(Setting::Account.flag(S::SIDE))),
            (None, Some(_)) => Some(format!("endpoint from {}", Setting::Endpoint.flag(S::SIDE))),
            (None, None) => variable(Setting::Account)
                .map(by_az)
                .or_else(|| variable(Setting::Endpoint).map(|name| format!("endpoint from {name}"))),
        }
    }

    fn credential_origin(&self, environment: Environment<'_>) -> Option<String> {
        let flags = &self.flags;
        let flag = |setting: Setting| setting.flag(S::SIDE);
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
        let auth_variable = Setting::Auth.variable(S::SIDE);
        let is_entra = flags.auth == Some(AuthArg::Entra)
            || (flags.auth.is_none() && environment(&auth_variable).is_some_and(|auth| auth.trim() == "entra"));
        if !is_entra && let Some(origin) = secret_origin("key", [Setting::Key, Setting::KeyFile], S::SIDE, environment)
        {
            return Some(origin);
        }
        let token = secret_origin("token", [Setting::Token, Setting::TokenFile], S::SIDE, environment);
        let by = if flags.auth.is_some() { flag(Setting::Auth) } else { auth_variable };
        token.or_else(|| is_entra.then(|| format!("tokens of this machine's identity ({by})")))
    }
}

fn secret_origin(
    what: &str,
    [text, file]: [Setting; 2],
    side: crate::resource::Side,
    environment: Environment<'_>,
) -> Option<String> {
    let (text, file) = (text.variable(side), file.variable(side));
    if environment(&text).is_some() {
        return Some(format!("{what} from {text}"));
    }
    environment(&file).map(|path| from_file(what, Path::new(&path), &file))
}

fn from_file(what: &str, path: &Path, origin: &str) -> String {
    format!("{what} from the file {} ({origin})", without_keys(&path.to_string_lossy()))
}
