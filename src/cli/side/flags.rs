//! The flags and environment variables of one resource, defined once for the source and the target.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::label::in_shell;
use crate::resource::Side;
use crate::text_file::is_stdin;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};
use secrecy::SecretString;

/// A setting of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Setting {
    Endpoint,
    Key,
    KeyFile,
    Auth,
    Tenant,
    Token,
    TokenFile,
    Account,
    ResourceGroup,
    Subscription,
    KeyFromAz,
    ResourceId,
    Region,
}

/// Everything that is known of a setting. The flag, the variable and the help of both sides follow from it.
struct Definition {
    setting: Setting,
    /// The flag's name after `--source-` and `--target-`.
    name: &'static str,
    value: Value,
    help: Help,
    /// Settings whose flags cannot be given together with this one.
    conflicts: &'static [Setting],
}

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Text, with its placeholder in the help.
    Text(&'static str),
    /// Text that must not be printed.
    Secret(&'static str),
    Path(&'static str),
    Auth(&'static str),
    Switch,
    /// There is no flag, only a variable.
    NoFlag,
}

/// The help text of a flag.
#[derive(Clone, Copy)]
enum Help {
    Both(&'static str),
    Each { source: &'static str, target: &'static str },
}

const DEFINITIONS: [Definition; 11] = [
    Definition {
        setting: Setting::Endpoint,
        name: "endpoint",
        value: Value::Text("URL"),
        help: Help::Each {
            source: "Endpoint of the resource that has the model",
            target: "Endpoint of the resource that receives the copy",
        },
        conflicts: &[],
    },
    Definition {
        setting: Setting::Key,
        name: "key",
        value: Value::Secret("KEY"),
        help: Help::Both("Key of that resource"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::KeyFile,
        name: "key-file",
        value: Value::Path("PATH"),
        help: Help::Both("File with that key, - for stdin"),
        conflicts: &[Setting::Key],
    },
    Definition {
        setting: Setting::Auth,
        name: "auth",
        value: Value::Auth("METHOD"),
        help: Help::Both("Authentication method: a key, or tokens of Microsoft Entra ID [default: key]"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::Tenant,
        name: "tenant",
        value: Value::Text("ID"),
        help: Help::Both("Tenant that issues the tokens [default: the identity's own]"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::Token,
        name: "token",
        value: Value::NoFlag,
        help: Help::Both("Token of Microsoft Entra ID"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::TokenFile,
        name: "token-file",
        value: Value::Path("PATH"),
        help: Help::Both("File with a token, read for each request, - for stdin"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::Account,
        name: "account",
        value: Value::Text("NAME"),
        help: Help::Each {
            source: "Name of the resource in Azure; the Azure CLI is asked for its endpoint",
            target: "Name of the resource in Azure; the Azure CLI is asked for its endpoint, resource id and region",
        },
        conflicts: &[Setting::Endpoint],
    },
    Definition {
        setting: Setting::ResourceGroup,
        name: "resource-group",
        value: Value::Text("NAME"),
        help: Help::Both("Resource group of that account"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::Subscription,
        name: "subscription",
        value: Value::Text("ID"),
        help: Help::Both("Subscription of that account [default: the Azure CLI's]"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::KeyFromAz,
        name: "key-from-az",
        value: Value::Switch,
        help: Help::Both("Ask the Azure CLI for the key as well"),
        conflicts: &[Setting::Key, Setting::KeyFile],
    },
];

/// Where the target is in Azure. Only the target has these settings, and only some commands take them.
const ADDRESS_DEFINITIONS: [Definition; 2] = [
    Definition {
        setting: Setting::ResourceId,
        name: "resource-id",
        value: Value::Text("ID"),
        help: Help::Both("Azure resource id of the target; needed for v2.1"),
        conflicts: &[],
    },
    Definition {
        setting: Setting::Region,
        name: "region",
        value: Value::Text("REGION"),
        help: Help::Both("Region of the target, such as westus2; needed for v2.1"),
        conflicts: &[],
    },
];

impl Setting {
    fn definition(self) -> Option<&'static Definition> {
        DEFINITIONS.iter().chain(&ADDRESS_DEFINITIONS).find(|definition| definition.setting == self)
    }

    pub(super) fn name(self) -> &'static str {
        self.definition().map_or("", |definition| definition.name)
    }

    /// The flag, such as `--source-key`.
    pub(super) fn flag(self, side: Side) -> String {
        format!("--{side}-{}", self.name())
    }

    /// The environment variable, such as `FRCOPY_SOURCE_KEY`.
    pub(super) fn variable(self, side: Side) -> String {
        format!("FRCOPY_{side}_{}", self.name()).to_uppercase().replace('-', "_")
    }

    /// The id of the argument in clap, such as `source_key`.
    fn id(self, side: Side) -> String {
        format!("{side}_{}", self.name()).replace('-', "_")
    }
}

impl Definition {
    /// Whether there is a variable `FRCOPY_SOURCE_…` and `FRCOPY_TARGET_…`: a switch has none.
    fn has_variable(&self) -> bool {
        self.value != Value::Switch
    }

    fn help(&self, side: Side) -> &'static str {
        match (self.help, side) {
            (Help::Both(text), _) => text,
            (Help::Each { source, .. }, Side::Source) => source,
            (Help::Each { target, .. }, Side::Target | Side::Alone) => target,
        }
    }

    /// What the help of the flag adds to the help of the variable.
    fn flag_note(&self, side: Side) -> String {
        match self.setting {
            Setting::Key => "; visible in the process list".into(),
            Setting::TokenFile => format!("; or set {}", Setting::Token.variable(side)),
            _ => String::new(),
        }
    }

    /// The argument of one side, unless there is only a variable.
    fn arg(&self, side: Side) -> Option<Arg> {
        let arg = Arg::new(self.setting.id(side)).long(format!("{side}-{}", self.name));
        let arg = match self.value {
            Value::Text(value) => arg.value_name(value).value_parser(value_parser!(String)),
            Value::Secret(value) => {
                arg.value_name(value).allow_hyphen_values(true).value_parser(value_parser!(SecretArg))
            }
            Value::Path(value) => arg.value_name(value).value_parser(value_parser!(PathBuf)),
            Value::Auth(value) => arg.value_name(value).value_parser(value_parser!(AuthArg)),
            Value::Switch => arg.action(ArgAction::SetTrue),
            Value::NoFlag => return None,
        };
        let variable = self.has_variable().then(|| format!("\n[env: {}]", self.setting.variable(side)));
        let heading = if side == Side::Source { "Source resource" } else { "Target resource" };
        Some(
            arg.help(format!("{}{}{}", self.help(side), self.flag_note(side), variable.unwrap_or_default()))
                .help_heading(heading)
                .conflicts_with_all(self.conflicts.iter().map(|setting| setting.id(side))),
        )
    }
}

/// The ids of the flags that every command with this side has, for an argument that conflicts with them.
pub(super) fn flag_ids(side: Side) -> impl Iterator<Item = String> {
    let flags = DEFINITIONS.iter().filter(|definition| definition.value != Value::NoFlag);
    flags.map(move |definition| definition.setting.id(side))
}

/// The ids of the flags of the target's address in Azure.
pub(super) fn address_flag_ids() -> impl Iterator<Item = String> {
    ADDRESS_DEFINITIONS.iter().map(|definition| definition.setting.id(Side::Target))
}

/// Every environment variable of a resource, with what it means.
pub(in crate::cli) fn variables(side: Side) -> impl Iterator<Item = (String, &'static str)> {
    let address = ADDRESS_DEFINITIONS.iter().filter(move |_| side == Side::Target);
    let with_variable = DEFINITIONS.iter().chain(address).filter(|definition| definition.has_variable());
    with_variable.map(move |definition| (definition.setting.variable(side), definition.help(side)))
}

/// A side that is known at compile time.
pub(in crate::cli) trait WhichSide: fmt::Debug {
    const SIDE: Side;
}

#[derive(Debug)]
pub(in crate::cli) struct IsSource;

#[derive(Debug)]
pub(in crate::cli) struct IsTarget;

impl WhichSide for IsSource {
    const SIDE: Side = Side::Source;
}

impl WhichSide for IsTarget {
    const SIDE: Side = Side::Target;
}

/// The flags of one resource.
#[derive(Debug)]
pub(in crate::cli) struct SideArgs<S> {
    pub(super) flags: Flags,
    side: PhantomData<S>,
}

pub(in crate::cli) type SourceArgs = SideArgs<IsSource>;
pub(in crate::cli) type TargetArgs = SideArgs<IsTarget>;

/// The values of the flags of one resource.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) endpoint: Option<String>,
    pub(super) key: Option<SecretString>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) auth: Option<AuthArg>,
    pub(super) tenant: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) account: Option<String>,
    pub(super) resource_group: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) key_from_az: bool,
}

/// Where the target is in Azure, as far as flags say.
#[derive(Debug)]
pub(in crate::cli) struct TargetAddressArgs {
    pub(super) resource_id: Option<String>,
    pub(super) region: Option<String>,
}

impl<S: WhichSide> SideArgs<S> {
    /// Whether one of the flags is on the command line.
    pub(in crate::cli) fn are_given(&self) -> bool {
        !self.flags.in_command(S::SIDE).is_empty()
    }
}

impl Flags {
    /// The flags as a printed command repeats them, with a space before each one. A placeholder stands for a key.
    pub(super) fn in_command(&self, side: Side) -> String {
        let Self { endpoint, key, key_file, auth, tenant, token_file, account, .. } = self;
        let Self { resource_group, subscription, key_from_az, .. } = self;
        let path = |path: &Option<PathBuf>| path.as_deref().map(absolute);
        let values = [
            (Setting::Endpoint, endpoint.clone()),
            (Setting::Key, key.as_ref().map(|_| "KEY".to_owned())),
            (Setting::KeyFile, path(key_file)),
            (Setting::Auth, auth.and_then(|auth| Some(auth.to_possible_value()?.get_name().to_owned()))),
            (Setting::Tenant, tenant.clone()),
            (Setting::TokenFile, path(token_file)),
            (Setting::Account, account.clone()),
            (Setting::ResourceGroup, resource_group.clone()),
            (Setting::Subscription, subscription.clone()),
        ];
        let given = values.into_iter().filter_map(|(setting, value)| Some((setting, value?)));
        let given = given.map(|(setting, value)| format!(" {} {}", setting.flag(side), in_shell(&value)));
        let switch = key_from_az.then(|| format!(" {}", Setting::KeyFromAz.flag(side)));
        given.chain(switch).collect()
    }
}

/// A path for a command that is run in another folder.
fn absolute(path: &Path) -> String {
    let path =
        if is_stdin(path) { path.to_owned() } else { std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) };
    path.to_string_lossy().into_owned()
}

impl<S: WhichSide> Args for SideArgs<S> {
    fn augment_args(command: Command) -> Command {
        command.args(DEFINITIONS.iter().filter_map(|definition| definition.arg(S::SIDE)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: WhichSide> FromArgMatches for SideArgs<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: Setting| setting.id(S::SIDE);
        let text = |setting| matches.get_one::<String>(&given(setting)).cloned();
        let path = |setting| matches.get_one::<PathBuf>(&given(setting)).cloned();
        let flags = Flags {
            endpoint: text(Setting::Endpoint),
            key: matches.get_one::<SecretArg>(&given(Setting::Key)).map(|key| key.0.clone()),
            key_file: path(Setting::KeyFile),
            auth: matches.get_one(&given(Setting::Auth)).copied(),
            tenant: text(Setting::Tenant),
            token_file: path(Setting::TokenFile),
            account: text(Setting::Account),
            resource_group: text(Setting::ResourceGroup),
            subscription: text(Setting::Subscription),
            key_from_az: matches.get_flag(&given(Setting::KeyFromAz)),
        };
        Ok(Self { flags, side: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TargetAddressArgs {
    fn augment_args(command: Command) -> Command {
        let args = ADDRESS_DEFINITIONS.iter().filter_map(|definition| definition.arg(Side::Target));
        // Every command with these flags has `--to`.
        command.args(args.map(|arg| arg.conflicts_with("to")))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TargetAddressArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |setting: Setting| matches.get_one::<String>(&setting.id(Side::Target)).cloned();
        Ok(Self { resource_id: text(Setting::ResourceId), region: text(Setting::Region) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AuthArg {
    Key,
    Entra,
}

/// A secret from the command line. Parsing never fails, because clap's errors repeat the value.
#[derive(Debug, Clone)]
struct SecretArg(SecretString);

impl FromStr for SecretArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_repeats_every_flag_and_no_key() {
        let text = || Some("it's".to_owned());
        let flags = Flags {
            endpoint: text(),
            key: Some("secret".into()),
            key_file: Some("-".into()),
            auth: Some(AuthArg::Entra),
            tenant: text(),
            token_file: Some("token".into()),
            account: text(),
            resource_group: text(),
            subscription: text(),
            key_from_az: true,
        };
        let printed = flags.in_command(Side::Source);
        for definition in DEFINITIONS.iter().filter(|definition| definition.value != Value::NoFlag) {
            assert!(
                format!("{printed} ").contains(&format!(" {} ", definition.setting.flag(Side::Source))),
                "{printed}"
            );
        }
        assert!(printed.contains("--source-key KEY --source-key-file - --source-auth entra"), "{printed}");
        assert!(!printed.contains("--source-token-file token"), "the path is absolute: {printed}");
    }
}
