//! A version of a document as one caller may read it.
//!
//! A caller's text is the version's text without the sections that they may not read; spans, hashes and lengths are of
//! that text. Versions are counted per caller too: neighbouring versions in which nothing changed that they may read are
//! one to them, a *run*. So neither a number, a time nor a token shows that something hidden was edited.

use std::sync::Arc;

use rusqlite::Connection;

use super::Engine;
use crate::access::Permit;
use crate::catalog::{ChunkRecord, DocumentRecord, SectionRecord, VersionRecord, sources};
use crate::citation::{Citation, Freshness, Location, Passage, Span};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// Which version to read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    Newest,
    /// By the caller's own count.
    Numbered(u32),
    /// By the catalog's count.
    Stored(u32),
}

/// Versions that are one to a caller.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The caller's number, from 1.
    number: u32,
    first: u32,
    last: u32,
    /// When the first came in.
    since: Timestamp,
}

/// A version of a document as one caller may read it.
pub(crate) struct Reading {
    pub(crate) document: DocumentRecord,
    /// The last of its run.
    pub(crate) version: VersionRecord,
    pub(crate) source: String,
    /// The text that the caller may read.
    pub(crate) text: Arc<str>,
    run: Run,
    /// In the order of the text.
    parts: Vec<Part>,
    /// The sections of the other versions that its tokens may name: of the run's first, and of the one asked for.
    others: Vec<Part>,
}

/// A section, and whether the caller may read it.
struct Part {
    section: SectionRecord,
    visible: bool,
}

