//! What can be written: the shapes that ingest hands to the engine, and the checks that come before anything is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::access::Principal;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// The longest source id, in bytes.
pub const MAX_SOURCE_ID_BYTES: usize = 128;
/// The longest document or container id, in bytes.
pub const MAX_DOCUMENT_ID_BYTES: usize = 1024;
/// The most labels of a document.
pub const MAX_LABELS: usize = 64;
/// The most members that one group may have directly.
pub const MAX_GROUP_MEMBERS: usize = 100_000;
/// The longest extracted text of one document, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// One change. Writes of a batch are applied in order and become durable and visible together.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds a document or gives it a new version.
    Put(Box<NewDocument>),
    /// Deletes a document.
    Delete {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
    },
    /// Changes a document's ACL and nothing else.
    SetAcl {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
        /// The ACL as the source gives it; `None` is unknown and withholds.
        acl: Option<Value>,
    },
    /// Gives a container its ACL.
    SetContainer {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
        /// The ACL as the source gives it; `None` is unknown and withholds what inherits from it.
        acl: Option<Value>,
    },
    /// Forgets a container: what names it as its parent is withheld.
    DeleteContainer {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
    },
    /// Makes a group, or replaces its members.
    SetGroup {
        /// The group.
        group: Principal,
        /// Users and groups.
        members: Vec<Principal>,
    },
    /// Adds and removes members.
    ChangeGroup {
        /// The group.
        group: Principal,
        /// Members to add.
        add: Vec<Principal>,
        /// Members to remove.
        remove: Vec<Principal>,
    },
    /// Forgets a group and its memberships.
    DeleteGroup {
        /// The group.
        group: Principal,
    },
    /// Maps a source's own user id to the canonical user, so that its ACLs mean that user; or ends that.
    SetAlias {
        /// The source.
        source: String,
        /// The user as the source's ACLs name them.
        alias: Principal,
        /// The user as callers are named; `None` ends the alias.
        canonical: Option<Principal>,
    },
    /// Sets how long the ACLs of a source hold after they were read. Older ones are stale and withhold.
    SetAclMaxAge {
        /// The source.
        source: String,
        /// Seconds, at least 1; `None` for ever.
        seconds: Option<u32>,
    },
    /// Records that the source was asked and these documents and their ACLs are as stored.
    Verify {
        /// The source.
        source: String,
        /// The documents' ids.
        ids: Vec<String>,
    },
}

/// A document as ingest hands it over: extracted, cut into chunks, with vectors.
#[derive(Clone, Debug, Default)]
pub struct NewDocument {
    /// The source's id.
    pub source: String,
    /// The document's id in its source.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
    /// Where a person opens it.
    pub uri: Option<String>,
    /// The media type of the original.
    pub mime: String,
    /// The extracted text. Spans count its UTF-8 bytes.
    pub text: String,
    /// The source's own version or etag.
    pub source_version: Option<String>,
    /// When the source says it was modified.
    pub modified_at: Option<Timestamp>,
    /// Labels, for guards and filters.
    pub labels: BTreeMap<String, String>,
    /// Labels that a document under this id must carry to be replaced, also one that was deleted; empty for any.
    pub replaces: BTreeMap<String, String>,
    /// The ACL as the source gives it; `None` is unknown and withholds.
    pub acl: Option<Value>,
    /// Parts with an ACL of their own, in the order of the text, disjoint.
    pub sections: Vec<NewSection>,
    /// Passages, in the order of the text.
    pub chunks: Vec<NewChunk>,
}

/// A part of a document with its own ACL, which only narrows the document's.
#[derive(Clone, Debug)]
pub struct NewSection {
    /// Its name.
    pub name: String,
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// The ACL as the source gives it.
    pub acl: Value,
}

/// A passage: the unit of search.
#[derive(Clone, Debug, Default)]
pub struct NewChunk {
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// The page it starts on, from 1.
    pub page: Option<u32>,
    /// The mail part or attachment it stands in.
    pub part: Option<String>,
    /// The vector of its text; `None` leaves it to keyword search.
    pub vector: Option<NewVector>,
}

/// A vector and the key under which it is kept.
#[derive(Clone, Debug)]
pub struct NewVector {
    /// See [`vector_key`].
    pub key: [u8; 32],
    /// The values, of length 1; `None` when the engine said that it has the key.
    pub values: Option<Arc<[f32]>>,
}

/// The key of a text's vector: the same model and text give the same key.
pub fn vector_key(model: &str, text: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(model.len() as u64).to_le_bytes());
    hasher.update(model.as_bytes());
    hasher.update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

/// What a model reads of a passage: its title and last heading where its text does not begin with them, then its text.
pub fn in_context(title: Option<&str>, headings: &[String], text: &str) -> String {
    let mut context = String::new();
    for part in title.into_iter().chain(headings.last().map(String::as_str)) {
        let head = text.get(..text.floor_char_boundary(part.len() + 8)).unwrap_or_default();
        if !context.contains(part) && !head.contains(part) {
            context.push_str(part);
            context.push('\n');
        }
    }
    context + text
}

/// Refuses a source id that is empty, too long or has control characters or slashes.
pub fn check_source_id(id: &str) -> Result<()> {
    let fine = !id.is_empty() && id.len() <= MAX_SOURCE_ID_BYTES && !id.chars().any(|c| c.is_control() || c == '/');
    if fine { Ok(()) } else { Err(Error::invalid("source", format!("1 to {MAX_SOURCE_ID_BYTES} bytes without `/` are allowed"))) }
}

