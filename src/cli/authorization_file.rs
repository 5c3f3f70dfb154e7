//! The file in which an authorization goes from one party to the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::authorization_file::AuthorizationFile;
use crate::error::{Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};

use super::settings::{STDIN, read_text};
use super::{ci, report, settings};

/// A file that is longer holds something else than an authorization.
const LONGEST: u64 = 64 * 1024;

/// Where an authorization will be kept: stdout, or a file that nobody else may read. A file in which nothing is kept goes
/// away again.
pub(crate) struct NewFile {
    file: Option<File>,
    path: PathBuf,
    is_kept: bool,
}

impl NewFile {
    /// Makes the file before anything is reserved for it.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        if path == Path::new(STDIN) {
            return Ok(Self { file: None, path: path.to_owned(), is_kept: true });
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| {
            let what = format!("the authorization cannot be written to {}", path.display());
            Error::settings(what, "give the path of a file that is not there yet, in a folder that is")
                .with_source(error)
        })?;
        Ok(Self { file: Some(file), path: path.to_owned(), is_kept: false })
    }

    /// Keeps an authorization.
    pub(crate) fn write(mut self, json: &SecretString) -> Result<(), Error> {
        let line = |to: &mut dyn Write| {
            to.write_all(json.expose_secret().as_bytes())?;
            to.write_all(b"\n")?;
            to.flush()
        };
        let written = match &self.file {
            None => line(&mut io::stdout().lock()),
            Some(file) => line(&mut &*file).and_then(|()| file.sync_all()),
        };
        self.is_kept |= written.is_ok();
        written.map_err(|error| {
            Error::new(ErrorKind::Unforeseen, "the authorization cannot be kept")
                .with_source(error)
                .with_remedy("make room where it is to be kept, and run the command again")
        })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // There is nothing of use in it: left behind it does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What was handed over.
pub(crate) fn read(path: &Path) -> Result<AuthorizationFile, Error> {
    warn_of_readers(path);
    let json = read_text(path, LONGEST).map_err(|error| {
        let what = format!("the authorization cannot be read from {}", path.display());
        Error::settings(what, "check that the file is there and may be read").with_source(error)
    })?;
    let handover = AuthorizationFile::from_json(&json).map_err(|error| settings::about("the authorization", &error))?;
    ci::mask(&handover.authorization.access_token);
    Ok(handover)
}

/// Whoever can read it can use it.
#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.permissions().mode());
    if mode.is_some_and(|mode| mode & 0o077 != 0) {
        report::warning(&format!("others than you may read {}, and use it: chmod 600", path.display()));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
