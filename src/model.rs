//! A custom model or classifier, and its id.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::fmt::Hyphenated;

use crate::error::Error;
use crate::text::UntrustedText;

/// The two kinds of models that the service copies, each with its own paths and ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A custom model, on every API version.
    Model,
    /// A custom classifier, copied from v4.0 on.
    Classifier,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Classifier => "classifier",
        })
    }
}

/// The id of a custom model or classifier: 2 to 64 of `A-Z a-z 0-9 . _ ~ -`, the first a letter or a digit.
///
/// So it can stand in a path as it is. The ids of v2.1 are UUIDs, see [`ModelId::is_uuid`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(String);

impl ModelId {
    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the id of the same model. UUIDs are equal in any case of their letters.
    #[must_use]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self == other || (self.is_uuid() && other.is_uuid() && self.0.eq_ignore_ascii_case(&other.0))
    }

    /// The id in the one spelling of all that are the same.
    #[must_use]
    pub(crate) fn normalized(&self) -> Self {
        if self.is_uuid() { Self(self.0.to_ascii_lowercase()) } else { self.clone() }
    }

    /// Whether v2.1 could have given this id.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        self.0.parse::<Hyphenated>().is_ok()
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const RULE: &str = "give 2 to 64 characters, letters, digits and . _ ~ - only, the first a letter or a digit";
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if !(2..=64).contains(&text.len()) {
            let count = text.chars().count();
            let characters = if count == 1 { "character" } else { "characters" };
            return Err(Error::settings(format!("it has {count} {characters}"), RULE));
        }
        if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) || !text.bytes().all(allowed) {
            return Err(Error::settings("it has characters that no model id has", RULE));
        }
        if text.starts_with("prebuilt-") {
            return Err(Error::settings(
                "it is a prebuilt model",
                "copy custom models only: every resource has the prebuilt ones",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A model or classifier as a resource shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its id. In v2.1 the service chooses it.
    pub id: ModelId,
    /// A model or a classifier.
    pub kind: Kind,
    /// Whether it can be used, and so be copied.
    pub readiness: Readiness,
    /// The API version that trained it, as the service writes it (`2023-07-31`). v2.1 does not say.
    pub api_version: Option<UntrustedText>,
    /// Its name (v2.1).
    pub name: Option<UntrustedText>,
    /// Its description (v3.0 and later).
    pub description: Option<UntrustedText>,
    /// Its tags (v3.0 and later).
    pub tags: BTreeMap<UntrustedText, UntrustedText>,
    /// When it was created. A copy has the date of its source, except in v4.0, where it is the date of the copy.
    pub created: Option<Timestamp>,
    /// When it was last changed (v2.1 and v4.0). A copy has the date of its source.
    pub modified: Option<Timestamp>,
    /// When it expires (v3.1 and later). A copy has the date of its source.
    pub expires: Option<Timestamp>,
    /// Its document types (v3.0 and later), in the order of their names.
    pub document_types: Vec<DocumentType>,
    /// The models, and from v4.0 on the classifier, that it is composed of.
    pub components: Vec<Component>,
    /// Whether all fields are known. A list may leave out fields that a GET of the model has.
    pub is_complete: bool,
    /// A field that tells trainings apart, and that the resource shows in an unknown form.
    pub unreadable: Option<&'static str>,
}

/// One type of documents of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentType {
    /// Its name: in a simple model that of the model.
    pub name: UntrustedText,
    /// A digest of the fields, which may be megabytes of JSON. Classifiers have none.
    pub field_schema: Option<Box<str>>,
    /// How it was trained: `template`, `neural`.
    pub build_mode: Option<UntrustedText>,
}

/// What a composed model is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// A model or a classifier.
    pub kind: Kind,
    /// Its id on the resource where the whole was composed.
    pub id: ModelId,
}

/// Whether a model can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can. From v3.0 on a model that is shown is ready.
    Ready,
    /// It is being trained, or it is the blank target of a copy.
    Creating,
    /// Its training failed.
    Invalid,
    /// A status that this version of frcopy does not know. It decides nothing.
    Unknown(UntrustedText),
}

impl Model {
    /// Whether a preview version trained it. Such a model retires with its version, and every preview version that could
    /// train models has ended.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.api_version.as_ref().is_some_and(|version| version.raw().trim().to_ascii_lowercase().ends_with("-preview"))
    }
}

impl Readiness {
    /// Whether the resource says that the model cannot be used.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        matches!(self, Self::Creating | Self::Invalid)
    }
}

#[cfg(test)]
impl Model {
    /// A ready model of which nothing else is known.
    pub(crate) fn example(id: &str) -> Self {
        Self {
            id: id.parse().unwrap(),
            kind: Kind::Model,
            readiness: Readiness::Ready,
            api_version: None,
            name: None,
            description: None,
            tags: BTreeMap::new(),
            created: None,
            modified: None,
            expires: None,
            document_types: Vec::new(),
            components: Vec::new(),
            is_complete: true,
            unreadable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_has_the_form_that_the_service_documents() {
        for id in ["ab", "A0", "my.model_v1~final-2", "33f4d42c-cd2f-4e74-b990-a1aeafab5a5d", &"x".repeat(64)] {
            assert!(id.parse::<ModelId>().is_ok(), "{id}");
        }
        for id in ["", "a", "-ab", ".ab", "..", "a/b", "a b", "a%2fb", "ä1", "prebuilt-invoice", &"x".repeat(65)] {
            assert!(id.parse::<ModelId>().is_err(), "{id}");
        }
    }

    #[test]
    fn an_id_of_v2_1_is_a_uuid() {
        let is_uuid = |id: &str| id.parse::<ModelId>().unwrap().is_uuid();
        assert!(is_uuid("33f4d42c-cd2f-4e74-b990-a1aeafab5a5d"));
        assert!(is_uuid("33F4D42C-CD2F-4E74-B990-A1AEAFAB5A5D"));
        for id in ["33f4d42ccd2f4e74b990a1aeafab5a5d", "33f4d42c-cd2f-4e74-b990-a1aeafab5a5g", "my-model-a-b-c"] {
            assert!(!is_uuid(id), "{id}");
        }
    }
}