/// A place in the text outside sections (`section` is `None`) or in that of one section; hidden text does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The ordinal of the section.
    pub(crate) section: Option<u32>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Reading {
    /// Reads a version of a document that the permit admits.
    pub(crate) fn open(db: &Connection, permit: &Permit, document: DocumentRecord, wanted: Wanted) -> Result<Option<Reading>> {
        if !permit.admits(document.class) {
            return Ok(None);
        }
        let sections = SectionRecord::of(db, document.num, None)?;
        let parts: Vec<Part> =
            sections.into_iter().map(|section| Part { visible: permit.admits(section.class), section }).collect();
        let Some(run) = find_run(db, &document, &parts, wanted)? else { return Ok(None) };
        let version = VersionRecord::get(db, document.num, run.last)?;
        let version = version.ok_or_else(|| Error::corrupt("document", "a version is missing"))?;
        let (parts, others): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.section.version == run.last);
        let source = sources::id(db, document.source)?.ok_or_else(|| Error::corrupt("document", "its source is missing"))?;
        let text = visible_text(&version.text, &parts);
        Ok(Some(Reading { document, version, source, text, run, parts, others }))
    }

    /// The caller's number of the version.
    pub(crate) fn number(&self) -> u32 {
        self.run.number
    }

    /// When the caller's version came in.
    pub(crate) fn since(&self) -> Timestamp {
        self.run.since
    }

    /// blake3 of the text that the caller may read, in hex.
    pub(crate) fn hash(&self) -> String {
        match self.parts.iter().all(|part| part.visible) {
            true => blake3::Hash::from(self.version.text_hash).to_string(),
            false => blake3::hash(self.text.as_bytes()).to_string(),
        }
    }

    pub(crate) fn freshness(&self) -> Freshness {
        match self.document.deleted_at {
            Some(_) => Freshness::Deleted,
            None if self.run.last == self.document.version => Freshness::Current,
            None => Freshness::Superseded,
        }
    }

    /// The sections that the caller may read: name and span in their text.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, Span)> {
        self.parts.iter().filter(|part| part.visible).filter_map(|part| {
            let place = Place { section: Some(part.section.ordinal), start: 0, end: part.len() };
            Some((part.section.name.as_str(), self.span(place)?))
        })
    }

    /// The place of a passage, from its bytes in the version's whole text.
    pub(crate) fn place(&self, start: usize, end: usize) -> Place {
        let inside = self.parts.iter().find(|part| part.section.start <= start && end <= part.section.end);
        match inside {
            Some(part) => {
                Place { section: Some(part.section.ordinal), start: start - part.section.start, end: end - part.section.start }
            }
            None => {
                let before: usize = self.parts.iter().filter(|part| part.section.end <= start).map(Part::len).sum();
                let inside: usize = self.parts.iter().filter(|part| part.section.end <= end).map(Part::len).sum();
                Place { section: None, start: start - before, end: end - inside }
            }
        }
    }

    /// The bytes of a place in the version's whole text.
    pub(crate) fn bytes(&self, place: Place) -> Option<Span> {
        locate(&self.parts, place, |_| true)
    }

    /// The bytes of a place in the caller's text; `None` in a section that they may not read.
    fn span(&self, place: Place) -> Option<Span> {
        if place.section.is_some_and(|ordinal| !self.parts.iter().any(|part| part.section.ordinal == ordinal && part.visible)) {
            return None;
        }
        locate(&self.parts, place, |part| part.visible)
    }

    /// The place that a token names, in this version; `None` in a section that the caller may not read.
    pub(crate) fn place_of(&self, passage: &Passage) -> Option<Place> {
        let section = match passage.section {
            None => None,
            Some(ordinal) => {
                let rank = rank_of(self.sections_of(passage.version), ordinal)?;
                Some(nth_visible(self.parts.iter(), rank)?)
            }
        };
        Some(Place { section, start: passage.start as usize, end: passage.end as usize })
    }

    /// The section that stands for one of another reading: that of the same name, of several the one in the same order.
    /// `Some(None)` is the text outside sections.
    pub(crate) fn counterpart(&self, other: &Reading, section: Option<u32>) -> Option<Option<u32>> {
        let Some(ordinal) = section else { return Some(None) };
        let named = |reading: &Reading, name: &str| -> Vec<u32> {
            let visible = reading.parts.iter().filter(|part| part.visible && part.section.name == name);
            visible.map(|part| part.section.ordinal).collect()
        };
        let name = &other.parts.iter().find(|part| part.section.ordinal == ordinal)?.section.name;
        let rank = named(other, name).into_iter().position(|found| found == ordinal)?;
        named(self, name).get(rank).map(|found| Some(*found))
    }

    /// The text that places with this section count in: that of the section, or that outside sections.
    pub(crate) fn part(&self, section: Option<u32>) -> String {
        let text = |from: usize, to: usize| self.version.text.get(from..to).unwrap_or_default();
        if let Some(ordinal) = section {
            let part = self.parts.iter().find(|part| part.section.ordinal == ordinal);
            return part.map(|part| text(part.section.start, part.section.end).to_owned()).unwrap_or_default();
        }
        let mut outside = String::new();
        let mut from = 0;
        for part in &self.parts {
            outside.push_str(text(from, part.section.start));
            from = part.section.end;
        }
        outside + text(from, self.version.text.len())
    }

    /// What a token of this place says: the same in every version of the run.
    fn passage(&self, place: Place) -> Option<Passage> {
        let section = match place.section {
            None => None,
            Some(ordinal) => {
                let rank = rank_of(self.parts.iter(), ordinal)?;
                Some(nth_visible(self.sections_of(self.run.first), rank)?)
            }
        };
        let (start, end) = (place.start as u64, place.end as u64);
        Some(Passage { doc: self.document.num, version: self.run.first, section, start, end })
    }

    fn sections_of(&self, version: u32) -> impl Iterator<Item = &Part> {
        self.parts.iter().chain(&self.others).filter(move |part| part.section.version == version)
    }

    /// The text of a passage; `None` in a section that the caller may not read.
    pub(crate) fn text_at(&self, place: Place) -> Option<&str> {
        let span = self.span(place)?;
        self.text.get(span.start..span.end)
    }

    /// The text and citation of a passage. `chunk` is where it stands, when that is known.
    pub(crate) fn cite(&self, engine: &Engine, place: Place, chunk: Option<&ChunkRecord>) -> Option<(&str, Citation)> {
        let span = self.span(place)?;
        let text = self.text_at(place)?;
        let section = self.parts.iter().find(|part| Some(part.section.ordinal) == place.section);
        let citation = Citation {
            token: engine.sealer.seal(self.passage(place)?),
            source: self.source.clone(),
            document: self.document.id.clone(),
            title: self.version.title.clone(),
            uri: self.document.uri.clone(),
            version: self.run.number,
            source_version: self.version.source_version.clone(),
            span,
            location: Location {
                headings: chunk.map(|chunk| chunk.headings.clone()).unwrap_or_default(),
                page: chunk.and_then(|chunk| chunk.page),
                section: section.map(|part| part.section.name.clone()),
                part: chunk.and_then(|chunk| chunk.part.clone()),
            },
            text_hash: blake3::hash(text.as_bytes()).to_string(),
            document_hash: self.hash(),
            modified_at: self.version.modified_at,
            ingested_at: self.run.since,
            verified_at: self.document.verified_at,
            freshness: self.freshness(),
        };
        Some((text, citation))
    }
}

