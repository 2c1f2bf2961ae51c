//! Who writes: two locks, one for what comes before a commit and one for what lets searches see it.

use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::Engine;
use super::state::{Effect, View};
use super::transaction::Writing;
use crate::access::DEAD;
use crate::catalog::sums::Sums;
use crate::error::{Error, Result};
use crate::keyword::KeywordIndex;
use crate::timestamp::Timestamp;
use crate::vector::{Stored, VectorStore};

/// Rows are made durable at least this often, in written chunks; what comes after is replayed at open.
const CHECKPOINT_CHUNKS: u64 = 8_192;

/// Writes are committed one after the other, and published in the same order: while one is published, the next can be under way.
pub(super) struct Writer {
    /// Locked first, and let go when `index` is locked.
    pub(super) catalog: Mutex<CatalogWriter>,
    pub(super) index: Mutex<IndexWriter>,
    /// Why nothing more is written until the directory is opened again.
    pub(super) poisoned: OnceLock<String>,
}

/// What is written before a commit.
pub(super) struct CatalogWriter {
    pub(super) connection: Connection,
    pub(super) sums: Sums,
    pub(super) vectors: Option<VectorStore>,
    /// Vectors that no checkpoint covers.
    pub(super) unsynced: u64,
}

/// What is written when searches are to see a commit.
pub(super) struct IndexWriter {
    pub(super) keyword: KeywordIndex,
    /// Chunks that no checkpoint covers.
    pub(super) unsynced: u64,
}

/// What a transaction leaves to be published.
pub(super) struct Committed {
    pub(super) effects: Vec<Effect>,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) vectors: Option<Stored>,
}

impl Engine {
    pub(super) fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| Error::invalid("data", "it is open for reading only"))
    }

    /// Brings the indexes and the memory to what was committed, then lets searches see it. Vectors are there already: whatever
    /// needs room on the disk comes before the commit, or can be done later.
    pub(super) fn publish(&self, index: &mut IndexWriter, committed: Committed) -> Result<()> {
        let Committed { mut effects, seq, epoch, vectors } = committed;
        let mut indexed = false;
        for effect in &mut effects {
            match effect {
                Effect::Chunk(row) => {
                    index.keyword.add(row.chunk, std::mem::take(&mut row.terms))?;
                    indexed = true;
                    index.unsynced += 1;
                }
                Effect::Reclass { chunk, class: DEAD, .. } => index.keyword.remove(*chunk),
                _ => {}
            }
        }
        if indexed {
            index.keyword.publish()?;
        }
        let keyword = indexed.then(|| index.keyword.snapshot());
        {
            let mut state = self.state.write();
            let state = &mut *state;
            let mut view = View::clone(&state.view);
            view.epoch = epoch;
            view.seq = seq;
            if let Some(keyword) = keyword {
                view.keyword = keyword;
                vectors.into_iter().for_each(|vectors| view.vectors.read_from(vectors));
            }
            let alters = effects.iter().any(Effect::alters_permits);
            for effect in effects {
                effect.apply(&mut state.access, &mut view);
            }
            if alters {
                state.permits.clear();
            }
            state.view = Arc::new(view);
            self.upkeep.iter().for_each(|upkeep| upkeep.notice(&state.view));
        }
        if index.unsynced >= CHECKPOINT_CHUNKS {
            index.unsynced = 0;
            put_off_without_room(index.keyword.checkpoint(seq))?;
        }
        Ok(())
    }

    /// Keeps writes from beginning until it is dropped; those under way are published before it returns.
    pub(crate) fn hold_writes(&self) -> Option<impl Sized + '_> {
        self.writer.as_ref().map(|writer| (writer.catalog.lock(), writer.index.lock()))
    }

    /// Runs `f` in a transaction that touches neither documents nor access.
    pub(super) fn record<T>(&self, now: Timestamp, f: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
        let writer = self.writer()?;
        let mut catalog = writer.catalog.lock();
        writer.check()?;
        let (value, committed) = catalog.record(now, f).map_err(|error| writer.failed(error))?;
        writer.in_order(catalog, |index| self.publish(index, committed))?;
        Ok(value)
    }

    /// Makes what was written so far durable in the derived indexes, so that the next open replays nothing.
    pub fn checkpoint(&self) -> Result<()> {
        let writer = self.writer()?;
        let (mut catalog, mut index) = (writer.catalog.lock(), writer.index.lock());
        writer.check()?;
        let seq = self.state.read().view.seq;
        index.keyword.checkpoint(seq)?;
        index.unsynced = 0;
        catalog.checkpoint(seq)?;
        // Searches read what was written and merged instead of what it came from.
        let mut state = self.state.write();
        let mut view = View::clone(&state.view);
        view.keyword = index.keyword.snapshot();
        state.view = Arc::new(view);
        Ok(())
    }
}

