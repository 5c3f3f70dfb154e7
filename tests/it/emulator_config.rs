//! `frcopy emulator --write-config`: names for emulated resources, without a variable for each of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::emulator::EmulatorProcess;
use crate::support::{CommandOutput, frcopy, run};

/// The resources, and the folder with their configuration.
struct Lab {
    emulator: EmulatorProcess,
    folder: TempDir,
}

impl Lab {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), arguments)
    }

    fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let path = config_in(&folder);
        let options = ["--operation-time", "0s", "--write-config", path.to_str().unwrap()];
        let emulator = EmulatorProcess::start(&[&options, arguments].concat());
        Self { emulator, folder }
    }

    fn config(&self) -> PathBuf {
        config_in(&self.folder)
    }

    fn files(&self) -> Vec<String> {
        files_in(self.folder.path())
    }

    /// The binary with the path of the configuration and nothing else.
    fn run(&self, arguments: &[&str]) -> CommandOutput {
        let config = self.emulator.setting("FRCOPY_CONFIG");
        run(frcopy().env("FRCOPY_CONFIG", config).args(arguments).current_dir("/"))
    }

    #[cfg(unix)]
    fn stop(&mut self) {
        let signalled = Command::new("kill").arg(self.emulator.child.id().to_string()).status().unwrap();
        assert!(signalled.success());
        assert_eq!(self.emulator.child.wait().unwrap().code(), Some(0));
    }
}

fn config_in(folder: &TempDir) -> PathBuf {
    folder.path().join("lab.toml")
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// `frcopy emulator` that must not start.
fn refused(arguments: &[&str], path: &Path) -> CommandOutput {
    run(frcopy().arg("emulator").args(arguments).arg("--write-config").arg(path))
}

const THREE: [&str; 2] = ["--resources", "east,west,north-2"];

#[test]
fn the_path_of_the_configuration_is_all_that_a_copy_of_every_version_needs() {
    let lab = Lab::start(&THREE);
    assert_eq!(lab.run(&["resources", "-q"]).expect(0, &[]).stdout, "east\nnorth-2\nwest\n");
    let copy = ["copy", "--all", "--from", "east", "--to", "west", "--to", "north-2", "--poll-interval", "20ms"];
    lab.run(&copy).expect(0, &["west: of 5 models and classifiers: 5 copied", "north-2: of 5 models"]);
    lab.run(&["check", "--from", "west", "--to", "north-2"]).expect(0, &["5 same"]);
    // Without names it works as ever, and there is one way to the names.
    lab.emulator.copy(&["invoices-v4.0-1", "--target-model-id", "another"]).expect(0, &[]);
    assert!(lab.emulator.notes().contains("# frcopy copy --all --from east --to west\n"), "{}", lab.emulator.notes());
    assert!(!lab.emulator.has("FRCOPY_RESOURCE_WEST_KEY"));
}

#[cfg(unix)]
#[test]
fn the_files_are_private_and_the_keys_are_not_in_the_configuration() {
    use std::os::unix::fs::PermissionsExt;

    let mut lab = Lab::start(&THREE);
    assert_eq!(lab.files(), ["lab.toml", "lab.toml.east.key", "lab.toml.north-2.key", "lab.toml.west.key"]);
    let text = fs::read_to_string(lab.config()).unwrap();
    for name in ["east", "west", "north-2"] {
        let key = fs::read_to_string(lab.folder.path().join(format!("lab.toml.{name}.key"))).unwrap();
        assert!(key.trim().len() == 32 && !text.contains(key.trim()), "{text}");
    }
    for file in lab.files() {
        let mode = fs::metadata(lab.folder.path().join(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    lab.stop();
    assert_eq!(lab.files(), Vec::<String>::new(), "they are removed at the end");
}

#[cfg(unix)]
#[test]
fn a_file_that_was_changed_meanwhile_stays() {
    let mut lab = Lab::start(&THREE);
    fs::write(lab.config(), "[resources.mine]\nendpoint = \"https://a.example\"\n").unwrap();
    lab.stop();
    assert_eq!(lab.files(), ["lab.toml"]);
}

#[test]
fn what_a_killed_emulator_has_left_is_replaced() {
    let first = Lab::start(&THREE);
    let left: Vec<_> =
        first.files().iter().map(|file| (file.clone(), fs::read(first.folder.path().join(file)))).collect();
    let folder = TempDir::new().unwrap();
    for (file, content) in left {
        fs::write(folder.path().join(file), content.unwrap()).unwrap();
    }
    let second = Lab::start_in(folder, &THREE);
    second.run(&["list", "north-2", "-q"]).expect(0, &[]);
    second.run(&["copy", "invoices-v4.0-1", "--from", "east", "--to", "west"]).expect(0, &[]);
    first.run(&["check", "--from", "east", "--to", "west"]).expect(9, &["5 only on the source"]);
}

#[test]
fn a_file_that_no_emulator_has_written_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let path = config_in(&folder);
    let texts = ["--write-config", "cannot be written", "no emulator has written it"];
    let own = "[resources.mine]\nendpoint = \"https://a.example\"\n";
    fs::write(&path, own).unwrap();
    refused(&THREE, &path).expect(2, &texts);
    assert_eq!(fs::read_to_string(&path).unwrap(), own);
    fs::remove_file(&path).unwrap();
    // The key of another resource.
    let key = folder.path().join("lab.toml.west.key");
    fs::write(&key, "another\n").unwrap();
    refused(&THREE, &path).expect(2, &texts);
    assert_eq!(files_in(folder.path()), ["lab.toml.west.key"], "nothing else is left");
    assert_eq!(fs::read_to_string(&key).unwrap(), "another\n");
    #[cfg(unix)]
    {
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        refused(&THREE, &path).expect(2, &texts);
    }
    refused(&THREE, Path::new("/nowhere/lab.toml")).expect(2, &["cannot be written"]);
}

#[test]
fn resources_without_names_of_their_own_have_no_configuration() {
    let folder = TempDir::new().unwrap();
    let path = config_in(&folder);
    refused(&[], &path).expect(2, &["--write-config needs names", "--resources east,west"]);
    refused(&["--resources", "3"], &path).expect(2, &["--write-config needs names"]);
    refused(&["--resources", "east,target"], &path).expect(2, &["target is the name of a side of a copy"]);
    refused(&THREE, Path::new("-")).expect(2, &["--write-config does not name a file"]);
    assert_eq!(files_in(folder.path()), Vec::<String>::new());
}

#[test]
fn with_tls_the_certificate_is_all_else_that_is_needed() {
    let lab = Lab::start(&["--resources", "east,west", "--tls"]);
    lab.run(&["list", "east"]).expect(7, &["is not trusted"]);
    let mut list = frcopy();
    for variable in ["FRCOPY_CONFIG", "SSL_CERT_FILE"] {
        list.env(variable, lab.emulator.setting(variable));
    }
    run(list.args(["list", "east", "-q"])).expect(0, &[]);
}
