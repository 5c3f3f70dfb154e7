//! The named resources: those of the configuration file and those of the environment.

mod definition;
mod environment;
mod file;

use std::path::{Path, PathBuf};

use crate::child;
use crate::error::Error;
use crate::resource_name::ResourceName;
use clap::Args;

use super::input::{self, Environment, without_keys};
use super::nearest::nearest;
pub(super) use definition::{Auth, Definition, KeySource, Token};
pub(super) use environment::variables;

const CONFIG_HELP: &str = "\
File with the named resources; read only if a name is used [default: config.toml in frcopy/ of the user's configuration \
directory]
[env: FRCOPY_CONFIG; and FRCOPY_RESOURCE_<NAME>_ENDPOINT and so on, without a file]";

/// Where the named resources are defined.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// File with the named resources, read only if a name is used.
    #[arg(long, value_name = "PATH", help_heading = "Named resources", help = CONFIG_HELP)]
    config: Option<PathBuf>,
}

/// The named resources.
#[derive(Debug)]
pub(super) struct Config {
    definitions: Vec<Definition>,
    /// The file that was read, or would have been read if it existed.
    file: Option<PathBuf>,
    /// The same as an absolute path, if `--config` gave it.
    file_of_option: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads the file and the environment.
    ///
    /// # Errors
    /// When the file that was named cannot be read, or something in one of the two is not understood.
    pub(super) fn load(&self, environment: Environment<'_>) -> Result<Config, Error> {
        let named = self.config.clone().or_else(|| environment("FRCOPY_CONFIG").map(PathBuf::from));
        let (file, must_exist) = match named {
            Some(file) => (Some(file), true),
            None => (file::default_path(environment), false),
        };
        let of_file = file.as_deref().map(|file| file::read(file, must_exist)).transpose()?.unwrap_or_default();
        let definitions = environment::add(of_file, &input::process_variables(), environment)?;
        let file_of_option =
            self.config.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        let config = Config { definitions, file, file_of_option };
        child::withhold(config.key_variables());
        Ok(config)
    }
}

impl Config {
    /// The resource with a name. Names that differ only in case, or in `-` and `_`, are the same.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(&self, option: &str, text: &str) -> Result<&Definition, Error> {
        if text.contains(',') {
            let option = Some(option).filter(|option| option.starts_with("--")).unwrap_or("the option");
            let repeated: Vec<_> = text.split(',').map(|name| format!("{option} {}", name.trim())).collect();
            return Err(Error::settings(
                format!("{option} {:?} is not one name", without_keys(text)),
                format!("repeat it: {}", without_keys(&repeated.join(" "))),
            ));
        }
        let name: ResourceName = input::parse(&format!("{option} {:?}", without_keys(text)), text)?;
        let found = self.definitions.iter().find(|one| one.name.in_variables() == name.in_variables());
        found.ok_or_else(|| self.unknown(text))
    }

    /// The file with its absolute path, if `--config` gave it. A printed command must repeat that option.
    pub(super) fn file_of_option(&self) -> Option<&Path> {
        self.file_of_option.as_deref()
    }

    /// All of them, in the order of their names.
    pub(super) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The variables whose values are keys.
    fn key_variables(&self) -> impl Iterator<Item = String> {
        self.definitions.iter().filter_map(|one| match &one.key {
            Some(KeySource::Variable(name)) => Some(name.clone()),
            _ => None,
        })
    }

    /// Where resources can be defined.
    pub(super) fn place(&self) -> String {
        let file = self.file.as_ref().map(|file| without_keys(&file.to_string_lossy()));
        file.unwrap_or_else(|| "the file of --config".into())
    }

    fn unknown(&self, text: &str) -> Error {
        let names: Vec<_> = self.definitions.iter().map(|one| one.name.as_str()).collect();
        let remedy = match (nearest(text, &names), names.as_slice()) {
            (Some(name), _) => format!("use {name}, or define it in {}", self.place()),
            (None, []) => format!("define it in {}, or see frcopy help configuration", self.place()),
            (None, names) => format!("use one of {}, or define it in {}", names.join(", "), self.place()),
        };
        Error::settings(format!("there is no resource with the name {}", without_keys(text)), remedy)
    }
}
