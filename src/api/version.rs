//! The API versions that are alive: one row each.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// An API version that can copy a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiVersion {
    /// v2.1, until 15 September 2027.
    V2_1,
    /// v3.0 = 2022-08-31, until 30 March 2029.
    V3_0,
    /// v3.1 = 2023-07-31.
    V3_1,
    /// v4.0 = 2024-11-30.
    V4_0,
}

/// The wire format that a version speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `custom_models`: v2.1.
    CustomModels,
    /// `document_models`: v3.0 and later, which differ in these two words only.
    DocumentModels {
        /// The first segment of every path.
        service: &'static str,
        /// The `api-version` of every query.
        date: &'static str,
    },
}

struct Row {
    version: ApiVersion,
    number: &'static str,
    format: Format,
}

const ROWS: [Row; 4] = [
    Row { version: ApiVersion::V2_1, number: "2.1", format: Format::CustomModels },
    Row {
        version: ApiVersion::V3_0,
        number: "3.0",
        format: Format::DocumentModels { service: "formrecognizer", date: "2022-08-31" },
    },
    Row {
        version: ApiVersion::V3_1,
        number: "3.1",
        format: Format::DocumentModels { service: "formrecognizer", date: "2023-07-31" },
    },
    Row {
        version: ApiVersion::V4_0,
        number: "4.0",
        format: Format::DocumentModels { service: "documentintelligence", date: "2024-11-30" },
    },
];

impl ApiVersion {
    /// The newest version.
    pub const NEWEST: Self = Self::V4_0;

    /// Every version, the oldest first.
    #[must_use = "an iterator does nothing by itself"]
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        ROWS.iter().map(|row| row.version)
    }

    /// The versions that share v3.0's format and one namespace of models, the newest first.
    #[must_use = "an iterator does nothing by itself"]
    pub fn document_models() -> impl Iterator<Item = Self> {
        Self::all().rev().filter(|version| version.has_document_models())
    }

    /// Whether this is v3.0 or later: models have an id of the caller's choice, a description and tags.
    #[must_use]
    pub fn has_document_models(self) -> bool {
        self.date().is_some()
    }

    /// Whether this version knows classifiers.
    #[must_use]
    pub fn has_classifiers(self) -> bool {
        self >= Self::V3_1
    }

    /// Whether this version copies classifiers.
    #[must_use]
    pub fn copies_classifiers(self) -> bool {
        self >= Self::V4_0
    }

    /// The date that the service calls this version by (v3.0 and later).
    #[must_use]
    pub fn date(self) -> Option<&'static str> {
        match self.format() {
            Format::CustomModels => None,
            Format::DocumentModels { date, .. } => Some(date),
        }
    }

    /// The version to copy a model with that was trained with the API version of this name: the same one, or for a
    /// preview the next that was released. Dates compare as text.
    #[must_use]
    pub fn for_model_of(trained_with: &str) -> Self {
        Self::all().find(|version| version.date().is_some_and(|date| date >= trained_with)).unwrap_or(Self::NEWEST)
    }

    pub(super) fn format(self) -> Format {
        self.row().format
    }

    fn row(self) -> &'static Row {
        let [v2_1, v3_0, v3_1, v4_0] = &ROWS;
        match self {
            Self::V2_1 => v2_1,
            Self::V3_0 => v3_0,
            Self::V3_1 => v3_1,
            Self::V4_0 => v4_0,
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.row().number)
    }
}

impl FromStr for ApiVersion {
    type Err = Error;

    /// Takes `2.1`, `v2.1` and the service's dates.
    fn from_str(text: &str) -> Result<Self, Error> {
        let word = text.trim().trim_start_matches(['v', 'V']);
        Self::all().find(|version| version.row().number == word || version.date() == Some(word)).ok_or_else(|| {
            let what = if word.contains("preview") || word.starts_with("1.") || word == "2.0" {
                "it is retired or a preview"
            } else {
                "it is not an API version of this service"
            };
            Error::settings(what, "give 2.1, 3.0 (2022-08-31), 3.1 (2023-07-31), 4.0 (2024-11-30) or auto")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_row() {
        for version in ApiVersion::all() {
            assert_eq!(version.row().version, version);
        }
        assert_eq!(ApiVersion::all().last(), Some(ApiVersion::NEWEST));
    }

    #[test]
    fn a_version_is_understood_by_number_and_by_date() {
        for (text, version) in [
            ("2.1", ApiVersion::V2_1),
            ("v3.0", ApiVersion::V3_0),
            ("2022-08-31", ApiVersion::V3_0),
            ("2023-07-31", ApiVersion::V3_1),
            ("4.0", ApiVersion::V4_0),
            ("2024-11-30", ApiVersion::V4_0),
        ] {
            assert_eq!(text.parse::<ApiVersion>().unwrap(), version, "{text}");
        }
        for text in ["", "2", "2.0", "v2.1-preview.3", "2024-02-29-preview", "5.0"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_model_is_copied_with_the_version_that_trained_it_or_the_next_one() {
        for (trained_with, version) in [
            ("2022-06-30-preview", ApiVersion::V3_0),
            ("2022-08-31", ApiVersion::V3_0),
            ("2023-02-28-preview", ApiVersion::V3_1),
            ("2023-07-31", ApiVersion::V3_1),
            ("2024-02-29-preview", ApiVersion::V4_0),
            ("2024-11-30", ApiVersion::V4_0),
            ("2031-01-01", ApiVersion::V4_0),
        ] {
            assert_eq!(ApiVersion::for_model_of(trained_with), version, "{trained_with}");
        }
    }
}
