//! The files of a manifest on disk: read whole, replaced atomically where that is possible, and changed only under a lock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::text_file::{new_private_file, read_limited, refuse_irregular};

/// The largest file that is read.
const MAX_SIZE: u64 = 64 * 1024 * 1024;
/// How long another process may change the files. A change takes milliseconds.
const LOCK_TIME: Duration = Duration::from_secs(10);
/// Delay between two attempts to lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Reads a file of UTF-8 text. None where there is none. A symbolic link is not followed.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match check_regular(path) {
        Ok(()) => read_limited(File::open(path)?, MAX_SIZE).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses what is not a regular file: a symbolic link, a folder, a pipe or a device.
pub(super) fn check_regular(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return Err(io::Error::other("it is a symbolic link, not a regular file"));
    }
    refuse_irregular(kind, false)
}

/// Writes a file: replaces it atomically, or writes it in place where it cannot be replaced, such as a file that is mounted.
/// The caller holds the lock.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = write_temporary(path, text)?;
    let Err(error) = fs::rename(&temporary, path) else { return sync_folder(path) };
    let written = check_regular(path).and_then(|()| overwrite(path, text));
    let _ = fs::remove_file(&temporary);
    written.map_err(|_| error)
}

/// Replaces a file atomically: a reader sees the old text or the new one. The caller holds the lock.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = write_temporary(path, text)?;
    fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_folder(path)
}

/// Writes the text to a temporary file, which keeps the permissions of the old one.
fn write_temporary(path: &Path, text: &str) -> io::Result<PathBuf> {
    let temporary = temporary(path)?;
    let written = create(&temporary).and_then(|mut file| {
        if let Ok(metadata) = fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    Ok(temporary)
}

/// Writes a file in place. What was in it comes back if that fails.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let old = fs::read(path)?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    let written = set_content(&mut file, text.as_bytes());
    written.inspect_err(|_| drop(set_content(&mut file, &old)))
}

fn set_content(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Checks that [`write()`] can work, without changing the text that the file has. The caller holds the lock.
pub(super) fn check_writable(path: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(path)?;
    create(&temporary)?;
    fs::remove_file(&temporary)?;
    match OpenOptions::new().write(true).open(path) {
        Ok(_) => Ok(()),
        // A file without permission to write can often be replaced all the same, which only an attempt shows.
        Err(_) => replace(path, text),
    }
}

/// Creates the temporary file. One that is there was left by a process that was killed: all writers hold the lock.
fn create(temporary: &Path) -> io::Result<File> {
    match new_private_file(temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(temporary)?;
            new_private_file(temporary)
        }
        created => created,
    }
}

fn temporary(path: &Path) -> io::Result<PathBuf> {
    beside(path, "tmp")
}

/// Makes the creation, the renaming and the removal of a file durable.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The path of a hidden file beside another one.
pub(super) fn beside(path: &Path, extension: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path does not name a file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(extension);
    Ok(path.with_file_name(hidden))
}

/// Waits for the lock of a manifest, which ends with the returned file. The lock file stays: its removal would leave two
/// processes with a lock each.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let path = beside(path, "lock")?;
    let file = open_or_create(&path)?;
    let until = Instant::now() + LOCK_TIME;
    while !try_lock(&file)? {
        if Instant::now() >= until {
            let what = format!("another process locks {}", path.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        thread::sleep(LOCK_INTERVAL);
    }
    Ok(file)
}

/// Locks a file unless another process has locked it. Some network file systems have no locks: there, two commands must
/// not share a manifest.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a private file for writing, or creates it. A symbolic link in its place is not followed.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    match new_private_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_regular(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            OpenOptions::new().write(true).open(path)
        }
        created => created,
    }
}
