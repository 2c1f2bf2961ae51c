//! "Document in": what apps send, as the pipeline takes it.
//!
//! Whatever is wrong with an ACL is not an error here; the engine stores the document and withholds it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sightline_index::Timestamp;
use sightline_ingest::{Content, Incoming, IncomingSection, SectionPlace};

use super::errors::Problem;

const DEFAULT_TEXT_MIME: &str = "text/plain";
const DEFAULT_FILE_MIME: &str = "application/octet-stream";
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The JSON form of a document.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DocumentBody {
    /// In a batch, which source; elsewhere it may repeat the path.
    pub(super) source: Option<String>,
    /// In a batch, which document; elsewhere it may repeat the path.
    pub(super) id: Option<String>,
    title: Option<String>,
    text: Option<String>,
    content_base64: Option<String>,
    mime: Option<String>,
    uri: Option<String>,
    acl: Option<Value>,
    version: Option<SourceVersion>,
    modified_at: Option<Timestamp>,
    labels: Option<BTreeMap<String, String>>,
    sections: Option<Vec<SectionBody>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SectionBody {
    name: String,
    text: String,
    /// A section whose ACL is `null` has an unknown one and is withheld; without the field the document's alone holds.
    #[serde(default, deserialize_with = "present")]
    acl: Option<Value>,
}

/// Sources count or hash their versions; both are kept as text.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "version: a string or a whole number is expected")]
enum SourceVersion {
    Text(String),
    Number(i64),
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl DocumentBody {
    /// The document that the body describes, under the id of its path.
    ///
    /// # Errors
    /// A bad request that names the field.
    pub(super) fn under(self, source: &str, id: &str) -> Result<Incoming, Problem> {
        let other = |field: &str, given: &Option<String>, path: &str| {
            given.as_ref().filter(|given| *given != path).map(|given| invalid(field, &format!("`{given}` is not that of the path")))
        };
        match other("source", &self.source, source).or_else(|| other("id", &self.id, id)) {
            Some(problem) => Err(problem),
            None => self.incoming(source.to_owned(), id.to_owned()),
        }
    }

    /// The document that a line of a batch describes.
    ///
    /// # Errors
    /// A bad request that names the field.
    pub(super) fn of_line(mut self) -> Result<Incoming, Problem> {
        match (self.source.take(), self.id.take()) {
            (Some(source), Some(id)) => self.incoming(source, id),
            (None, _) => Err(invalid("source", "it is missing")),
            (_, None) => Err(invalid("id", "it is missing")),
        }
    }

    fn incoming(self, source: String, id: String) -> Result<Incoming, Problem> {
        let sections = self.sections.unwrap_or_default();
        let (content, mime) = match (self.text, self.content_base64) {
            (Some(_), Some(_)) => return Err(invalid("content_base64", "send it or `text`, not both")),
            (None, None) if sections.is_empty() => {
                return Err(invalid("text", "it is missing; send `text`, `content_base64` or `sections`"));
            }
            (None, Some(encoded)) => (Content::Bytes(decode(encoded)?), DEFAULT_FILE_MIME),
            (text, None) => (Content::Text(text.unwrap_or_default()), DEFAULT_TEXT_MIME),
        };
        let section = |section: SectionBody| IncomingSection {
            name: section.name,
            place: SectionPlace::Text(section.text),
            acl: section.acl,
        };
        Ok(Incoming {
            replaces: std::collections::BTreeMap::new(),
            source,
            id,
            title: self.title,
            uri: self.uri,
            mime: self.mime.unwrap_or_else(|| mime.to_owned()),
            content,
            acl: self.acl,
            labels: self.labels.unwrap_or_default(),
            sections: sections.into_iter().map(section).collect(),
            source_version: self.version.map(|version| match version {
                SourceVersion::Text(text) => text,
                SourceVersion::Number(number) => number.to_string(),
            }),
            modified_at: self.modified_at,
        })
    }
}

fn decode(mut encoded: String) -> Result<Vec<u8>, Problem> {
    encoded.retain(|character| !character.is_ascii_whitespace());
    BASE64.decode(&encoded).map_err(|error| invalid("content_base64", &error.to_string()))
}

fn invalid(field: &str, reason: &str) -> Problem {
    Problem::bad_request("invalid_field", format!("{field}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;

    #[test]
    fn an_unknown_acl_of_a_section_is_not_no_acl() {
        let text = r#"{"text":"a","sections":[{"name":"b","text":"c","acl":null},{"name":"d","text":"e"}]}"#;
        let document = body::parse::<DocumentBody>(text.as_bytes()).unwrap().under("s", "i").unwrap();
        let acls: Vec<_> = document.sections.into_iter().map(|section| section.acl).collect();
        assert_eq!(acls, [Some(Value::Null), None]);
    }

    #[test]
    fn content_is_text_or_base64() {
        let content = |text: &str| body::parse::<DocumentBody>(text.as_bytes()).unwrap().under("s", "i").ok().map(|d| d.content);
        assert!(matches!(content(r#"{"content_base64":"aGFs\nbG8="}"#), Some(Content::Bytes(bytes)) if bytes == b"hallo"));
        assert!(matches!(content(r#"{"text":""}"#), Some(Content::Text(text)) if text.is_empty()));
        for wrong in [r#"{"content_base64":"?"}"#, r#"{"text":"a","content_base64":"aGFs"}"#, "{}", r#"{"text":"a","id":"j"}"#] {
            assert!(content(wrong).is_none(), "{wrong}");
        }
    }
}
