//! A deep check: is every row of the catalog what was written, and is every index what the catalog says?
//!
//! It reads everything, one moment of it, and changes nothing. What is wrong with an index is mended by deleting its folder;
//! what is wrong with the catalog needs a backup.

use std::sync::Arc;

use rusqlite::Connection;

use super::Engine;
use super::open::each_row;
use super::state::{Count, View};
use crate::access::DEAD;
use crate::catalog::{ChunkRecord, VersionRecord, documents, meta, sources, sums};
use crate::error::{Error, Result};
use crate::keyword::{self, Fingerprints};
use crate::rows::Rows;

/// Chunks that are indexed anew at a time.
const BATCH_CHUNKS: usize = 4_096;
/// At most so many lines are reported of each index.
const MAX_LINES: usize = 20;

impl Engine {
    /// What is wrong with the catalog's pages, in short; empty when nothing.
    pub fn check_catalog(&self) -> Result<Vec<String>> {
        self.catalog.read(|db| pragma(db, "quick_check"))
    }

    /// Everything that is wrong with the catalog and the indexes, a line each; empty when nothing. Reads every byte.
    pub fn check_deep(&self) -> Result<Vec<String>> {
        let mut db = self.catalog.connect()?;
        let tx = db.transaction()?;
        let (seq, view) = {
            // Of one moment: nothing is between commit and publication while writes wait.
            let _no_write_under_way = self.hold_writes();
            (meta::<i64>(&tx, "seq")?.unwrap_or_default().cast_unsigned(), self.state.read().view.clone())
        };
        if seq != view.seq {
            return Err(Error::invalid(
                "data",
                "a server wrote to it while the check began; run it again, or on a restored backup",
            ));
        }
        let mut wrong = pragma(&tx, "integrity_check")?;
        wrong.extend(sums::verify(&tx)?);
        wrong.extend(check_indexes(&tx, &view)?);
        Ok(wrong)
    }
}

fn pragma(db: &Connection, check: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare(&format!("PRAGMA {check}(100)"))?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").map(|line| format!("catalog: {line}")).collect())
}

/// Compares the indexes with the live chunks of the catalog.
fn check_indexes(db: &Connection, view: &Arc<View>) -> Result<Vec<String>> {
    let (stored, mut wrong) = view.keyword.verify()?;
    let (mut kept, mut counts) = (0, Rows::<Count>::default());
    each_row(db, &sources::names(db)?, 0..u32::MAX, &mut |(chunk, facts)| {
        if (view.classes.get(chunk.num), view.facts.get(chunk.num)) != (chunk.class, facts) {
            kept += 1;
        }
        let count = counts.get_mut(chunk.class);
        count.chunks += 1;
        count.tokens += u64::from(chunk.tokens);
    })?;
    let miscounted = (0..counts.end().max(view.counts.end())).filter(|class| counts.get(*class) != view.counts.get(*class)).count();
    if miscounted > 0 {
        wrong.push(format!("the chunks of {miscounted} classes are not counted as the catalog says"));
    }
    if kept > 0 {
        wrong.push(format!("{kept} chunks are kept in memory otherwise than the catalog says"));
    }
    wrong.extend(view.vectors.verify());
    let mut check = Check { view, stored, batch: Vec::new(), keyword: Vec::new(), vectors: Vec::new(), live: 0 };
    let mut last: Option<(i64, VersionRecord)> = None;
    ChunkRecord::since(db, 0, |chunk| {
        if last.as_ref().is_none_or(|(doc, _)| *doc != chunk.doc) {
            let version = VersionRecord::get(db, chunk.doc, chunk.version)?;
            last = Some((chunk.doc, version.ok_or_else(|| Error::corrupt("chunk", "its version is missing"))?));
        }
        let Some((_, version)) = &last else { return Ok(()) };
        check.chunk(db, &chunk, version)
    })?;
    check.compare()?;
    let live = (0..view.end).filter(|chunk| view.classes.get(*chunk) != DEAD).count();
    if live != check.live {
        wrong.push(format!("{live} chunks are searched, the catalog has {}", check.live));
    }
    wrong.extend(check.keyword.into_iter().chain(check.vectors));
    Ok(wrong)
}

struct Check<'a> {
    view: &'a View,
    stored: Fingerprints,
    batch: Vec<(u32, String)>,
    keyword: Vec<String>,
    vectors: Vec<String>,
    live: usize,
}

impl Check<'_> {
    fn chunk(&mut self, db: &Connection, chunk: &ChunkRecord, version: &VersionRecord) -> Result<()> {
        self.live += 1;
        let text = version.text.get(chunk.start..chunk.end).unwrap_or_default();
        let indexed = keyword::indexed_terms(version.title.as_deref(), &chunk.headings, text, chunk.language);
        self.batch.push((chunk.num, indexed.terms));
        if self.batch.len() == BATCH_CHUNKS {
            self.compare()?;
        }
        if chunk.vector == 0 || self.view.vectors.dimensions() == 0 {
            return Ok(());
        }
        let values = documents::vector(db, chunk.vector)?.unwrap_or_default();
        let class = self.view.classes.get(chunk.num);
        if let Some(problem) = self.view.vectors.check(chunk.num, class, &values)
            && self.vectors.len() < MAX_LINES
        {
            self.vectors.push(format!("vectors: chunk {}: {problem}", chunk.num));
        }
        Ok(())
    }

    /// Indexes a batch anew and compares it with what is stored.
    fn compare(&mut self) -> Result<()> {
        for (chunk, expected) in keyword::fingerprints(&self.batch)? {
            if self.stored.get(&chunk) != Some(&expected) && self.keyword.len() < MAX_LINES {
                self.keyword.push(format!("keyword index: chunk {chunk} is not indexed as its text says"));
            }
        }
        self.batch.clear();
        Ok(())
    }
}
