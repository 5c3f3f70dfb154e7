//! The journal of a manifest: a private file with a line before each request that reserves an id or uses an
//! authorization. The next run continues what its open lines say.
//!
//! Each change is made under the lock of the manifest, and synced before it returns. An entry belongs to a run. A run holds
//! a lock on a file of its own while it lives, so that another one can tell whether it still does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::content::{Key, ModelKey};
use super::files;
use super::lines::{self, AnnouncedStart, OpenEntry};
use crate::authorization_file;
use crate::copy::{Announced, AuthorizeEntry, CopyOf, EntryId, Journal, OpenOperations, StartEntry, Unfinished};
use crate::error::{Error, ErrorKind};
use crate::model::ModelId;
use crate::operation::OperationUrl;
use crate::resource::Endpoint;
use crate::text_file::new_private_file;

/// The largest file that is read.
const MAX_SIZE: u64 = 256 * 1024 * 1024;
/// A file that is larger is written anew with its open entries only.
const COMPACT_SIZE: u64 = 1024 * 1024;
/// The extension of the files that runs lock.
const RUN: &str = "run";

/// A journal on disk.
pub(crate) struct FileJournal {
    /// Of the manifest.
    manifest: PathBuf,
    path: PathBuf,
    run: Uuid,
    /// The file that this run locks, once it owns an entry.
    lease: RefCell<Option<File>>,
    state: RefCell<State>,
}

/// What was read of the file.
#[derive(Default)]
struct State {
    generation: Option<Uuid>,
    /// The end of the last complete line that was read.
    end: u64,
    open: BTreeMap<EntryId, OpenEntry>,
}

/// The other runs that own some entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    None,
    /// At least one still lives.
    Alive,
    /// They have ended.
    Ended,
}

impl std::fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileJournal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileJournal {
    /// The journal of a manifest, before it is read.
    pub(super) fn beside(manifest: &Path) -> Self {
        let mut name = manifest.as_os_str().to_owned();
        name.push(".journal");
        Self {
            manifest: manifest.to_owned(),
            path: name.into(),
            run: Uuid::new_v4(),
            lease: RefCell::default(),
            state: RefCell::default(),
        }
    }

