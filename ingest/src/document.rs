//! One document on its way in: extracted, cut into chunks, embedded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use sightline_index::{
    Engine, NewChunk, NewDocument, NewSection, NewVector, Query, Receipt, Timestamp, Write, in_context, vector_key,
};

use crate::chunk::{ChunkLimits, SectionSpan, chunk, section_under_heading};
use crate::embed::{EmbedError, Embedder};
use crate::extract::{ExtractError, ExtractLimits, Extracted, Mark, Sandbox, extract};

/// A document as a source or an app hands it over.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// The source's id.
    pub source: String,
    /// The document's id in its source.
    pub id: String,
    /// Its title; where there is none, the one that the content gives itself is taken.
    pub title: Option<String>,
    /// Where a person opens it.
    pub uri: Option<String>,
    /// The media type of the content.
    pub mime: String,
    /// What it says.
    pub content: Content,
    /// The ACL as the source gives it; `None` is unknown and withholds.
    pub acl: Option<Value>,
    /// Labels, for guards and filters.
    pub labels: BTreeMap<String, String>,
    /// Labels that a document under this id must carry to be replaced.
    pub replaces: BTreeMap<String, String>,
    /// Parts with an ACL of their own.
    pub sections: Vec<IncomingSection>,
    /// The source's own version or etag.
    pub source_version: Option<String>,
    /// When the source says it was modified.
    pub modified_at: Option<Timestamp>,
}

/// What a document says.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text in the format that the media type names.
    Text(String),
    /// A file in the format that the media type names.
    Bytes(Vec<u8>),
}

impl Default for Content {
    fn default() -> Self {
        Content::Text(String::new())
    }
}

/// A part of a document with its own, narrower ACL.
#[derive(Clone, Debug)]
pub struct IncomingSection {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: SectionPlace,
    /// Its ACL; absent, the document's alone holds.
    pub acl: Option<Value>,
}

/// Where a section stands.
#[derive(Clone, Debug)]
pub enum SectionPlace {
    /// Its text comes after the document's.
    Text(String),
    /// It is what stands under the heading of its name.
    Heading,
}

/// Why a document was not ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Its content could not be read.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// It could not be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// It could not be stored.
    #[error(transparent)]
    Index(#[from] sightline_index::Error),
    /// A section names a heading that the document does not have, or has more than once.
    #[error("section `{name}` must be named like exactly one heading of the document; correct the name, or the headings")]
    NoHeading {
        /// The section's name.
        name: String,
    },
    /// A folder cannot be read.
    #[error("{path}: {source}")]
    Folder {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A setting or a file of settings is not understood.
    #[error("{what}: {detail}")]
    Settings {
        /// The file or setting.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The source seems to have lost most of its documents.
    #[error(
        "{source_id}: {missing} of {known} documents are gone; nothing was deleted (allow it with --allow-mass-delete if it is right)"
    )]
    MassDelete {
        /// The source.
        source_id: String,
        /// Documents that the listing no longer has.
        missing: usize,
        /// Documents that are stored.
        known: usize,
    },
}

impl IngestError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            IngestError::Extract(error) => error.code(),
            IngestError::Embed(_) => "embedding_failed",
            IngestError::Index(_) => "not_stored",
            IngestError::NoHeading { .. } => "no_heading",
            IngestError::Folder { .. } => "unreadable",
            IngestError::Settings { .. } => "settings",
            IngestError::MassDelete { .. } => "mass_delete",
        }
    }
}

/// The bounds of ingest; each is a setting.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of extraction.
    pub extract: ExtractLimits,
    /// Of chunks.
    pub chunk: ChunkLimits,
}

/// The way from a document to the engine.
#[derive(Clone, Debug)]
pub struct Pipeline {
    engine: Arc<Engine>,
    embedder: Option<Arc<Embedder>>,
    limits: Limits,
    sandbox: Sandbox,
}

impl Pipeline {
    /// A way into `engine`. Without an embedder, documents are found by keywords alone.
    pub fn new(engine: Arc<Engine>, embedder: Option<Arc<Embedder>>, limits: Limits, sandbox: Sandbox) -> Pipeline {
        Pipeline { engine, embedder, limits, sandbox }
    }

    /// The engine that the way leads to.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The bounds of ingest.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many documents are best prepared side by side.
    pub fn width(&self) -> usize {
        self.embedder.as_ref().map_or(1, |embedder| embedder.instances())
    }

    /// Takes one document in; answers when it is durable and searchable.
    pub fn put(&self, incoming: Incoming, now: Timestamp) -> Result<Receipt, IngestError> {
        let (document, _) = self.prepare(incoming)?;
        let receipt = self.engine.write(vec![Write::Put(Box::new(document))], now)?.pop();
        receipt.ok_or(IngestError::Index(sightline_index::Error::NotFound))
    }

