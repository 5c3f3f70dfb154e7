//! How messages and printed commands name a resource.

use std::fmt;
use std::path::Path;

use crate::resource_name::ResourceName;
use crate::text::needs_escape;

/// How messages and printed commands name a resource and its settings: by its name, or by its side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// `the source`, or the name.
    resource: String,
    name: Option<ResourceName>,
    /// The option that a printed command needs to find the definition of the name.
    config_option: Option<String>,
    /// The options by which the command line described a resource without a name, with a space before each one.
    flags: String,
    url: String,
    settings: SettingNames,
}

/// How messages name the settings of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingNames {
    /// Such as `the source endpoint`.
    pub endpoint: String,
    /// Where the endpoint is set, such as `FRCOPY_SOURCE_ENDPOINT` or `/etc/frcopy/config.toml:1`.
    pub endpoint_place: Option<String>,
    /// Such as `the source key from FRCOPY_SOURCE_KEY`.
    pub key: String,
    /// How Entra ID is chosen, such as `--source-auth entra`.
    pub entra: String,
    /// Such as `--source-tenant`.
    pub tenant: String,
    /// Such as `--target-resource-id`.
    pub resource_id: String,
    /// Such as `--target-region`.
    pub region: String,
}

impl SettingNames {
    /// The flags of a side.
    #[must_use]
    pub fn of_side(side: &str) -> Self {
        Self {
            endpoint: format!("the {side} endpoint"),
            endpoint_place: None,
            key: format!("the {side} key"),
            entra: format!("--{side}-auth entra"),
            tenant: format!("--{side}-tenant"),
            resource_id: format!("--{side}-resource-id"),
            region: format!("--{side}-region"),
        }
    }
}

impl Label {
    /// The label of a resource without a name. Its side is `source`, `target` or `resource`.
    #[must_use]
    pub fn of_side(side: &str, url: String) -> Self {
        let settings = SettingNames::of_side(side);
        Self { resource: format!("the {side}"), name: None, config_option: None, flags: String::new(), url, settings }
    }

    /// The label of a resource with a name. `config` is the file that defines it, if an option named that file.
    #[must_use]
    pub fn of_name(name: &ResourceName, url: String, config: Option<&Path>) -> Self {
        let config_option = config.map(|path| format!("--config {}", in_shell(&path.to_string_lossy())));
        let settings = SettingNames::of_side("resource");
        let (resource, name) = (name.to_string(), Some(name.clone()));
        Self { resource, name, config_option, flags: String::new(), url, settings }
    }

    /// The same label with other names of the settings.
    #[must_use]
    pub fn with(self, settings: SettingNames) -> Self {
        Self { settings, ..self }
    }

    /// The same label, whose resource a printed command describes with these options.
    #[must_use]
    pub(crate) fn with_flags(self, flags: String) -> Self {
        Self { flags, ..self }
    }

    /// How messages name the settings.
    #[must_use]
    pub fn settings(&self) -> &SettingNames {
        &self.settings
    }

    /// The argument of a printed `frcopy list` for this resource.
    #[must_use]
    pub(crate) fn in_list_command(&self) -> String {
        let name = self.name.as_ref().map_or_else(|| self.resource.trim_start_matches("the "), ResourceName::as_str);
        let config = self.config_option.as_ref().map(|option| format!(" {option}")).unwrap_or_default();
        format!("{name}{config}{}", self.flags)
    }

    /// The endpoint as a setting, with the place where it is set.
    #[must_use]
    pub fn endpoint_setting(&self) -> String {
        let place = self.settings.endpoint_place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{}{place}", self.settings.endpoint)
    }

    /// The endpoint as a setting, with its value and the place where it is set.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let place = self.settings.endpoint_place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{} {}{place}", self.settings.endpoint, self.url)
    }
}

/// `the source`, or the name.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)
    }
}

/// The options of a printed command that choose resources, with a space before each one: those with a name by their
/// names, the others by the flags that the command line had. The environment says the rest again.
#[must_use]
pub(crate) fn resource_options<'l>(resources: impl IntoIterator<Item = (&'static str, &'l Label)>) -> String {
    let (mut options, mut config_option) = (String::new(), None);
    for (option, label) in resources {
        if let Some(name) = &label.name {
            options.extend([" ", option, " ", name.as_str()]);
            config_option = config_option.or(label.config_option.as_ref());
        }
        options += &label.flags;
    }
    options + &config_option.map(|option| format!(" {option}")).unwrap_or_default()
}

/// A text as one word of a shell command, which stays the same where it is printed: neither `##`, which a CI system may
/// obey, nor a character that controls a terminal is in it.
#[must_use]
pub(crate) fn in_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:".contains(c);
    match () {
        () if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        () if cfg!(windows) => format!("\"{}\"", text.replace("##", "#\"#\"")),
        () => format!("'{}'", text.chars().map(in_quotes).collect::<String>().replace("##", "#'#'")),
    }
}

/// A character between the single quotes of a shell.
fn in_quotes(c: char) -> String {
    match c {
        '\'' => r"'\''".into(),
        c if needs_escape(c) => {
            let bytes: Vec<_> = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\{byte:03o}")).collect();
            format!("'$'{}''", bytes.concat())
        }
        c => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_names_the_resources_and_once_the_file_that_defines_them() {
        let named = |name: &str, config| Label::of_name(&name.parse().unwrap(), "https://a.example".into(), config);
        let file = Path::new("/etc/my resources.toml");
        let (east, west, side) =
            (named("east", Some(file)), named("west", Some(file)), Label::of_side("source", String::new()));
        assert_eq!(resource_options([("--from", &side)]), "");
        let with_flags = side.clone().with_flags(" --source-auth entra".into());
        assert_eq!(resource_options([("--from", &with_flags), ("--to", &side)]), " --source-auth entra");
        assert_eq!(with_flags.in_list_command(), "source --source-auth entra");
        assert_eq!(resource_options([("--from", &named("east", None)), ("--to", &side)]), " --from east");
        assert!(resource_options([("--from", &east), ("--to", &west)]).starts_with(" --from east --to west --config "));
        assert_eq!(resource_options([("--from", &east), ("--to", &west)]).matches("--config").count(), 1);
    }

    #[cfg(not(windows))]
    #[test]
    fn a_path_is_one_word_of_a_shell_command() {
        assert_eq!(in_shell("/etc/frcopy/config.toml"), "/etc/frcopy/config.toml");
        assert_eq!(in_shell("/my files/it's"), r"'/my files/it'\''s'");
        assert_eq!(in_shell("~/$x"), "'~/$x'");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_would_be_changed_where_it_is_printed_is_escaped() {
        for path in ["/a##b###c", "/a\n::error::b", "/it's ##\u{200b}\u{1b}[1m'"] {
            let word = in_shell(path);
            assert_eq!(crate::text::clean_line(&word), word);
            let bash = std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().unwrap();
            assert_eq!(String::from_utf8(bash.stdout).unwrap(), path, "{word}");
        }
    }
}