impl Part {
    fn len(&self) -> usize {
        self.section.end - self.section.start
    }
}

/// The place of a section among those that the caller may read.
fn rank_of<'a>(sections: impl Iterator<Item = &'a Part>, ordinal: u32) -> Option<usize> {
    sections.filter(|part| part.visible).position(|part| part.section.ordinal == ordinal)
}

fn nth_visible<'a>(sections: impl Iterator<Item = &'a Part>, rank: usize) -> Option<u32> {
    sections.filter(|part| part.visible).nth(rank).map(|part| part.section.ordinal)
}

/// The bytes of a place in the text that consists of the main text and the sections that count.
fn locate(parts: &[Part], place: Place, counts: impl Fn(&Part) -> bool) -> Option<Span> {
    let (mut sections, mut counted) = (0, 0);
    let (mut start, mut end) = (place.start, place.end);
    for part in parts {
        // Where the section begins, in the text outside sections.
        let at = part.section.start - sections;
        match place.section {
            Some(ordinal) if ordinal == part.section.ordinal => {
                let inside = place.start <= place.end && place.end <= part.len();
                return inside.then(|| Span { start: at + counted + place.start, end: at + counted + place.end });
            }
            None if counts(part) => {
                start += if at <= place.start { part.len() } else { 0 };
                end += if at < place.end { part.len() } else { 0 };
            }
            _ => {}
        }
        sections += part.len();
        counted += if counts(part) { part.len() } else { 0 };
    }
    place.section.is_none().then_some(Span { start, end })
}

fn visible_text(text: &Arc<str>, parts: &[Part]) -> Arc<str> {
    if parts.iter().all(|part| part.visible) {
        return text.clone();
    }
    let mut visible = String::with_capacity(text.len());
    let mut from = 0;
    for part in parts.iter().filter(|part| !part.visible) {
        visible.push_str(text.get(from..part.section.start).unwrap_or_default());
        from = part.section.end;
    }
    visible.push_str(text.get(from..).unwrap_or_default());
    visible.into()
}

/// The run of the wanted version. Where no section of any version is hidden, each version is a run of its own.
fn find_run(db: &Connection, document: &DocumentRecord, parts: &[Part], wanted: Wanted) -> Result<Option<Run>> {
    let open = parts.iter().all(|part| part.visible);
    if open {
        let number = match wanted {
            Wanted::Newest => document.version,
            Wanted::Numbered(number) | Wanted::Stored(number) => number,
        };
        let since = VersionRecord::came_in(db, document.num, number)?;
        return Ok(since.map(|since| Run { number, first: number, last: number, since }));
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut before: Option<([u8; 32], Vec<[u8; 32]>)> = None;
    VersionRecord::each_of(db, document.num, |version, born, main, since| {
        let of = parts.iter().filter(|part| part.section.version == version && part.visible);
        let seen = Some((main, of.map(|part| part.section.hash).collect()));
        match runs.last_mut() {
            Some(run) if !born && seen == before => run.last = version,
            _ => runs.push(Run { number: runs.len() as u32 + 1, first: version, last: version, since }),
        }
        before = seen;
    })?;
    Ok(match wanted {
        Wanted::Newest => runs.last().copied(),
        Wanted::Numbered(number) => runs.into_iter().find(|run| run.number == number),
        Wanted::Stored(version) => runs.into_iter().find(|run| run.first <= version && version <= run.last),
    })
}
