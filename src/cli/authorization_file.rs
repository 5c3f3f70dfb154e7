//! Writes and reads the file that passes an authorization from the target's owner to the source's owner.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::authorization_file::AuthorizationFile;
use crate::error::{Error, ErrorKind};
use crate::text_file::new_private_file;
use secrecy::{ExposeSecret, SecretString};

use super::input::{STDIN, about, read_text};
use super::{ci, console};

/// The largest file that is read.
const MAX_SIZE: u64 = 64 * 1024;

/// The destination of an authorization: stdout, or a new file that only its owner may read. The file is deleted if
/// nothing is written to it.
pub(super) struct NewFile {
    file: Option<File>,
    path: PathBuf,
    is_written: bool,
}

impl NewFile {
    /// Creates the file, before an id is reserved.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        if path == Path::new(STDIN) {
            return Ok(Self { file: None, path: path.to_owned(), is_written: true });
        }
        let file = new_private_file(path).map_err(|error| {
            let what = format!("the authorization cannot be written to {}", path.display());
            Error::settings(what, "give the path of a new file in an existing folder").with_source(error)
        })?;
        Ok(Self { file: Some(file), path: path.to_owned(), is_written: false })
    }

    /// Writes the authorization.
    pub(super) fn write(mut self, json: &SecretString) -> Result<(), Error> {
        let line = |to: &mut dyn Write| {
            to.write_all(json.expose_secret().as_bytes())?;
            to.write_all(b"\n")?;
            to.flush()
        };
        let written = match &self.file {
            None => line(&mut io::stdout().lock()),
            Some(file) => line(&mut &*file).and_then(|()| file.sync_all()),
        };
        self.is_written |= written.is_ok();
        written.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::BrokenPipe => {
                    "check the command that reads stdout, which has ended, or give --out a file"
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space at the destination, then run the command again"
                }
                _ => "check the destination, then run the command again",
            };
            Error::new(ErrorKind::Unforeseen, "the authorization cannot be written")
                .with_source(error)
                .with_remedy(remedy)
        })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_written {
            // A file that cannot be deleted is empty or incomplete, and of no use.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads an authorization, and masks its access token in the CI log.
pub(super) fn read(path: &Path) -> Result<AuthorizationFile, Error> {
    warn_of_readers(path);
    let json = read_text(path, MAX_SIZE).map_err(|error| {
        let what = format!("the authorization cannot be read from {}", path.display());
        Error::settings(what, "check that the file exists and is readable").with_source(error)
    })?;
    let file = AuthorizationFile::from_json(&json).map_err(|error| about("the authorization", &error))?;
    ci::mask(&file.authorization.access_token);
    Ok(file)
}

/// Warns if other users can read the file: reading it is enough to use it.
#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.permissions().mode());
    if mode.is_some_and(|mode| mode & 0o077 != 0) {
        console::warning(&format!("other users can read {} and use it: chmod 600", path.display()));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
