//! The settings for a shell: what clients of the emulated resources need.

use std::path::Path;

use crate::emulator::{Collection, EmulatedResource, Emulator, resource_name};
use clap::ValueEnum;

/// A shell that settings are printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Powershell,
}

impl Shell {
    /// The command that sets an environment variable.
    fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash => format!("export {name}='{}'", value.replace('\'', "'\\''")),
            Self::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        }
    }
}

/// How many ids of models a line names.
const SHOWN_IDS: usize = 6;

/// The settings of a running emulator.
pub(super) struct Settings<'e> {
    pub(super) shell: Shell,
    pub(super) emulator: &'e Emulator,
    /// Whether the user has named the resources.
    pub(super) are_named: bool,
    /// The certificate that clients must trust.
    pub(super) authority: Option<&'e Path>,
    /// The configuration file, which has the names.
    pub(super) config: Option<&'e Path>,
}

impl Settings<'_> {
    pub(super) fn text(&self) -> String {
        let lines = [self.trust(), self.variables(), self.names(), self.models()];
        lines.concat().join("\n")
    }

    /// The environment variables by which clients trust the certificate: frcopy and OpenSSL, Node.js, Python's requests.
    fn trust(&self) -> Vec<String> {
        let variables = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"];
        let Some(path) = self.authority.map(Path::to_string_lossy) else { return Vec::new() };
        variables.map(|name| self.shell.set(name, &path)).to_vec()
    }

    /// The variables of the resources: the first two are source and target. Resources that were named have variables with
    /// their names as well, unless the configuration file has them.
    fn variables(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, resource) in self.emulator.resources().iter().enumerate() {
            let EmulatedResource { name, endpoint, key, resource_id, region } = resource;
            let own = name.to_uppercase().replace('-', "_");
            let side = (index < 2).then(|| resource_name(index).to_uppercase());
            let named = format!("RESOURCE_{own}");
            let prefixes = if self.are_named {
                side.into_iter().chain(Some(named).filter(|_| self.config.is_none())).collect()
            } else {
                vec![own]
            };
            for prefix in prefixes {
                let mut variables = vec![("ENDPOINT", endpoint), ("KEY", key)];
                if prefix != "SOURCE" {
                    variables.extend([("RESOURCE_ID", resource_id), ("REGION", region)]);
                }
                let set =
                    |(variable, value): (&str, &String)| self.shell.set(&format!("FRCOPY_{prefix}_{variable}"), value);
                lines.extend(variables.into_iter().map(set));
            }
        }
        lines
    }

    /// The configuration file, with a command that uses its names.
    fn names(&self) -> Vec<String> {
        let Some(path) = self.config.map(Path::to_string_lossy) else { return Vec::new() };
        let mut lines = vec![self.shell.set("FRCOPY_CONFIG", &path)];
        if let [source, target, ..] = self.emulator.resources() {
            lines.push(format!("# frcopy copy --all --from {} --to {}", source.name, target.name));
        }
        lines
    }

    /// Comments that name the models of the source.
    fn models(&self) -> Vec<String> {
        let of = |(collection, what)| {
            let ids = self.emulator.ids(0, collection);
            let shown: Vec<_> = ids.iter().take(SHOWN_IDS).map(String::as_str).collect();
            let more =
                if ids.len() > shown.len() { format!(" and {} more", ids.len() - shown.len()) } else { String::new() };
            let source = self.emulator.resources().first().map_or("", |source| &source.name);
            (!ids.is_empty()).then(|| format!("# {source} has the {what} {}{more}", shown.join(", ")))
        };
        let collections = [
            (Collection::CustomModels, "v2.1 models"),
            (Collection::DocumentModels, "models of v3.0 and later"),
            (Collection::DocumentClassifiers, "classifiers"),
        ];
        collections.into_iter().filter_map(of).collect()
    }
}
