//! The file of `--ready-file`: it appears when the resources listen, and disappears when they stop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

use crate::cli::input::without_keys;

/// The first words of the file, by which an old one is known.
const MARK: &str = "# frcopy emulator";

/// A file with the settings. It is removed when the value is dropped.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Removes the file of an emulator that was killed, before the resources listen.
    ///
    /// # Errors
    /// When another file is there.
    pub(super) fn prepare(path: &Path) -> Result<(), Error> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(found) if found.is_file() && fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK)) => {
                fs::remove_file(path).map_err(|error| unusable(path).with_source(error))
            }
            Err(error) => Err(unusable(path).with_source(error)),
            Ok(_) => Err(unusable(path).with_source("it exists, and no emulator has written it")),
        }
    }

    /// Writes the file. It appears as a whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(path: &Path, settings: &str) -> Result<Self, Error> {
        let process = std::process::id();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{process}"));
        let text = format!("{MARK}, process {process}\n{settings}\n");
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
        written.map_err(|error| {
            // What is left of it, if anything.
            let _ = fs::remove_file(&temporary);
            unusable(path).with_source(error)
        })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Its reader may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

fn unusable(path: &Path) -> Error {
    let what = format!("--ready-file {:?} cannot be written", without_keys(&path.to_string_lossy()));
    Error::settings(what, "give the path of a file that does not exist, in a folder that can be written")
}
