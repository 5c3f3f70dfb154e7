//! Reads text from a file, a pipe or stdin, with limits on its size and on the time, and creates private files.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The path that means stdin.
const STDIN: &str = "-";
/// The longest time for a file or a pipe.
const FILE_TIME: Duration = Duration::from_secs(10);

/// Whether a path means stdin.
#[must_use]
pub(crate) fn is_stdin(path: &Path) -> bool {
    [STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name))
}

/// Whether a path can be read once only: stdin, or the pipe of a process substitution.
#[must_use]
pub(crate) fn is_read_once(path: &Path) -> bool {
    is_stdin(path) || is_descriptor(path)
}

fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

/// Refuses a named pipe as an output file: to open one waits for its reader. A pipe of this process has one.
///
/// # Errors
/// When it is a named pipe.
pub(crate) fn refuse_named_pipe(path: &Path) -> io::Result<()> {
    let is_own = is_descriptor(path) || ["/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name));
    match fs::metadata(path) {
        Ok(metadata) if is_pipe(metadata.file_type()) && !is_own => {
            Err(io::Error::other("it is a named pipe, not a regular file"))
        }
        // What cannot be examined is reported when it is opened.
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

/// Reads a whole file of UTF-8 text, or stdin until `time` has passed.
///
/// # Errors
/// When it cannot be read to its end in time, is too long, is not UTF-8, or is a named pipe, a device or a folder.
pub(crate) fn read_text(path: &Path, max_len: u64, time: Duration) -> io::Result<String> {
    if is_stdin(path) {
        return within(time, move || read_limited(io::stdin(), max_len));
    }
    let path = path.to_owned();
    within(time.min(FILE_TIME), move || {
        refuse_irregular(fs::metadata(&path)?.file_type(), is_descriptor(&path))?;
        read_limited(File::open(path)?, max_len)
    })
}

/// Refuses what may have no end: only a process substitution may be a pipe.
///
/// # Errors
/// When it is not a regular file.
pub(crate) fn refuse_irregular(kind: FileType, is_descriptor: bool) -> io::Result<()> {
    let is_pipe = is_pipe(kind);
    let what = match () {
        () if kind.is_file() || (is_pipe && is_descriptor) => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if is_pipe => "a named pipe",
        () => "a device or a socket",
    };
    Err(io::Error::other(format!("it is {what}, not a regular file")))
}

/// Creates a file that only its owner may read. A symbolic link in its place is not followed.
///
/// # Errors
/// When there is a file already, or none can be created.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Reads text to its end, but at most `max_len` bytes, without a byte order mark: some shells write one first.
///
/// # Errors
/// When it is longer, or not UTF-8.
pub(crate) fn read_limited(from: impl Read, max_len: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(max_len + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_len {
        return Err(io::Error::other("it is too long"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is text in UTF-16: save the file as UTF-8"));
    }
    // The bytes are not part of the error: they may be a key.
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads in a thread, because a blocked read cannot be cancelled. After a time-out the thread ends with the process.
fn within(time: Duration, read: impl FnOnce() -> io::Result<String> + Send + 'static) -> io::Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // After a time-out there is no receiver.
    thread::Builder::new().spawn(move || drop(sender.send(read())))?;
    receiver.recv_timeout(time).unwrap_or_else(|_| {
        let what = format!("its end was not reached in {} s", time.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_long_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_text(&file, 5, FILE_TIME).unwrap(), "12345");
        assert!(read_text(&file, 4, FILE_TIME).unwrap_err().to_string().contains("too long"));
        assert!(read_text(folder.path(), 5, FILE_TIME).unwrap_err().to_string().contains("a folder"));
    }
}
