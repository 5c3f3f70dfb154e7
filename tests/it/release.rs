//! Checks the files of CI and of a release against each other, and the permissions of the workflows.

use std::fs;
use std::path::Path;
use std::process::Command;

use saphyr::{LoadableYamlNode, Yaml};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn workflows() -> Vec<(String, String)> {
    yaml_files(".github/workflows")
}

/// The names and texts of the YAML files in a folder.
fn yaml_files(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yml"));
    let name_of = |path: &Path| format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
    files.map(|path| (name_of(&path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_yaml_file_is_valid() {
    let folders =
        [".github", ".github/ISSUE_TEMPLATE", ".github/actions/copy", ".github/examples", ".github/workflows"];
    for (name, text) in folders.into_iter().flat_map(yaml_files) {
        let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(documents.len() == 1 && documents[0].is_mapping(), "{name}");
    }
}

#[test]
fn every_action_is_pinned_to_a_commit_with_its_version_as_a_comment() {
    let mut seen = 0;
    let is_use = |line: &&str| {
        let step = line.trim_start().trim_start_matches("- ");
        // The action of this repository: readers of an example put in the owner and the commit.
        step.starts_with("uses:") && !step.ends_with("OWNER/frcopy/.github/actions/copy@COMMIT")
    };
    for (name, text) in [workflows(), yaml_files(".github/examples")].concat() {
        for line in text.lines().filter(is_use) {
            let (action, version) = line.split_once(" # v").unwrap_or_else(|| panic!("{name}: {line}"));
            let commit = action.split_once('@').unwrap().1;
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit && version.split('.').count() == 3, "{name}: {line}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn only_the_publishing_job_has_write_permissions() {
    for (name, text) in workflows() {
        let workflow = Yaml::load_from_str(&text).unwrap().remove(0);
        let permissions = workflow.as_mapping_get("permissions").unwrap_or_else(|| panic!("{name} has no permissions"));
        let writes = |yaml: &Yaml<'_>| {
            yaml.as_mapping().is_some_and(|all| all.values().any(|value| value.as_str() == Some("write")))
        };
        assert!(!writes(permissions), "{name}");
        let jobs = workflow.as_mapping_get("jobs").unwrap().as_mapping().unwrap();
        for (job, content) in jobs {
            let may_write = content.as_mapping_get("permissions").is_some_and(writes);
            assert!(!may_write || job.as_str() == Some("publish"), "{name}: {job:?}");
        }
    }
}

#[test]
fn no_script_contains_an_expression() {
    for (name, script) in scripts() {
        assert!(!script.contains("${{"), "{name}: {script}");
    }
}

/// The scripts of all workflows, each with the name of its file.
fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for (name, text) in workflows() {
        let workflow = Yaml::load_from_str(&text).unwrap().remove(0);
        for job in workflow.as_mapping_get("jobs").unwrap().as_mapping().unwrap().values() {
            let steps = job.as_mapping_get("steps").unwrap().as_sequence().unwrap().iter();
            let of_job = steps.filter_map(|step| step.as_mapping_get("run").and_then(Yaml::as_str));
            scripts.extend(of_job.map(|script| (name.clone(), script.to_owned())));
        }
    }
    assert!(scripts.len() >= 8, "{scripts:?}");
    scripts
}

#[test]
fn the_release_the_action_and_cargo_binstall_use_the_same_archive_names() {
    let (release, install, cargo) =
        (read(".github/workflows/release.yml"), read(".github/actions/copy/install.sh"), read("Cargo.toml"));
    let targets: Vec<_> =
        release.lines().filter_map(|line| line.trim().strip_prefix("- { target: ")?.split(',').next()).collect();
    assert_eq!(targets.len(), 6);
    for target in targets {
        assert!(install.contains(&format!("target={target} ;;")), "{target}");
    }
    assert!(read(".ci/package").contains("name=frcopy-$version-$target"));
    assert!(install.contains("name=frcopy-${FRCOPY_VERSION#v}-$target"));
    assert!(
        cargo.contains(r#"pkg-url = "{ repo }/releases/download/v{ version }/{ name }-{ version }-{ target }.tar.gz""#)
    );
    assert!(cargo.contains(r#"bin-dir = "{ name }-{ version }-{ target }/{ bin }{ binary-ext }""#));
}

#[test]
fn the_scripts_have_no_syntax_errors() {
    for script in
        [".ci/run", ".ci/package", ".ci/changelog", ".github/actions/copy/install.sh", ".github/actions/copy/run.sh"]
    {
        let status = Command::new("bash").arg("-n").arg(Path::new(ROOT).join(script)).status().unwrap();
        assert!(status.success(), "{script}");
    }
    for (name, script) in scripts() {
        let status = Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
        assert!(status.success(), "{name}: {script}");
    }
}

/// Runs the steps of the publishing job that need no other host: the checksums, and the contents of the image.
#[test]
fn the_checksums_are_verified_and_the_image_gets_a_binary_for_each_architecture() {
    let folder = tempfile::TempDir::new().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "a", "b", "c", "d"] {
        let name = format!("frcopy-0.1.0-{target}");
        let script = format!(
            "mkdir {name} && echo {target} > {name}/frcopy && tar -czf {name}.tar.gz {name} && rm -r {name} && sha256sum {name}.tar.gz > {name}.sha256"
        );
        assert!(Command::new("bash").args(["-ec", &script]).current_dir(&release).status().unwrap().success());
    }
    let workflow = read(".github/workflows/release.yml");
    let workflow = Yaml::load_from_str(&workflow).unwrap().remove(0);
    let publish = workflow.as_mapping_get("jobs").unwrap().as_mapping_get("publish").unwrap();
    let script = |name: &str| {
        let steps = publish.as_mapping_get("steps").unwrap().as_sequence().unwrap();
        let step = steps.iter().find(|step| step.as_mapping_get("name").and_then(Yaml::as_str) == Some(name)).unwrap();
        step.as_mapping_get("run").and_then(Yaml::as_str).unwrap().to_owned()
    };
    let run = |script: &str, folder: &Path| {
        // A stand-in for docker records its arguments. It reads the password, or echo could fail with a broken pipe.
        let script = format!(
            "docker() {{ if [ $1 = login ]; then cat >/dev/null; fi; echo \"docker $*\" >>calls; echo '{{}}' >image.json; }}; jq() {{ echo sha256:0; }}\n{script}"
        );
        let mut command = Command::new("bash");
        command.args(["-ec", &script]).current_dir(folder).env("REPOSITORY", "Owner/frcopy").env("TAG", "v0.1.0");
        command.env("ACTOR", "a").env("TOKEN", "t").env("REVISION", "r").env("GITHUB_OUTPUT", folder.join("output"));
        command.output().unwrap().status.success()
    };
    let check = script("Verify the checksums");
    assert!(run(&check, &release));
    assert_eq!(fs::read_to_string(release.join("SHA256SUMS")).unwrap().lines().count(), 6);
    assert!(run(&script("Build and push the image"), folder.path()));
    for (architecture, target) in [("amd64", "x86_64-unknown-linux-musl\n"), ("arm64", "aarch64-unknown-linux-musl\n")]
    {
        let binary = folder.path().join("image").join(architecture).join("frcopy");
        assert_eq!(fs::read_to_string(binary).unwrap(), target);
    }
    assert!(folder.path().join("image/certificates.crt").exists());
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    assert!(calls.contains("--tag ghcr.io/owner/frcopy:0.1.0"), "{calls}");
    assert_eq!(
        fs::read_to_string(folder.path().join("output")).unwrap(),
        "name=ghcr.io/owner/frcopy\ndigest=sha256:0\n"
    );
    // A modified archive is not published.
    fs::write(release.join("frcopy-0.1.0-a.tar.gz"), "changed").unwrap();
    fs::write(release.join("all.sha256"), fs::read(release.join("SHA256SUMS")).unwrap()).unwrap();
    assert!(!run(&check, &release));
}

fn release_folder() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let release = read(".github/workflows/release.yml");
    let targets = release.lines().filter_map(|line| line.trim().strip_prefix("- { target: ")?.split(',').next());
    let lines: Vec<_> = targets
        .enumerate()
        .map(|(number, target)| {
            let extension = if target.contains("windows") { "zip" } else { "tar.gz" };
            format!("{number:064x}  frcopy-1.2.3-{target}.{extension}")
        })
        .collect();
    fs::write(folder.path().join("SHA256SUMS"), lines.join("\n")).unwrap();
    folder
}

fn write_manifests(folder: &Path) -> std::process::Output {
    let script = Path::new(ROOT).join(".ci/manifests");
    Command::new("python3").arg(script).args(["1.2.3", "Owner/frcopy"]).arg(folder).output().unwrap()
}

/// Needs Python, which the release's runner has.
#[test]
fn the_scoop_manifest_and_the_homebrew_formula_name_each_archive_with_its_checksum() {
    let folder = release_folder();
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    assert!(write_manifests(folder.path()).status.success());
    let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
    let scoop: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("frcopy.json")).unwrap()).unwrap();
    let formula = fs::read_to_string(folder.path().join("frcopy.rb")).unwrap();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let url = format!("https://github.com/Owner/frcopy/releases/download/v1.2.3/{name}");
        if name.contains("windows") {
            let architecture = if name.contains("aarch64") { "arm64" } else { "64bit" };
            let entry = &scoop["architecture"][architecture];
            assert_eq!((entry["url"].as_str(), entry["hash"].as_str()), (Some(url.as_str()), Some(sum)));
            assert_eq!(entry["extract_dir"], name.strip_suffix(".zip").unwrap());
        } else {
            assert!(formula.contains(&format!("url \"{url}\"\n      sha256 \"{sum}\"")), "{formula}");
        }
    }
    // Each block of the formula is closed.
    let begins =
        formula.lines().filter(|line| line.ends_with(" do") || line.starts_with("class ") || line.contains("def "));
    assert_eq!(begins.count(), formula.lines().filter(|line| line.trim() == "end").count());
    let description = formula.lines().find_map(|line| line.strip_prefix("  desc \"")?.strip_suffix('"'));
    assert!(description.is_some_and(|text| text.len() <= 80), "Homebrew allows 80 characters: {description:?}");
    // An archive that is missing must not be published.
    fs::write(folder.path().join("SHA256SUMS"), sums.lines().next().unwrap()).unwrap();
    let output = write_manifests(folder.path());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("SHA256SUMS has no"));
}

#[test]
fn a_release_has_the_text_of_its_section_of_the_changelog_and_needs_one() {
    let folder = tempfile::TempDir::new().unwrap();
    for name in [".ci", ".github"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::copy(Path::new(ROOT).join(".ci/changelog"), folder.path().join(".ci/changelog")).unwrap();
    let changelog = |version: &str, unreleased: &str| {
        let text =
            format!("## [Unreleased]\n{unreleased}\n## [0.2.0] - 2026-01-01\n\n- New.\n\n## [0.1.0]\n\n- Old.\n");
        fs::write(folder.path().join(".github/CHANGELOG.md"), text).unwrap();
        Command::new("bash").arg(folder.path().join(".ci/changelog")).arg(version).output().unwrap()
    };
    for (version, text) in [("0.2.0", "\n- New.\n"), ("0.1.0", "\n- Old.\n")] {
        let output = changelog(version, "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{output:?}");
        assert!(output.status.success(), "{output:?}");
    }
    // A dot of the version is no pattern.
    for (version, unreleased, error) in
        [("9.9.9", "", "no entries for 9.9.9"), ("0x2x0", "", "no entries"), ("0.2.0", "\n- Newer.\n", "[Unreleased]")]
    {
        let output = changelog(version, unreleased);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(error), "{output:?}");
    }
}

/// The examples of `.github/examples` are run with this version in `workflows.rs`.
#[test]
fn the_documents_name_the_version_of_the_crate() {
    let archive = concat!("frcopy-", env!("CARGO_PKG_VERSION"), "-x86_64-unknown-linux-musl.tar.gz");
    let image = concat!("ghcr.io/OWNER/frcopy:", env!("CARGO_PKG_VERSION"));
    for (file, text) in [("README.md", archive), ("README.md", image), (".github/SECURITY.md", archive)] {
        assert!(read(file).contains(text), "{file} does not name {text}");
    }
    let kubernetes = ".github/examples/kubernetes-cronjob.yml";
    assert!(read(kubernetes).contains(image), "{kubernetes} does not name {image}");
}

/// `cargo package` leaves everything else out: the crate has no tests that need files which are not in it.
#[test]
fn the_crate_has_the_library_the_readme_and_the_license() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for needed in ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "src/lib.rs", "src/main.rs"] {
        assert!(files.lines().any(|file| file == needed), "{needed}");
    }
    let belongs = |file: &str| {
        file.starts_with("src/")
            || file.starts_with("Cargo.")
            || ["LICENSE", "README.md", ".cargo_vcs_info.json"].contains(&file)
    };
    assert_eq!(files.lines().find(|file| !belongs(file)), None);
}