    /// The journal of a manifest, for a command that copies. The file is created with its first line.
    ///
    /// # Errors
    /// When there is a file that is not a journal.
    pub(super) fn open(manifest: &Path) -> Result<Self, Error> {
        let journal = Self::beside(manifest);
        let read = |state: &mut State| {
            journal.read(state)?;
            // A process was killed after its last line and before the removal of its files.
            if state.generation.is_some() { journal.compact(state) } else { journal.remove_leases() }
        };
        match journal.locked(read) {
            Ok(()) => Ok(journal),
            Err(error) => Err(journal.unusable(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open entries of all runs. It changes nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a journal.
    pub(super) fn open_entries(&self) -> Result<Vec<OpenEntry>, Error> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        let read = self.locked(|state| {
            self.read(state)?;
            Ok(state.open.values().cloned().collect())
        });
        read.map_err(|error| self.unusable(error))
    }

    fn exists(&self) -> bool {
        !fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn unusable(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::settings(
            format!("the journal {} cannot be used", self.path.display()),
            "delete it only if no copy of an earlier command may be running; it is private to the machine",
        )
        .with_source(error)
    }

    /// Ends the open entries of this run for copies that are recorded in the manifest.
    pub(super) fn end_recorded(&self, copies: &BTreeSet<Key>) -> Result<(), Error> {
        let mut ids: BTreeMap<&ModelKey, Vec<&ModelId>> = BTreeMap::new();
        for Key { model, target_id } in copies {
            ids.entry(model).or_default().push(target_id);
        }
        let is_recorded = |entry: &OpenEntry| {
            let is_own_copy = entry.run == self.run && entry.unreleased.is_none();
            let ids = ids.get(&entry.model()).filter(|_| is_own_copy);
            ids.is_some_and(|ids| ids.iter().any(|id| entry.is_to(id)))
        };
        if !self.state.borrow().open.values().any(is_recorded) {
            return Ok(());
        }
        let ended = |state: &State| {
            let recorded = state.open.iter().filter(|(_, entry)| is_recorded(entry));
            recorded.map(|(id, _)| lines::ended(*id)).collect::<String>()
        };
        self.append(ended).map_err(|error| self.unwritable(error))
    }

    fn unwritable(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Unforeseen, format!("the journal {} cannot be written", self.path.display()))
            .with_source(error)
            .with_remedy("free some space, or check the permissions of the folder, then run the same command again")
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let _lock = files::lock(&self.manifest)?;
        work(&mut self.state.borrow_mut())
    }

    /// Adds lines to the file, and waits until they are on disk.
    fn append(&self, lines: impl FnOnce(&State) -> String) -> io::Result<()> {
        self.locked(|state| {
            self.read(state)?;
            let lines = lines(state);
            self.write(state, &lines)
        })
    }

    fn write(&self, state: &mut State, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let is_new = state.generation.is_none();
        let generation = state.generation.unwrap_or_else(Uuid::new_v4);
        let mut text = if is_new { lines::header(generation) } else { String::new() };
        text += lines;
        let mut file = match new_private_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().write(true).open(&self.path)?
            }
            created => created?,
        };
        // An incomplete line was never synced: what it announced was not sent.
        file.set_len(state.end)?;
        file.seek(SeekFrom::Start(state.end))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        if is_new {
            files::sync_folder(&self.path)?;
        }
        state.generation = Some(generation);
        state.end += text.len() as u64;
        for line in lines.lines() {
            lines::apply(&mut state.open, line).map_err(io::Error::other)?;
        }
        self.compact(state)
    }

    /// Removes a file without open entries, and shortens a long one.
    fn compact(&self, state: &mut State) -> io::Result<()> {
        if state.open.is_empty() {
            fs::remove_file(&self.path)?;
            *state = State::default();
            return self.remove_leases();
        }
        let open: String = state.open.iter().map(|(id, entry)| entry.lines(*id)).collect();
        if state.end < COMPACT_SIZE.max(4 * open.len() as u64) {
            return Ok(());
        }
        let generation = Uuid::new_v4();
        let text = lines::header(generation) + &open;
        files::replace(&self.path, &text)?;
        state.generation = Some(generation);
        state.end = text.len() as u64;
        Ok(())
    }

    /// Reads what was added since the last time.
    fn read(&self, state: &mut State) -> io::Result<()> {
        match files::check_regular(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *state = State::default();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        make_private(&self.path)?;
        let mut file = File::open(&self.path)?;
        let mut first = [0; 128];
        let count = (&file).take(first.len() as u64).read(&mut first)?;
        let first = String::from_utf8_lossy(first.get(..count).unwrap_or_default()).into_owned();
        let Some((header, _)) = first.split_once('\n') else {
            // A process was killed while it wrote the first line.
            let is_begun = lines::HEADER.starts_with(&first) || first.starts_with(lines::HEADER);
            *state = State::default();
            return if is_begun { Ok(()) } else { Err(io::Error::other("it is not a journal of frcopy")) };
        };
        let generation = lines::generation(header)
            .ok_or_else(|| io::Error::other("it is not a journal of this version of frcopy"))?;
        if state.generation != Some(generation) {
            let end = header.len() as u64 + 1;
            *state = State { generation: Some(generation), end, open: BTreeMap::new() };
        }
        if file.metadata()?.len() < state.end {
            return Err(io::Error::other("it was shortened"));
        }
        file.seek(SeekFrom::Start(state.end))?;
        let mut text = String::new();
        file.take(MAX_SIZE).read_to_string(&mut text)?;
        // What comes after the last line break is an incomplete line.
        let complete = text.rfind('\n').map_or("", |at| text.get(..=at).unwrap_or_default());
        for (number, line) in (1..).zip(complete.lines()) {
            let about = |why: String| io::Error::other(format!("it is damaged: line {number}, {why}"));
            lines::apply(&mut state.open, line).map_err(about)?;
        }
        state.end += complete.len() as u64;
        Ok(())
    }

    /// Whether a run lives: it then holds the lock on its file. The caller holds the lock of the manifest.
    fn is_alive(&self, run: Uuid) -> io::Result<bool> {
        let path = self.lease_path(run)?;
        let file = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        if !files::try_lock(&file)? {
            return Ok(true);
        }
        drop(file);
        let _ = fs::remove_file(&path);
        Ok(false)
    }

    /// Which other runs own entries. The caller holds the lock of the manifest.
    fn others(&self, state: &State, is_meant: impl Fn(&OpenEntry) -> bool) -> io::Result<Others> {
        let meant = state.open.values().filter(|entry| is_meant(entry));
        let runs: BTreeSet<_> = meant.map(|entry| entry.run).filter(|run| *run != self.run).collect();
        for run in &runs {
            if self.is_alive(*run)? {
                return Ok(Others::Alive);
            }
        }
        Ok(if runs.is_empty() { Others::None } else { Others::Ended })
    }

    /// Makes this run the owner of entries whose runs do not live. None where one does.
    fn take(
        &self,
        state: &mut State,
        is_meant: impl Fn(&OpenEntry) -> bool,
    ) -> io::Result<Option<BTreeMap<EntryId, OpenEntry>>> {
        let others = self.others(state, &is_meant)?;
        if others == Others::Alive {
            return Ok(None);
        }
        let meant = state.open.iter().filter(|(_, entry)| is_meant(entry));
        let ids: Vec<_> = meant.map(|(id, _)| *id).collect();
        if others == Others::Ended {
            self.hold_lease()?;
            let lines: String = ids.iter().map(|id| lines::taken(*id, self.run)).collect();
            self.write(state, &lines)?;
        }
        Ok(Some(ids.into_iter().filter_map(|id| Some((id, state.open.get(&id)?.clone()))).collect()))
    }

    /// Locks the file of this run, before it owns an entry. The caller holds the lock of the manifest.
    fn hold_lease(&self) -> io::Result<()> {
        let mut lease = self.lease.borrow_mut();
        if lease.is_none() {
            let file = new_private_file(&self.lease_path(self.run)?)?;
            files::try_lock(&file)?;
            *lease = Some(file);
        }
        Ok(())
    }

    fn lease_path(&self, run: Uuid) -> io::Result<PathBuf> {
        files::beside(&self.manifest, &format!("{}.{RUN}", run.simple()))
    }

    /// Removes the files of runs that were killed.
    fn remove_leases(&self) -> io::Result<()> {
        let prefix = files::beside(&self.manifest, "")?;
        let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in fs::read_dir(folder)?.flatten() {
            let name = file.file_name();
            let run = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".run"));
            if let Some(run) = run.and_then(|run| run.parse::<Uuid>().ok()).filter(|run| *run != self.run) {
                self.is_alive(run)?;
            }
        }
        Ok(())
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        if self.lease.get_mut().take().is_some()
            && let Ok(path) = self.lease_path(self.run)
        {
            let _ = fs::remove_file(path);
        }
    }
}