    /// Gives a query its vector, and how much that is worth; without an embedder, or when it fails, none.
    pub fn embed_query(&self, query: &mut Query) {
        let Some(embedder) = &self.embedder else { return };
        match embedder.embed(&query.text) {
            Ok(vector) => {
                query.vector = Some(vector);
                query.fluency = Some(embedder.fluency(&query.text));
            }
            Err(error) => tracing::error!(%error, "a query was not embedded"),
        }
    }

    /// Extracts, cuts and embeds a document. Also says how many vectors had to be made.
    pub fn prepare(&self, incoming: Incoming) -> Result<(NewDocument, usize), IngestError> {
        let bytes = match incoming.content {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(bytes) => bytes,
        };
        let appended =
            incoming.sections.iter().any(|section| matches!(&section.place, SectionPlace::Text(text) if !text.trim().is_empty()));
        let Extracted { title, mut text, marks } = match extract(&bytes, &incoming.mime, &self.limits.extract, &self.sandbox) {
            // A document may consist of sections alone.
            Err(ExtractError::Empty) if appended => Extracted::default(),
            extracted => extracted?,
        };
        drop(bytes);
        let title = incoming.title.or(title);
        let sections = place_sections(incoming.sections, &mut text, &marks)?;
        let spans: Vec<SectionSpan> =
            sections.iter().map(|(name, span, _)| SectionSpan { name: name.clone(), start: span.start, end: span.end }).collect();
        let mut chunks: Vec<NewChunk> = chunk(&text, &marks, &spans, &self.limits.chunk)
            .into_iter()
            .map(|chunk| NewChunk {
                start: chunk.start,
                end: chunk.end,
                headings: chunk.headings,
                page: chunk.page,
                part: chunk.part,
                vector: None,
            })
            .collect();
        let made = self.embed(title.as_deref(), &text, &mut chunks)?;
        let sections = sections
            .into_iter()
            .filter_map(|(name, span, acl)| Some(NewSection { name, start: span.start, end: span.end, acl: acl? }))
            .collect();
        let document = NewDocument {
            source: incoming.source,
            id: incoming.id,
            title,
            uri: incoming.uri,
            mime: incoming.mime,
            text,
            source_version: incoming.source_version,
            modified_at: incoming.modified_at,
            labels: incoming.labels,
            replaces: incoming.replaces,
            acl: incoming.acl,
            sections,
            chunks,
        };
        self.engine.check(&document)?;
        Ok((document, made))
    }

    /// Gives every chunk its vector, making only those that the catalog does not have.
    fn embed(&self, title: Option<&str>, text: &str, chunks: &mut [NewChunk]) -> Result<usize, IngestError> {
        let Some(embedder) = &self.embedder else { return Ok(0) };
        let texts: Vec<String> = chunks
            .iter()
            .map(|chunk| in_context(title, &chunk.headings, text.get(chunk.start..chunk.end).unwrap_or_default()))
            .collect();
        let keys: Vec<[u8; 32]> = texts.iter().map(|text| vector_key(&embedder.model().name, text)).collect();
        let known = self.engine.known_vectors(&keys)?;
        let mut made = 0;
        for (((chunk, text), key), known) in chunks.iter_mut().zip(&texts).zip(keys).zip(known) {
            let values = if known {
                None
            } else {
                made += 1;
                Some(embedder.embed(text)?.into())
            };
            chunk.vector = Some(NewVector { key, values });
        }
        Ok(made)
    }
}

type Placed = (String, Range<usize>, Option<Value>);

/// The sections by their spans in the text, in its order; texts of their own are appended to it.
fn place_sections(sections: Vec<IncomingSection>, text: &mut String, marks: &[Mark]) -> Result<Vec<Placed>, IngestError> {
    let mut placed = Vec::with_capacity(sections.len());
    for section in sections {
        let span = match section.place {
            SectionPlace::Heading => {
                let span = section_under_heading(text, marks, &section.name);
                span.ok_or_else(|| IngestError::NoHeading { name: section.name.clone() })?
            }
            SectionPlace::Text(own) if own.trim().is_empty() => continue,
            SectionPlace::Text(own) => {
                // The gap belongs to the section, so that where the section is hidden nothing of it is left.
                let start = text.len();
                text.push_str("\n\n");
                text.push_str(&own);
                (start, text.len())
            }
        };
        placed.push((section.name, span.0..span.1, section.acl));
    }
    placed.sort_by_key(|(_, span, _)| span.start);
    Ok(placed)
}
