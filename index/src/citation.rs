//! Citations: minted for every hit, sealed so that a token can be neither guessed nor made, and resolved with the
//! permission checked anew.
//!
//! A token is AES-256-GCM-SIV (RFC 8452) over document, version, section and span, under a key derived from the catalog's secret.
//! The mode is deterministic: the same passage has the same token, and a token tells nothing but that.

use aes_gcm_siv::aead::{Aead, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::timestamp::Timestamp;

const FORMAT: u8 = 2;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) doc: i64,
    pub(crate) version: u32,
    /// The ordinal of the section that it stands in.
    pub(crate) section: Option<u32>,
    /// Bytes of the section's text, else of the text outside sections.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Seals and opens tokens.
pub(crate) struct Sealer {
    cipher: Aes256GcmSiv,
}

impl Sealer {
    pub(crate) fn new(secret: &[u8; 32]) -> Sealer {
        let key = blake3::derive_key("sightline citation tokens", secret);
        Sealer { cipher: Aes256GcmSiv::new(&key.into()) }
    }

    /// The token of a passage.
    pub(crate) fn seal(&self, passage: Passage) -> String {
        let mut plain = vec![FORMAT];
        plain.extend(passage.doc.to_le_bytes());
        plain.extend(passage.version.to_le_bytes());
        plain.extend(passage.section.map_or(0, |ordinal| ordinal + 1).to_le_bytes());
        plain.extend(passage.start.to_le_bytes());
        plain.extend(passage.end.to_le_bytes());
        let sealed = self.cipher.encrypt(&Nonce::default(), plain.as_slice());
        URL_SAFE_NO_PAD.encode(sealed.expect("INVARIANT: encryption of a short text cannot fail"))
    }

    /// The passage of a token that this engine sealed.
    pub(crate) fn open(&self, token: &str) -> Option<Passage> {
        if token.len() > 128 {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let plain = self.cipher.decrypt(&Nonce::default(), sealed.as_slice()).ok()?;
        let (&[FORMAT], rest) = plain.split_first_chunk::<1>()? else { return None };
        let (doc, rest) = rest.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (section, rest) = rest.split_first_chunk::<4>()?;
        let (start, rest) = rest.split_first_chunk::<8>()?;
        let end = rest.first_chunk::<8>()?;
        Some(Passage {
            doc: i64::from_le_bytes(*doc),
            version: u32::from_le_bytes(*version),
            section: u32::from_le_bytes(*section).checked_sub(1),
            start: u64::from_le_bytes(*start),
            end: u64::from_le_bytes(*end),
        })
    }
}

/// Where a passage comes from, so that it can be opened and checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Citation {
    /// Opens the passage again.
    pub token: String,
    /// The source's id.
    pub source: String,
    /// The document's id in its source.
    pub document: String,
    /// The title of the version.
    pub title: Option<String>,
    /// Where a person opens the document.
    pub uri: Option<String>,
    /// The document's version, counted over what the caller may read.
    pub version: u32,
    /// The source's own version or etag.
    pub source_version: Option<String>,
    /// The passage, in bytes of the extracted text that the caller may read.
    pub span: Span,
    /// The place for a person.
    pub location: Location,
    /// blake3 of the passage, in hex.
    pub text_hash: String,
    /// blake3 of the extracted text that the caller may read, in hex.
    pub document_hash: String,
    /// When the source says the document was modified.
    pub modified_at: Option<Timestamp>,
    /// When this version came in.
    pub ingested_at: Timestamp,
    /// When the source was last seen to have it so.
    pub verified_at: Timestamp,
    /// Whether this is what the source says now.
    pub freshness: Freshness,
}

/// Bytes, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// The place of a passage for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// The page it starts on.
    pub page: Option<u32>,
    /// The section with its own ACL that it stands in.
    pub section: Option<String>,
    /// The mail part or attachment it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// Whether a passage is what its source says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// It stands in the newest version.
    Current,
    /// The document has a newer version.
    Superseded,
    /// The document was deleted.
    Deleted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_open_only_where_they_were_sealed() {
        let sealer = Sealer::new(&[7; 32]);
        let passage = Passage { doc: 12, version: 3, section: Some(0), start: 100, end: 220 };
        let token = sealer.seal(passage);
        assert_eq!(sealer.open(&token), Some(passage));
        assert_eq!(Sealer::new(&[8; 32]).open(&token), None);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(sealer.open(&String::from_utf8(forged).unwrap()), Some(passage));
        }
        assert_eq!(sealer.open(""), None);
    }
}
