//! The API versions from v3.0 on, and every difference between them. This is the only place that compares versions.

/// An API version from v3.0 on. v2.1 has a wire format of its own, see [`super::custom_models`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V3_0,
    V3_1,
    V4_0,
}

impl Version {
    pub(super) const ALL: [Self; 3] = [Self::V3_0, Self::V3_1, Self::V4_0];
    pub(super) const LATEST: Self = Self::V4_0;

    /// Finds the version of a path's first segment and an `api-version`.
    pub(super) fn find(service: &str, date: Option<&str>) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.service() == service && Some(version.date()) == date)
    }

    /// The version number without `v`.
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V4_0 => "4.0",
        }
    }

    /// The value of `api-version`.
    pub(super) fn date(self) -> &'static str {
        match self {
            Self::V3_0 => "2022-08-31",
            Self::V3_1 => "2023-07-31",
            Self::V4_0 => "2024-11-30",
        }
    }

    /// The first segment of the path.
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::V3_0 | Self::V3_1 => "formrecognizer",
            Self::V4_0 => "documentintelligence",
        }
    }

    /// Whether it can read and copy a model that was trained with the version of this date.
    pub(super) fn supports(self, trained_with: &str) -> bool {
        self.date() >= trained_with
    }

    pub(super) fn has_classifiers(self) -> bool {
        self >= Self::V3_1
    }

    pub(super) fn copies_classifiers(self) -> bool {
        self >= Self::V4_0
    }

    /// Whether models have `expirationDateTime`.
    pub(super) fn has_expiration_date(self) -> bool {
        self >= Self::V3_1
    }

    /// Whether models have `modifiedDateTime`. If so, `createdDateTime` of a copy is the time of the copy, and
    /// `modifiedDateTime` that of the training.
    pub(super) fn has_modification_date(self) -> bool {
        self >= Self::V4_0
    }

    /// Whether a list of models contains `docTypes`.
    pub(super) fn lists_document_types(self) -> bool {
        self >= Self::V4_0
    }

    /// Whether a copy's only document type gets the name of the copy.
    pub(super) fn renames_document_type(self) -> bool {
        self >= Self::V3_1
    }

    /// Whether an operation has `apiVersion`.
    pub(super) fn operation_has_api_version(self) -> bool {
        self >= Self::V4_0
    }

    /// Whether the result of an analysis with a model can be deleted.
    pub(super) fn deletes_analyze_results(self) -> bool {
        self >= Self::V4_0
    }

    /// Whether `/info` contains the quota of neural builds.
    pub(super) fn info_has_neural_quota(self) -> bool {
        self == Self::V3_1
    }

    /// Whether the answers to GET name a charset.
    pub(super) fn get_has_charset(self) -> bool {
        self < Self::V4_0
    }
}
