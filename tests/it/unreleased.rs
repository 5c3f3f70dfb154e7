//! A reserved id whose release fails: the manifest keeps it for the next run.

use std::fs;
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};
use wiremock::ResponseTemplate;

use crate::support::{
    CommandOutput, Model, Operation, ScriptedService, Step, Version, error_reply, on_every_version, reply, run,
};

/// Two scripted resources, and a folder with a manifest.
struct Unreleased {
    service: ScriptedService,
    folder: TempDir,
}

impl Unreleased {
    /// A copy came to nothing, and the target has refused the deletion of its id.
    fn after(version: Version, step: Step, answer: ResponseTemplate) -> Self {
        let service = ScriptedService::new(version);
        service.on(step, [answer]);
        service.on(Step::Verify, [Model::reserved(version)]);
        service.on(Step::Release, [error_reply(403, "Forbidden", "The key may not delete.")]);
        let one = Self { service, folder: tempdir().unwrap() };
        one.copy().expect(3, &[&format!("{} remains reserved", version.copy_id())]);
        assert!(fs::read_to_string(one.journal()).unwrap().contains("unreleased"));
        one
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("m.json.journal")
    }

    fn copy(&self) -> CommandOutput {
        run(self.service.copy().arg("--manifest").arg(self.folder.path().join("m.json")))
    }

    /// The service makes copies again, and the target shows the reserved id before its release.
    fn repair(&self, version: Version) {
        let shown = [Model::reserved(version), Model::not_found(version), Model::copy_of_example(version).answer()];
        // In v2.1 the id of the copy is not read before it is made.
        let shown = shown.into_iter().enumerate().filter(|(index, _)| *index != 1 || !version.is_v2_1());
        self.service.on(Step::Verify, shown.map(|(_, answer)| answer));
        self.service.on(Step::Start, [self.service.accepted()]);
        self.service.on(Step::Poll, [Operation::with_status(version, "succeeded").answer()]);
    }
}

#[test]
fn the_next_run_releases_an_id_whose_release_failed_and_makes_the_copy() {
    on_every_version(|version| {
        for (step, answer) in [
            (Step::Start, error_reply(400, "InvalidRequest", "No.")),
            (Step::Poll, Operation::with_status(version, "failed").answer()),
        ] {
            let one = Unreleased::after(version, step, answer);
            one.repair(version);
            one.service.on(Step::Release, [reply(204)]);
            let released = format!("the target has deleted the reserved {}", version.copy_id());
            one.copy().expect(0, &[&released, "copied"]);
            assert!(!one.journal().exists(), "{version:?} {step:?}");
            assert_eq!(one.service.count(Step::Release), 2, "{version:?} {step:?}");
        }
    });
}

#[test]
fn an_id_that_still_cannot_be_released_stays_in_the_journal() {
    on_every_version(|version| {
        let one = Unreleased::after(version, Step::Start, error_reply(400, "InvalidRequest", "No."));
        one.copy().expect(3, &["remains reserved"]);
        assert!(one.journal().exists());
        one.service.on(Step::Release, [reply(204)]);
        one.copy().expect(3, &["the target has deleted the reserved"]);
        assert!(!one.journal().exists(), "{version:?}");
    });
}
