//! The configuration file: where it is, and what it says.
//!
//! It is read without serde, because every error names the line and the column, and repeats no value: a key may have
//! been written where it does not belong.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::resource::{Endpoint, Region, ResourceId};
use crate::resource_name::ResourceName;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::definition::{Auth, Definition, KeySource, Token};
use crate::cli::input::{Environment, read_text, without_keys};
use crate::cli::nearest::nearest;

/// The largest configuration file that is read.
const MAX_LEN: u64 = 1024 * 1024;
/// The only table of the file.
const RESOURCES: &str = "resources";
/// The fields of a resource.
const FIELDS: [&str; 13] = [
    "endpoint",
    "auth",
    "key-env",
    "key-file",
    "key-command",
    "key-from-az",
    "token-file",
    "tenant",
    "account",
    "resource-group",
    "subscription",
    "resource-id",
    "region",
];

/// The file in the user's configuration directory.
pub(super) fn default_path(environment: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let in_home = |folder: &str| absolute("HOME").map(|home| home.join(folder));
    let folder = match () {
        () if cfg!(windows) => absolute("APPDATA"),
        () if cfg!(target_os = "macos") => {
            absolute("XDG_CONFIG_HOME").or_else(|| in_home("Library/Application Support"))
        }
        () => absolute("XDG_CONFIG_HOME").or_else(|| in_home(".config")),
    };
    folder.map(|folder| folder.join("frcopy").join("config.toml"))
}

/// Reads the definitions in a file.
///
/// # Errors
/// When it is not understood, or cannot be read. A missing file has no definitions, unless it must exist.
pub(super) fn read(path: &Path, must_exist: bool) -> Result<Vec<Definition>, Error> {
    let text = match read_text(path, MAX_LEN) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::settings(
                format!("the configuration cannot be read from {}", without_keys(&path.to_string_lossy())),
                "check that the file exists and is readable",
            )
            .with_source(error));
        }
    };
    File { path, text: &text }.definitions()
}

/// A file with its text, for the places in error messages.
struct File<'f> {
    path: &'f Path,
    text: &'f str,
}

/// A field with the place of its name.
struct Field<'f> {
    name: &'f str,
    at: Range<usize>,
    value: &'f Spanned<DeValue<'f>>,
}

