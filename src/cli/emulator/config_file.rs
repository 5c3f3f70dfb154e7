//! The configuration file of `--write-config`, and the files with the keys beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::emulator::EmulatedResource;
use crate::error::Error;

use super::generated_file::GeneratedFile;
use crate::cli::input::is_stdin;

/// The option that asks for the file.
const OPTION: &str = "--write-config";

/// The files. They are removed when the value is dropped.
pub(super) struct ConfigFile {
    /// Where the configuration is, from whatever folder.
    path: PathBuf,
    _files: Vec<GeneratedFile>,
}

impl ConfigFile {
    /// Checks that the resources can be named in a file, and that the file can be written.
    ///
    /// # Errors
    /// When the resources have no names of their own, or another file is there.
    pub(super) fn prepare(path: &Path, names: &[String]) -> Result<(), Error> {
        if names.is_empty() {
            let what = format!("{OPTION} needs names for the resources");
            return Err(Error::settings(what, "name them, such as --resources east,west"));
        }
        if is_stdin(path) || path.file_name().and_then(OsStr::to_str).is_none() {
            let remedy = "give the path of a file; its keys are written beside it";
            return Err(Error::settings(format!("{OPTION} does not name a file"), remedy));
        }
        GeneratedFile::prepare(OPTION, path)
    }

    /// Writes the keys first, and then the configuration, so that it is complete when it appears.
    ///
    /// # Errors
    /// When a file cannot be written, or a file with another key is there.
    pub(super) fn write(path: &Path, resources: &[EmulatedResource]) -> Result<Self, Error> {
        let (mut files, mut text) = (Vec::new(), String::from(NOTICE));
        for resource in resources {
            let key_file = key_file(path, &resource.name);
            files.push(GeneratedFile::write_exactly(OPTION, &key_file, &format!("{}\n", resource.key))?);
            let name = key_file.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
            text = text + "\n" + &table(resource, &name);
        }
        files.push(GeneratedFile::write_private(OPTION, path, text.trim_end())?);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { path, _files: files })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

const NOTICE: &str = "\
# The keys are in files beside it. When the emulator stops, it removes those files, unless they were changed.
";

/// The file with the key of a resource, beside the configuration.
fn key_file(config: &Path, name: &str) -> PathBuf {
    let mut file = config.file_name().unwrap_or_default().to_owned();
    file.push(format!(".{name}.key"));
    config.with_file_name(file)
}

/// The definition of a resource. A path in it is relative to the folder of the configuration.
fn table(resource: &EmulatedResource, key_file: &str) -> String {
    let EmulatedResource { name, endpoint, resource_id, region, .. } = resource;
    let fields =
        [("endpoint", endpoint.as_str()), ("key-file", key_file), ("resource-id", resource_id), ("region", region)];
    // The strings of JSON are strings of TOML.
    let lines = fields.map(|(field, value)| format!("{field} = {}\n", serde_json::Value::from(value)));
    format!("[resources.{name}]\n{}", lines.concat())
}