impl Journal for FileJournal {
    fn take_over(&self, copy: &CopyOf<'_>) -> Result<Unfinished, Error> {
        // What other processes begin after this is found before the next authorize request.
        if !self.exists() {
            return Ok(Unfinished::Taken(Vec::new()));
        }
        let taken = self.locked(|state| {
            self.read(state)?;
            self.take(state, |entry| entry.is_of(copy))
        });
        match taken.map_err(|error| self.unwritable(error))? {
            None => Ok(Unfinished::OwnedByOther),
            Some(entries) => {
                let open = entries.iter().map(|(id, entry)| entry.open_copy(*id));
                Ok(Unfinished::Taken(open.collect::<Result<_, _>>()?))
            }
        }
    }

    fn open_operations(&self, source: &Endpoint, target: &Endpoint) -> Result<OpenOperations, Error> {
        let read = self.locked(|state| {
            self.read(state)?;
            let mut open = OpenOperations::default();
            for entry in state.open.values().filter(|entry| entry.model().is_between(source, target)) {
                if self.is_alive(entry.run)? {
                    continue;
                }
                match entry.operation {
                    Some(_) if entry.unreleased.is_none() => {
                        open.copies.push((entry.kind, entry.source_id.clone(), entry.target_id.clone()));
                    }
                    Some(_) | None => open.without_operation += 1,
                }
            }
            Ok(open)
        });
        read.map_err(|error| self.unwritable(error))
    }

