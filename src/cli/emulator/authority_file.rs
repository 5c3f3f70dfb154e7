//! The file with the certificate that clients of `--tls` must trust.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A file in the folder for temporary files. It is removed when the value is dropped.
pub(super) struct AuthorityFile(PathBuf);

impl AuthorityFile {
    /// Writes a certificate to a new file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(certificate: &str) -> io::Result<Self> {
        let unique = format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond());
        let path = std::env::temp_dir().join(format!("frcopy-emulator-{unique}.pem"));
        File::create_new(&path)?.write_all(certificate.as_bytes())?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AuthorityFile {
    fn drop(&mut self) {
        // Another process may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}