impl Writer {
    /// An error once a failure has left unknown what is on the disk or in memory.
    pub(super) fn check(&self) -> Result<()> {
        self.poisoned.get().map_or(Ok(()), |reason| Err(Error::Poisoned { reason: reason.clone() }))
    }

    /// Refuses all further writes.
    pub(super) fn poison(&self, reason: String) -> Error {
        Error::Poisoned { reason: self.poisoned.get_or_init(|| reason).clone() }
    }

    /// What a failed transaction is answered: one that leaves unknown what is on the disk refuses all further writes.
    pub(super) fn failed(&self, error: Error) -> Error {
        if error.leaves_disk_unknown() { self.poison(error.to_string()) } else { error }
    }

    /// Publishes what was committed with this lock, when all that was committed before is published. The next transaction can
    /// begin meanwhile.
    pub(super) fn in_order<T>(
        &self,
        catalog: MutexGuard<'_, CatalogWriter>,
        publish: impl FnOnce(&mut IndexWriter) -> Result<T>,
    ) -> Result<T> {
        let mut index = self.index.lock();
        drop(catalog);
        // What is not published leaves a gap that nothing may follow.
        self.check()?;
        publish(&mut index).map_err(|error| self.poison(error.to_string()))
    }
}

impl CatalogWriter {
    /// Commits what `f` does, which touches neither documents nor access.
    fn record<T>(&mut self, now: Timestamp, f: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<(T, Committed)> {
        let mut writing = Writing::begin(&mut self.connection, &self.sums)?;
        writing.now = now;
        let value = f(&mut writing)?;
        let (seq, epoch) = (writing.seq, writing.epoch);
        Ok((value, Committed { effects: writing.commit()?, seq, epoch, vectors: None }))
    }

    /// Writes the vectors of new chunks where searches will read them; no permit admits the chunks before they are published.
    pub(super) fn put_vectors(vectors: &mut Option<VectorStore>, effects: &[Effect]) -> Result<u64> {
        let Some(store) = vectors else { return Ok(0) };
        let mut put = 0;
        for effect in effects {
            if let Effect::Chunk(row) = effect
                && let Some(values) = &row.vector
            {
                store.put(row.chunk, values)?;
                put += 1;
            }
        }
        Ok(put)
    }

    /// Makes the vectors durable that belong to what is committed, when they are many.
    pub(super) fn checkpoint_when_due(&mut self, seq: u64) -> Result<()> {
        if self.unsynced < CHECKPOINT_CHUNKS { Ok(()) } else { put_off_without_room(self.checkpoint(seq)) }
    }

    /// Makes the vectors durable that belong to what is committed.
    fn checkpoint(&mut self, seq: u64) -> Result<()> {
        self.unsynced = 0;
        match &mut self.vectors {
            Some(vectors) if vectors.applied() < seq => vectors.checkpoint(seq),
            _ => Ok(()),
        }
    }
}

/// A full disk puts a checkpoint off: nothing depends on it but how long the next open takes.
fn put_off_without_room(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.is_out_of_space() => {
            tracing::warn!(%error, "the indexes could not be written; they are replayed at the next open unless there is room before");
            Ok(())
        }
        done => done,
    }
}
