//! [`Version`]: the four API versions and their paths.

use super::{COPY_OF_V2_1, MODEL};

/// The paths of one API version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// The value of `--api-version`.
    pub(crate) number: &'static str,
    /// Path segment and `api-version` of v3.0 and later.
    document: Option<(&'static str, &'static str)>,
}

pub(crate) const V2_1: Version = Version { number: "2.1", document: None };
pub(crate) const V3_0: Version = Version { number: "3.0", document: Some(("formrecognizer", "2022-08-31")) };
pub(crate) const V3_1: Version = Version { number: "3.1", document: Some(("formrecognizer", "2023-07-31")) };
pub(crate) const V4_0: Version = Version { number: "4.0", document: Some(("documentintelligence", "2024-11-30")) };
pub(crate) const VERSIONS: [Version; 4] = [V2_1, V3_0, V3_1, V4_0];
/// The versions in which the caller chooses the id of the copy.
pub(crate) const DOCUMENT_VERSIONS: [Version; 3] = [V3_0, V3_1, V4_0];

/// Runs a test with every version, all at the same time: the tests mostly wait.
pub(crate) fn on_every_version(test: impl Fn(Version) + Sync) {
    on_each(VERSIONS, test);
}

/// Runs the test with all cases at the same time: most tests wait.
pub(crate) fn on_each<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

impl Version {
    pub(crate) fn is_v2_1(self) -> bool {
        self.document.is_none()
    }

    /// The date in `?api-version=`, which v2.1 does not have.
    pub(crate) fn date(self) -> Option<&'static str> {
        self.document.map(|(_, date)| date)
    }

    /// The default id of the copy.
    pub(crate) fn copy_id(self) -> &'static str {
        if self.is_v2_1() { COPY_OF_V2_1 } else { MODEL }
    }

    pub(crate) fn model(self, id: &str) -> String {
        self.path(&format!("/{id}"))
    }

    pub(crate) fn authorize(self) -> String {
        self.path(if self.is_v2_1() { "/copyAuthorization" } else { ":authorizeCopy" })
    }

    pub(crate) fn start(self, id: &str) -> String {
        self.path(&if self.is_v2_1() { format!("/{id}/copy") } else { format!("/{id}:copyTo") })
    }

    /// The list of operations, which v2.1 does not have.
    pub(crate) fn operations(self) -> Option<String> {
        self.document.map(|(service, date)| format!("/{service}/operations?api-version={date}"))
    }

    pub(crate) fn operation(self) -> String {
        match self.document {
            None => self.path(&format!("/{MODEL}/copyresults/02989ba8-1296-499f-aaf4-55cfff41b8f1")),
            Some((service, date)) => {
                format!("/{service}/operations/31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d?api-version={date}")
            }
        }
    }

    fn path(self, rest: &str) -> String {
        match self.document {
            None => format!("/formrecognizer/v2.1/custom/models{rest}"),
            Some((service, date)) => format!("/{service}/documentModels{rest}?api-version={date}"),
        }
    }
}