    fn has_open(&self, copy: &CopyOf<'_>) -> bool {
        let is_open = self.locked(|state| {
            self.read(state)?;
            Ok(state.open.values().any(|entry| entry.is_of(copy)))
        });
        is_open.unwrap_or(true)
    }

    fn keeps_entries(&self) -> bool {
        true
    }

    fn before_authorize(&self, entry: &AuthorizeEntry<'_>) -> Result<Announced, Error> {
        let id = EntryId(Uuid::new_v4());
        let announced = self.locked(|state| {
            self.read(state)?;
            let AuthorizeEntry { source, target, kind, source_id, target_id, .. } = *entry;
            let model = ModelKey::new(source, target, kind, source_id);
            let is_same = |open: &OpenEntry| open.model() == model && open.target_id.as_ref() == target_id;
            match self.others(state, is_same)? {
                Others::Alive => return Ok(Announced::OwnedByOther),
                Others::Ended => return Ok(Announced::LeftOpen),
                Others::None => {}
            }
            self.hold_lease()?;
            self.write(state, &lines::authorize(id, self.run, entry)).map(|()| Announced::As(id))
        });
        announced.map_err(|error| self.unwritable(error))
    }

    fn before_start(&self, id: EntryId, entry: &StartEntry<'_>) -> Result<(), Error> {
        let start = |state: &State| {
            let target = state.open.get(&id).map(|open| open.target.to_string()).unwrap_or_default();
            let StartEntry { version, kind, address, authorization, source_time } = *entry;
            let authorization = authorization_file::to_json(&target, version, kind, address, authorization);
            lines::start_line(id, &AnnouncedStart { authorization, source_time })
        };
        self.append(start).map_err(|error| self.unwritable(error))
    }

    fn accepted(&self, id: EntryId, operation: &OperationUrl) -> Result<(), Error> {
        let accepted = |state: &State| {
            let source = state.open.get(&id).map(|open| open.source.to_string()).unwrap_or_default();
            lines::accepted(id, &format!("{source}{}", operation.path_and_query()))
        };
        self.append(accepted).map_err(|error| self.unwritable(error))
    }

    fn unreleased(&self, id: EntryId, target_id: &ModelId) {
        let _ = self.append(|_| lines::unreleased(id, target_id));
    }

    fn ended(&self, id: EntryId) {
        // Where it cannot be written, the next run finds the entry open, and finds out again.
        let _ = self.append(|_| lines::ended(id));
    }
}

/// Takes the permissions of all but the owner: the lines contain authorizations.
#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::version::ApiVersion;
    use crate::copy::AuthorizeEntry;
    use crate::model::Kind;

    #[test]
    fn a_copy_is_open_from_its_authorization_until_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::open(&folder.path().join("models.json")).unwrap();
        let [source, target, other] =
            ["https://a.example", "https://b.example", "https://c.example"].map(|text| text.parse().unwrap());
        let source_id = &"m1".parse().unwrap();
        let copy_to =
            |target| CopyOf { source: &source, target, kind: Some(Kind::Model), source_id, target_id: source_id };
        assert!(!journal.has_open(&copy_to(&target)));
        let (version, kind) = (ApiVersion::newest(), Kind::Model);
        let entry = AuthorizeEntry {
            source: &source,
            target: &target,
            kind,
            source_id,
            target_id: Some(source_id),
            version,
            target_time: None,
        };
        let Announced::As(id) = journal.before_authorize(&entry).unwrap() else { panic!("no other run has it") };
        assert!(journal.has_open(&copy_to(&target)) && !journal.has_open(&copy_to(&other)));
        assert!(!journal.has_open(&CopyOf { kind: Some(Kind::Classifier), ..copy_to(&target) }));
        journal.ended(id);
        assert!(!journal.has_open(&copy_to(&target)));
    }
}