/// Refuses a document or container id that is empty, too long or has control characters.
pub fn check_document_id(id: &str) -> Result<()> {
    let fine = !id.is_empty() && id.len() <= MAX_DOCUMENT_ID_BYTES && !id.chars().any(char::is_control);
    if fine {
        Ok(())
    } else {
        Err(Error::invalid("id", format!("1 to {MAX_DOCUMENT_ID_BYTES} bytes without control characters are allowed")))
    }
}

impl NewDocument {
    /// Refuses what cannot be stored; an ACL is never refused here, it withholds.
    pub(super) fn check(&self, dimensions: usize) -> Result<()> {
        check_source_id(&self.source)?;
        check_document_id(&self.id)?;
        if self.text.len() > MAX_TEXT_BYTES {
            return Err(Error::invalid("text", format!("{} bytes of text, at most {MAX_TEXT_BYTES} are allowed", self.text.len())));
        }
        let long = |(key, value): (&String, &String)| key.is_empty() || key.len() > 128 || value.len() > 1024;
        if self.labels.len() > MAX_LABELS || self.labels.iter().any(long) {
            return Err(Error::invalid(
                "labels",
                format!("at most {MAX_LABELS} labels, keys up to 128 and values up to 1024 bytes"),
            ));
        }
        let text = |start: usize, end: usize| start < end && self.text.get(start..end).is_some();
        let mut covered = 0;
        for section in &self.sections {
            if section.start < covered || !text(section.start, section.end) {
                return Err(Error::invalid(
                    "sections",
                    format!("`{}` is not a span of the text after the one before", section.name),
                ));
            }
            covered = section.end;
        }
        let mut covered = 0;
        for chunk in &self.chunks {
            if chunk.start < covered || !text(chunk.start, chunk.end) {
                return Err(Error::invalid("chunks", format!("{}..{} is not a span after the one before", chunk.start, chunk.end)));
            }
            covered = chunk.end;
            let straddles = |section: &NewSection| {
                chunk.start < section.end && section.start < chunk.end && (chunk.start < section.start || section.end < chunk.end)
            };
            if self.sections.iter().any(straddles) {
                return Err(Error::invalid("chunks", format!("{}..{} straddles the border of a section", chunk.start, chunk.end)));
            }
            if let Some(values) = chunk.vector.as_ref().and_then(|vector| vector.values.as_ref()) {
                crate::vector::normalized(values, dimensions)?;
            }
        }
        Ok(())
    }

    /// The hash of everything that makes a version: two puts with equal content are one version.
    pub(super) fn content(&self) -> [u8; 32] {
        let sections: Vec<u8> = (0..self.sections.len()).flat_map(|at| self.section_hash(at)).collect();
        content_hash(&self.main_hash(), &sections)
    }

    /// The hash of title, media type and the text outside sections.
    pub(super) fn main_hash(&self) -> [u8; 32] {
        let sections = self.sections.iter().map(|section| (section.start, section.end));
        main_hash(self.title.as_deref(), &self.mime, &self.text, sections)
    }

    /// The hash of what a section adds to the text outside sections.
    pub(super) fn section_hash(&self, at: usize) -> [u8; 32] {
        let (before, from) = self.sections.split_at(at.min(self.sections.len()));
        let before: usize = before.iter().map(|section| section.end - section.start).sum();
        from.first().map_or([0; 32], |section| {
            let text = self.text.get(section.start..section.end).unwrap_or_default();
            section_hash(&section.name, section.start - before, text)
        })
    }

    /// The hash of how the content was cut, and of the vectors of the pieces.
    pub(super) fn passages(&self) -> [u8; 32] {
        let fields = self.chunks.iter().flat_map(|chunk| {
            [
                [chunk.start.to_le_bytes(), chunk.end.to_le_bytes()].concat(),
                chunk.vector.as_ref().map_or_else(Vec::new, |vector| vector.key.to_vec()),
                format!("{:?}", (&chunk.headings, chunk.page, &chunk.part)).into_bytes(),
            ]
        });
        let fields: Vec<Vec<u8>> = fields.collect();
        hash_of(fields.iter().map(Vec::as_slice))
    }

    pub(super) fn section_of(&self, chunk: &NewChunk) -> Option<usize> {
        self.sections.iter().position(|section| section.start <= chunk.start && chunk.end <= section.end)
    }
}

/// The hash of a version's content, from those of its parts.
pub(crate) fn content_hash(main: &[u8; 32], sections: &[u8]) -> [u8; 32] {
    hash_of([main.as_slice(), sections].into_iter())
}

/// The hash of a version's title, media type and text outside sections.
pub(crate) fn main_hash(title: Option<&str>, mime: &str, text: &str, sections: impl Iterator<Item = (usize, usize)>) -> [u8; 32] {
    let mut main = blake3::Hasher::new();
    let mut from = 0;
    for (start, end) in sections {
        main.update(text.get(from..start).unwrap_or_default().as_bytes());
        from = end;
    }
    main.update(text.get(from..).unwrap_or_default().as_bytes());
    let title = title.map_or_else(Vec::new, |title| [b"t", title.as_bytes()].concat());
    hash_of([title.as_slice(), mime.as_bytes(), main.finalize().as_bytes()].into_iter())
}

/// The hash of a section: its name, where it stands in the text outside sections, and its text.
pub(crate) fn section_hash(name: &str, at: usize, text: &str) -> [u8; 32] {
    hash_of([name.as_bytes(), &at.to_le_bytes(), text.as_bytes()].into_iter())
}

fn hash_of<'a>(fields: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    *hasher.finalize().as_bytes()
}