impl File<'_> {
    fn definitions(&self) -> Result<Vec<Definition>, Error> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            self.error(at, "it is not valid TOML", "correct it; frcopy help configuration has an example")
                .with_source(without_keys(error.message()))
        })?;
        let mut definitions: Vec<Definition> = Vec::new();
        for (table, value) in in_order(document.get_ref()) {
            if table.get_ref() != RESOURCES {
                let what = format!("there is no table or field {:?}", shown(table.get_ref()));
                return Err(self.error(table.span(), &what, "define each resource as [resources.NAME]"));
            }
            let DeValue::Table(resources) = value.get_ref() else {
                return Err(self.error(value.span(), "resources is not a table", "write [resources.NAME]"));
            };
            for (name, fields) in in_order(resources) {
                let definition = self.definition(name, fields)?;
                let is_same = |one: &&Definition| one.name.in_variables() == definition.name.in_variables();
                if let Some(other) = definitions.iter().find(is_same) {
                    let what = format!("{} and {} are the same name", other.name, definition.name);
                    let remedy = "choose another name: case does not count, and - and _ are the same";
                    return Err(self.error(name.span(), &what, remedy));
                }
                definitions.push(definition);
            }
        }
        Ok(definitions)
    }

    fn definition(&self, name: &Spanned<impl AsRef<str>>, fields: &Spanned<DeValue<'_>>) -> Result<Definition, Error> {
        let parsed: ResourceName =
            name.get_ref().as_ref().parse().map_err(|error: Error| {
                self.error(name.span(), &error.to_string(), error.remedy().unwrap_or_default())
            })?;
        let DeValue::Table(fields) = fields.get_ref() else {
            let what = format!("resources.{parsed} is not a table");
            return Err(self.error(fields.span(), &what, "write [resources.NAME], and a field in each line after it"));
        };
        let line = self.position(name.span().start).0;
        let place = format!("{}:{line}", without_keys(&self.path.to_string_lossy()));
        let mut definition = Definition::new(parsed, place);
        for (name, value) in in_order(fields) {
            let field = Field { name: name.get_ref(), at: name.span(), value };
            self.set(&mut definition, &field)?;
        }
        Ok(definition)
    }

    fn set(&self, definition: &mut Definition, field: &Field<'_>) -> Result<(), Error> {
        match field.name {
            "endpoint" => definition.endpoint = Some(self.checked::<Endpoint>(field)?),
            "account" => definition.account = Some(self.string(field)?),
            "resource-group" => definition.resource_group = Some(self.string(field)?),
            "subscription" => definition.subscription = Some(self.string(field)?),
            "tenant" => definition.tenant = Some(self.string(field)?),
            "resource-id" => definition.resource_id = Some(self.checked::<ResourceId>(field)?),
            "region" => definition.region = Some(self.checked::<Region>(field)?),
            "auth" => definition.auth = Some(self.auth(field)?),
            "token-file" => definition.token = Some(Token::File(self.path(field)?)),
            "key-env" => return self.set_key(definition, field, KeySource::Variable(self.variable(field)?)),
            "key-file" => return self.set_key(definition, field, KeySource::File(self.path(field)?)),
            "key-command" => return self.set_key(definition, field, KeySource::Command(self.command(field)?)),
            "key-from-az" => match field.value.get_ref() {
                DeValue::Boolean(true) => return self.set_key(definition, field, KeySource::Az),
                DeValue::Boolean(false) => {}
                _ => return Err(self.value_error(field, "is neither true nor false", "write true or false")),
            },
            "key" | "token" => {
                return Err(self.error(
                    field.at.clone(),
                    &format!("a {} does not belong in the configuration file", field.name),
                    "remove it, and give the name of a variable (key-env), a file (key-file, token-file) or a program \
                     (key-command)",
                ));
            }
            name => {
                let what = format!("there is no field {:?}", shown(name));
                let remedy = match nearest(name, &FIELDS) {
                    Some(known) => format!("write {known}, or remove it"),
                    None => format!("remove it; the fields are {}", FIELDS.join(", ")),
                };
                return Err(self.error(field.at.clone(), &what, &remedy));
            }
        }
        self.check(definition, field)
    }

    fn set_key(&self, definition: &mut Definition, field: &Field<'_>, key: KeySource) -> Result<(), Error> {
        if definition.key.is_some() {
            let other = definition.authentication();
            return Err(self.contradiction(field, other));
        }
        definition.key = Some(key);
        self.check(definition, field)
    }

    /// Refuses two fields that contradict each other.
    fn check(&self, definition: &Definition, field: &Field<'_>) -> Result<(), Error> {
        let Definition { endpoint, account, auth, key, token, .. } = definition;
        let other = match field.name {
            "endpoint" | "account" if endpoint.is_some() && account.is_some() => {
                if field.name == "endpoint" {
                    "account"
                } else {
                    "endpoint"
                }
            }
            _ if key.is_some() && token.is_some() && field.name == "token-file" => definition.authentication(),
            _ if key.is_some() && token.is_some() => "token-file",
            _ if key.is_some() && *auth == Some(Auth::Entra) => "auth = \"entra\"",
            _ if token.is_some() && *auth == Some(Auth::Key) => "auth = \"key\"",
            _ => return Ok(()),
        };
        Err(self.contradiction(field, other))
    }

    fn contradiction(&self, field: &Field<'_>, other: &str) -> Error {
        let what = format!("{} and {other} contradict each other", field.name);
        self.error(field.at.clone(), &what, "remove one of the two")
    }

    fn string(&self, field: &Field<'_>) -> Result<String, Error> {
        match field.value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text.to_string()),
            DeValue::String(_) => Err(self.value_error(field, "is empty", "give it a value, or remove it")),
            _ => Err(self.value_error(field, "is not a text", "write its value in quotes")),
        }
    }

    /// A text that has the form that its use asks for.
    fn checked<T: FromStr<Err = Error>>(&self, field: &Field<'_>) -> Result<String, Error> {
        let text = self.string(field)?;
        match text.parse::<T>() {
            Ok(_) => Ok(text),
            Err(error) => {
                Err(self.value_error(field, &format!("is not usable: {error}"), error.remedy().unwrap_or_default()))
            }
        }
    }

    fn auth(&self, field: &Field<'_>) -> Result<Auth, Error> {
        match &*self.string(field)? {
            "key" => Ok(Auth::Key),
            "entra" => Ok(Auth::Entra),
            _ => Err(self.value_error(field, "is neither key nor entra", "write \"key\" or \"entra\"")),
        }
    }

    fn variable(&self, field: &Field<'_>) -> Result<String, Error> {
        let name = self.string(field)?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // A key that was written here by mistake has no underscore and is longer than any name.
        if name.chars().all(is_allowed) && without_keys(&name) == name {
            return Ok(name);
        }
        Err(self.value_error(
            field,
            "is not the name of an environment variable",
            "write the name, such as \"EAST_KEY\"",
        ))
    }

    /// A path, relative to the folder of the file.
    fn path(&self, field: &Field<'_>) -> Result<PathBuf, Error> {
        Ok(self.folder().join(self.string(field)?))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn command(&self, field: &Field<'_>) -> Result<Vec<String>, Error> {
        const REMEDY: &str = "write the program and its arguments, such as [\"pass\", \"show\", \"east\"]";
        let DeValue::Array(words) = field.value.get_ref() else {
            return Err(self.value_error(field, "is not a list of texts", REMEDY));
        };
        let text = |word: &Spanned<DeValue<'_>>| word.get_ref().as_str().map(str::to_owned);
        let words: Option<Vec<_>> = words.iter().map(text).collect();
        match words.as_deref() {
            Some([program, arguments @ ..]) if !program.trim().is_empty() => {
                // A name without a folder is looked up in PATH.
                let is_path = Path::new(program).components().count() > 1;
                let program = if is_path { self.folder().join(program) } else { PathBuf::from(program) };
                let program = program.to_string_lossy().into_owned();
                Ok(std::iter::once(program).chain(arguments.iter().cloned()).collect())
            }
            Some(_) => Err(self.value_error(field, "has no program", REMEDY)),
            None => Err(self.value_error(field, "is not a list of texts", REMEDY)),
        }
    }

    fn value_error(&self, field: &Field<'_>, what: &str, remedy: &str) -> Error {
        self.error(field.value.span(), &format!("{} {what}", field.name), remedy)
    }

    fn error(&self, at: Range<usize>, what: &str, remedy: &str) -> Error {
        let (line, column) = self.position(at.start);
        Error::settings(format!("{}:{line}:{column}: {what}", without_keys(&self.path.to_string_lossy())), remedy)
    }

    /// Line and column of a byte, from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// The entries of a table in the order of the file.
fn in_order<'t, 'f>(table: &'t DeTable<'f>) -> Vec<(&'t Spanned<DeString<'f>>, &'t Spanned<DeValue<'f>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// A word of the file, for a message.
fn shown(text: impl fmt::Display) -> String {
    without_keys(&text.to_string())
}
