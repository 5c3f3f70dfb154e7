//! The supported API versions: one row each.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::WireFormat;
use super::custom_models::CustomModels;
use super::document_models::DocumentModels;
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;

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

struct Row {
    version: ApiVersion,
    number: &'static str,
    /// The date that the service calls this version by (v3.0 and later).
    date: Option<&'static str>,
    /// The day on which Microsoft ends it, where that is announced.
    retires: Option<&'static str>,
    wire: &'static dyn WireFormat,
}

const ROWS: [Row; 4] = [
    Row { version: ApiVersion::V2_1, number: "2.1", date: None, retires: Some("2027-09-15"), wire: &CustomModels },
    Row {
        version: ApiVersion::V3_0,
        number: "3.0",
        date: Some("2022-08-31"),
        retires: Some("2029-03-30"),
        wire: &DocumentModels {
            service: "formrecognizer",
            date: "2022-08-31",
            has_classifiers: false,
            copies_classifiers: false,
            deletes_analyses: false,
        },
    },
    Row {
        version: ApiVersion::V3_1,
        number: "3.1",
        date: Some("2023-07-31"),
        retires: None,
        wire: &DocumentModels {
            service: "formrecognizer",
            date: "2023-07-31",
            has_classifiers: true,
            copies_classifiers: false,
            deletes_analyses: false,
        },
    },
    Row {
        version: ApiVersion::V4_0,
        number: "4.0",
        date: Some("2024-11-30"),
        retires: None,
        wire: &DocumentModels {
            service: "documentintelligence",
            date: "2024-11-30",
            has_classifiers: true,
            copies_classifiers: true,
            deletes_analyses: true,
        },
    },
];

impl ApiVersion {
    /// The newest version.
    const NEWEST: Self = Self::V4_0;

    /// Every version, the oldest first.
    #[must_use = "an iterator does nothing by itself"]
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        ROWS.iter().map(|row| row.version)
    }

    /// The oldest version.
    #[must_use]
    pub fn oldest() -> Self {
        Self::V2_1
    }

    /// The newest version.
    #[must_use]
    pub fn newest() -> Self {
        Self::NEWEST
    }

    /// The wire format of this version: its calls and its capabilities.
    #[must_use]
    pub fn wire(self) -> &'static dyn WireFormat {
        self.row().wire
    }

    /// The versions, grouped by the models that they show: each group shares its models, and has its newest version first.
    #[must_use]
    pub fn groups() -> Vec<Vec<Self>> {
        let (own, shared): (Vec<_>, Vec<_>) = Self::all().rev().partition(|version| version.date().is_none());
        own.into_iter().map(|version| vec![version]).chain([shared]).collect()
    }

    /// Whether both versions show the same models of a resource.
    #[must_use]
    pub fn shares_models_with(self, other: Self) -> bool {
        self == other || (self.date().is_some() && other.date().is_some())
    }

    /// What a group of versions with the same models is called: `v2.1`, `v3.0 and later`.
    #[must_use]
    pub fn group_name(self) -> String {
        match Self::all().find(|version| version.shares_models_with(self)) {
            Some(oldest) if self.date().is_some() => format!("{oldest} and later"),
            _ => self.to_string(),
        }
    }

    /// The newest version that copies models of this kind.
    #[must_use]
    pub fn newest_that_copies(kind: Kind) -> Self {
        Self::all().rev().find(|version| version.wire().copies(kind)).unwrap_or(Self::NEWEST)
    }

    /// The version to ask first for a model of which only this is known. A version that needs the target's address comes
    /// first where the address was given and the model may be one of its own; else the newest one.
    #[must_use]
    pub fn to_ask_first(kind: Option<Kind>, id: &ModelId, has_target_address: bool) -> Self {
        let fits = |version: &Self| {
            let wire = version.wire();
            wire.needs_target_address() && wire.copies(kind.unwrap_or(Kind::Model)) && wire.may_have_id(id)
        };
        Self::all().find(|version| has_target_address && fits(version)).unwrap_or(Self::NEWEST)
    }

    /// The date that the service calls this version by (v3.0 and later).
    #[must_use]
    pub fn date(self) -> Option<&'static str> {
        self.row().date
    }

    /// The day on which Microsoft ends this version, where that is announced.
    #[must_use]
    pub fn retires(self) -> Option<&'static str> {
        self.row().retires
    }

    /// The day on which Microsoft ends the last of the versions that show the models of this one, where that is announced.
    #[must_use]
    pub fn models_retire(self) -> Option<Date> {
        let retires = |version: Self| version.retires()?.parse().ok();
        let days = Self::all().filter(|version| version.shares_models_with(self)).map(retires);
        days.collect::<Option<Vec<Date>>>()?.into_iter().max()
    }

    /// The version to copy a model with that was trained with the API version of this name: the same one, or for a
    /// preview the next release. Dates compare as text.
    #[must_use]
    pub fn for_model_of(trained_with: &str) -> Self {
        Self::all().find(|version| version.date().is_some_and(|date| date >= trained_with)).unwrap_or(Self::NEWEST)
    }

    /// The version of the operation that a URL names.
    #[must_use]
    pub fn of_operation(url: &OperationUrl) -> Option<Self> {
        if let Some(version) = Self::all().find(|version| version.wire().is_operation(url)) {
            return Some(version);
        }
        let path = url.path_and_query();
        let date = path.split_once("api-version=").map(|(_, date)| date.split('&').next().unwrap_or_default());
        path.contains("/operations/").then(|| date.map_or(Self::NEWEST, Self::for_model_of))
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
            let known = Self::all().map(|version| {
                let date = version.date().map(|date| format!(" ({date})")).unwrap_or_default();
                format!("{}{date}", version.row().number)
            });
            Error::settings(what, format!("give {} or auto", known.collect::<Vec<_>>().join(", ")))
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
    fn models_retire_with_the_last_version_that_shows_them() {
        assert_eq!(ApiVersion::V2_1.models_retire(), Some(jiff::civil::date(2027, 9, 15)));
        assert_eq!(ApiVersion::V3_0.models_retire(), None, "v3.1 and v4.0 show them as well");
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
