//! A file for the clients of an emulator: it appears when the resources listen, and disappears when they stop.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::text_file::new_private_file;

use crate::cli::input::without_keys;

/// The first words of the file, by which an old one is known.
const MARK: &str = "# frcopy emulator";

/// A file that is removed when the value is dropped, unless another one has taken its place.
pub(super) struct GeneratedFile {
    path: PathBuf,
    text: String,
}

impl GeneratedFile {
    /// Removes the file of an emulator that was killed, before the resources listen.
    ///
    /// # Errors
    /// When another file is there.
    pub(super) fn prepare(option: &str, path: &Path) -> Result<(), Error> {
        remove_old(path, |text| text.starts_with(MARK)).map_err(|error| unusable(option, path).with_source(error))
    }

    /// Writes a file that everyone may read. It appears as a whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(option: &str, path: &Path, text: &str) -> Result<Self, Error> {
        Self::marked(option, path, text, |path| File::create(path))
    }

    /// The same for a file that only its owner may read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_private(option: &str, path: &Path, text: &str) -> Result<Self, Error> {
        Self::marked(option, path, text, new_private_file)
    }

    /// Writes a private file that has this text and nothing else. One that has it already was left by an emulator.
    ///
    /// # Errors
    /// When another file is there, or it cannot be written.
    pub(super) fn write_exactly(option: &str, path: &Path, text: &str) -> Result<Self, Error> {
        let written = remove_old(path, |old| old == text)
            .and_then(|()| new_private_file(path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| unusable(option, path).with_source(error))?;
        Ok(Self { path: path.to_owned(), text: text.to_owned() })
    }

    fn marked(
        option: &str,
        path: &Path,
        text: &str,
        create: impl FnOnce(&Path) -> io::Result<File>,
    ) -> Result<Self, Error> {
        let process = std::process::id();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{process}"));
        let temporary = PathBuf::from(temporary);
        let text = format!("{MARK}, process {process}\n{text}\n");
        let written = create(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&temporary, path));
        written.map_err(|error| {
            // What is left of it, if anything.
            let _ = fs::remove_file(&temporary);
            unusable(option, path).with_source(error)
        })?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for GeneratedFile {
    fn drop(&mut self) {
        // Its reader may have removed it, and another emulator may have replaced it.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a file that an emulator has written, if there is one.
fn remove_old(path: &Path, is_own: impl FnOnce(&str) -> bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(found) if found.is_file() && fs::read_to_string(path).is_ok_and(|text| is_own(&text)) => {
            fs::remove_file(path)
        }
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it exists, and no emulator has written it")),
    }
}

fn unusable(option: &str, path: &Path) -> Error {
    let what = format!("{option} {:?} cannot be written", without_keys(&path.to_string_lossy()));
    Error::settings(what, "give the path of a file that does not exist, in a folder that can be written")
}
