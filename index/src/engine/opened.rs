//! A citation that is opened: the passage as it was cited, and where it stands now.
//!
//! Where it stands now is looked for in what the caller may read alone, in the text outside sections or in the section of the
//! same name; so nothing hidden has a part in it.

use rusqlite::Connection;
use serde::Serialize;

use super::reading::{Place, Reading, Wanted};
use super::{Engine, View};
use crate::access::{Caller, Permit};
use crate::align::align;
use crate::catalog::{ChunkRecord, DocumentRecord};
use crate::citation::{Citation, Freshness, Passage};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// A citation that was opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Opened {
    /// The passage as it was cited; not shown of a deleted document.
    pub text: Option<String>,
    /// Where it comes from.
    pub citation: Citation,
    /// Of a superseded passage, what has become of it in the newest version, when that can be told.
    pub newer: Option<Newer>,
}

/// What has become of a passage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Newer {
    /// The passage in the newest version.
    pub text: String,
    /// Its citation, which is current.
    pub citation: Citation,
}

impl Engine {
    /// Opens a citation: the passage, whether it is current, superseded or deleted, and what has become of it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a token that was not sealed here, and for what the caller may not read.
    pub fn citation(&self, caller: &Caller, token: &str, now: Timestamp) -> Result<Opened> {
        let passage = self.sealer.open(token).ok_or(Error::NotFound)?;
        self.read_permitted(caller, now, |db, permit, _| self.open_passage(db, permit, &passage))
    }

    /// Opens several citations at one moment, and says at which epoch. What is not found is `None`.
    pub(crate) fn citations(&self, caller: &Caller, tokens: &[&str], now: Timestamp) -> Result<(u64, Vec<Option<Opened>>)> {
        let passages: Vec<Option<Passage>> = tokens.iter().map(|token| self.sealer.open(token)).collect();
        self.read_permitted(caller, now, |db, permit, view: &View| {
            let open = |passage: &Option<Passage>| match passage.map(|passage| self.open_passage(db, permit, &passage)) {
                None | Some(Err(Error::NotFound)) => Ok(None),
                Some(opened) => opened.map(Some),
            };
            Ok((view.epoch, passages.iter().map(open).collect::<Result<_>>()?))
        })
    }

    fn open_passage(&self, db: &Connection, permit: &Permit, passage: &Passage) -> Result<Opened> {
        let document = DocumentRecord::by_num(db, passage.doc)?.ok_or(Error::NotFound)?;
        let reading = Reading::open(db, permit, document, Wanted::Stored(passage.version))?.ok_or(Error::NotFound)?;
        let place = reading.place_of(passage).ok_or(Error::NotFound)?;
        let freshness = reading.freshness();
        let chunk = if freshness == Freshness::Current { chunk_at(db, &reading, place)? } else { None };
        let (text, citation) = reading.cite(self, place, chunk.as_ref()).ok_or(Error::NotFound)?;
        let newer = if freshness == Freshness::Superseded { self.newer(db, permit, &reading, place)? } else { None };
        Ok(Opened { text: (freshness != Freshness::Deleted).then(|| text.to_owned()), citation, newer })
    }

    fn newer(&self, db: &Connection, permit: &Permit, old: &Reading, place: Place) -> Result<Option<Newer>> {
        let Some(new) = Reading::open(db, permit, old.document.clone(), Wanted::Newest)? else { return Ok(None) };
        let Some(section) = new.counterpart(old, place.section) else { return Ok(None) };
        let Some(span) = align(&old.part(place.section), place.start..place.end, &new.part(section)) else { return Ok(None) };
        let place = Place { section, start: span.start, end: span.end };
        let cited = new.cite(self, place, chunk_at(db, &new, place)?.as_ref());
        Ok(cited.map(|(text, citation)| Newer { text: text.to_owned(), citation }))
    }
}

/// The chunk of the newest version in which a place begins.
fn chunk_at(db: &Connection, reading: &Reading, place: Place) -> Result<Option<ChunkRecord>> {
    let Some(start) = reading.bytes(place).map(|span| span.start) else { return Ok(None) };
    Ok(ChunkRecord::of(db, reading.document.num)?.into_iter().find(|chunk| chunk.start <= start && start < chunk.end))
}
