//! A document that a model analyzes, and what the model read in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bytes::Bytes;

use crate::text::UntrustedText;

/// The media types of documents, by the extensions of their files.
const MEDIA_TYPES: [(&[&str], &str); 10] = [
    (&["pdf"], "application/pdf"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["png"], "image/png"),
    (&["tif", "tiff"], "image/tiff"),
    (&["bmp"], "image/bmp"),
    (&["heif", "heic"], "image/heif"),
    (&["docx"], "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (&["xlsx"], "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (&["pptx"], "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (&["html", "htm"], "text/html"),
];

/// A document. Clones share its content.
#[derive(Clone)]
pub struct Document {
    /// Such as `application/pdf`.
    pub media_type: &'static str,
    /// Its bytes.
    pub content: Bytes,
}

/// Leaves out the content.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.media_type, self.content.len())
    }
}

/// The media type of a file, by its extension. None if the service analyzes no such documents.
#[must_use]
pub(crate) fn media_type(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let found = MEDIA_TYPES.iter().find(|(extensions, _)| extensions.contains(&extension.as_str()));
    found.map(|(_, media_type)| *media_type)
}

/// What a model read in a document, in one form for all API versions: types of documents, fields and cells of tables, by
/// the place where each stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Such as `document 1, field Total` or `table 1, cell (2, 3)`.
    pub facts: BTreeMap<UntrustedText, Fact>,
}

/// One thing that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The type of a field, such as `number`.
    pub kind: Option<UntrustedText>,
    /// The value; none where the model found none.
    pub value: Option<UntrustedText>,
    /// How sure the service is, from 0 to 1.
    pub confidence: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_in_any_case_tells_the_media_type() {
        for (name, expected) in [
            ("a.PDF", Some("application/pdf")),
            ("a.b.jpeg", Some("image/jpeg")),
            ("a.heic", Some("image/heif")),
            ("notes.txt", None),
            (".pdf", None),
            ("pdf", None),
        ] {
            assert_eq!(media_type(Path::new(name)), expected, "{name}");
        }
    }
}
