//! The engine: one data directory, opened by one writer, searched by anyone.
//!
//! [`Engine::write`] is the only way in and answers when the batch is durable and searchable. Everything that reads takes
//! one view of one moment.

mod check;
mod explain;
mod group;
mod input;
mod open;
mod opened;
mod read;
mod reading;
mod report;
mod state;
mod transaction;
mod upkeep;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard, RwLock};
use rayon::prelude::*;
use rusqlite::{Connection, TransactionBehavior};

pub use explain::{Explanation, GrantPath, Reason, SectionExplanation};
pub use input::*;
pub(crate) use input::{content_hash, main_hash, section_hash};
pub(crate) use open::CATALOG;
pub use open::{Model, Options};
pub use opened::{Newer, Opened};
pub use read::{DocumentHead, DocumentText, SectionText, Stats};
pub(crate) use reading::{Place, Reading, Wanted};
pub use report::{AccessReport, Documents, EndingGrant, StaleSource};
pub(crate) use state::{State, View};
pub use transaction::{Outcome, Receipt};

use crate::access::{Caller, DEAD, Permit};
use crate::catalog::sums::Sums;
use crate::catalog::{Catalog, Failure, Job, JobState, KeyRecord, NewKey, SourceRecord, jobs, keys, sources};
use crate::citation::Sealer;
use crate::error::{Error, Result};
use crate::keyword::{KeywordIndex, indexed_terms};
use crate::timestamp::Timestamp;
use crate::vector::{Stored, VectorStore};
use state::Effect;
use transaction::Writing;
use upkeep::Upkeep;

/// Rows are made durable at least this often, in written chunks; what comes after is replayed at open.
const CHECKPOINT_CHUNKS: u64 = 8_192;

/// Fewer writes are not worth the way to other threads.
const MIN_PARALLEL_WRITES: usize = 8;

/// An open data directory.
pub struct Engine {
    dir: PathBuf,
    model: Option<Model>,
    pub(crate) catalog: Catalog,
    pub(crate) sealer: Sealer,
    pub(crate) state: Arc<RwLock<State>>,
    /// `None` when opened for reading only.
    writer: Option<Writer>,
    waiting: group::Waiting,
    /// `None` without vectors, or when opened for reading only.
    upkeep: Option<Upkeep>,
    /// Held while the directory is open for writing.
    _lock: Option<File>,
}

/// Writes are committed one after the other, and published in the same order: while one is published, the next can be under way.
struct Writer {
    /// Locked first, and let go when `index` is locked.
    catalog: Mutex<CatalogWriter>,
    index: Mutex<IndexWriter>,
    /// Why nothing more is written until the directory is opened again.
    poisoned: OnceLock<String>,
}

/// What is written before a commit.
struct CatalogWriter {
    connection: Connection,
    sums: Sums,
    vectors: Option<VectorStore>,
    /// Vectors that no checkpoint covers.
    unsynced: u64,
}

/// What is written when searches are to see a commit.
struct IndexWriter {
    keyword: KeywordIndex,
    /// Chunks that no checkpoint covers.
    unsynced: u64,
}

/// What a transaction leaves to be published.
struct Committed {
    effects: Vec<Effect>,
    seq: u64,
    epoch: u64,
    vectors: Option<Stored>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dir", &self.dir).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Engine {
    /// Applies writes in order, durable and visible together, and answers each.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotStored`] leave the catalog as it was. After [`Error::Poisoned`] writes are refused
    /// until the directory is opened again; what was written then may or may not be there, but nothing acknowledged is lost.
    pub fn write(&self, writes: Vec<Write>, now: Timestamp) -> Result<Vec<Receipt>> {
        let writes = self.prepare_all(writes).into_iter().collect::<Result<Vec<_>>>()?;
        self.write_prepared(vec![writes], now)?.pop().unwrap_or(Err(Error::NotFound))
    }

    /// Applies writes in order, each by itself: one that is refused takes no other with it. They share transactions.
    ///
    /// # Errors
    /// Those of [`Engine::write`], for each write.
    pub fn write_each(&self, writes: Vec<Write>, now: Timestamp) -> Result<Vec<Result<Receipt>>> {
        let prepared = self.prepare_all(writes);
        let mut results = Vec::with_capacity(prepared.len());
        let mut batches = Vec::new();
        for write in prepared {
            results.push(write.map(|write| batches.push(vec![write])));
        }
        let mut written = if batches.is_empty() { Vec::new() } else { self.write_prepared(batches, now)? }.into_iter();
        let mut next = || written.next().unwrap_or(Err(Error::NotFound))?.pop().ok_or(Error::NotFound);
        Ok(results.into_iter().map(|result| result.and_then(|()| next())).collect())
    }

    /// Refuses a document that [`Engine::write`] would refuse, before others are written along with it.
    pub fn check(&self, document: &NewDocument) -> Result<()> {
        document.check(self.model.as_ref().map_or(0, |model| model.dimensions))
    }

    fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| Error::invalid("data", "it is open for reading only"))
    }

    /// Prepares writes, side by side where they are many.
    fn prepare_all(&self, writes: Vec<Write>) -> Vec<Result<group::Prepared>> {
        match writes.len() {
            0..MIN_PARALLEL_WRITES => writes.into_iter().map(|write| self.prepare(write)).collect(),
            _ => writes.into_par_iter().map(|write| self.prepare(write)).collect(),
        }
    }

    /// Checks a write and does what needs no lock.
    fn prepare(&self, write: Write) -> Result<group::Prepared> {
        let mut terms = Vec::new();
        match &write {
            Write::Put(document) => {
                self.check(document)?;
                for chunk in &document.chunks {
                    let text = document.text.get(chunk.start..chunk.end).unwrap_or_default();
                    terms.push(indexed_terms(document.title.as_deref(), &chunk.headings, text));
                }
            }
            Write::Delete { source, id } | Write::SetAcl { source, id, .. } | Write::SetContainer { source, id, .. } => {
                check_source_id(source)?;
                check_document_id(id)?;
            }
            Write::SetGroup { group, members } | Write::ChangeGroup { group, add: members, .. } => {
                if !group.is_group() {
                    return Err(Error::invalid("group", format!("`{group}` is not a group:ID principal")));
                }
                if members.len() > MAX_GROUP_MEMBERS {
                    return Err(Error::invalid("members", format!("at most {MAX_GROUP_MEMBERS} direct members are allowed")));
                }
                if let Some(wrong) = members.iter().find(|member| !member.is_user() && !member.is_group()) {
                    return Err(Error::invalid("members", format!("`{wrong}` is not a user or a group")));
                }
            }
            Write::SetAlias { source, alias, canonical } => {
                check_source_id(source)?;
                if let Some(wrong) = [Some(alias), canonical.as_ref()].into_iter().flatten().find(|name| !name.is_user()) {
                    return Err(Error::invalid("alias", format!("`{wrong}` is not a user:ID principal")));
                }
            }
            Write::SetAclMaxAge { source, seconds } => {
                check_source_id(source)?;
                if *seconds == Some(0) {
                    return Err(Error::invalid("acl_max_age", "at least one second is allowed"));
                }
            }
            Write::DeleteContainer { .. } | Write::DeleteGroup { .. } | Write::Verify { .. } => {}
        }
        Ok((write, terms))
    }

    /// Brings the indexes and the memory to what was committed, then lets searches see it. Vectors are there already: whatever
    /// needs room on the disk comes before the commit, or can be done later.
    fn publish(&self, index: &mut IndexWriter, committed: Committed) -> Result<()> {
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

    /// What a caller may see now, and the view of the same moment.
    pub(crate) fn permit(&self, caller: &Caller, now: Timestamp) -> (Arc<Permit>, Arc<View>) {
        {
            let state = self.state.read();
            if let Some(permit) = state.permits.known(caller, now) {
                return (permit, state.view.clone());
            }
        }
        let mut state = self.state.write();
        let state = &mut *state;
        (state.permits.permit(&state.access, caller, now), state.view.clone())
    }

    /// Keeps writes from beginning until it is dropped; those under way are published before it returns.
    pub(crate) fn hold_writes(&self) -> Option<impl Sized + '_> {
        self.writer.as_ref().map(|writer| (writer.catalog.lock(), writer.index.lock()))
    }

    /// What a caller may see now.
    pub fn permit_of(&self, caller: &Caller, now: Timestamp) -> Arc<Permit> {
        self.permit(caller, now).0
    }

    /// The epoch that a search which starts now obeys.
    pub fn epoch(&self) -> u64 {
        self.state.read().view.epoch
    }

    /// The model whose vectors the directory holds.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Runs `f` in a transaction that touches neither documents nor access.
    fn record<T>(&self, now: Timestamp, f: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
        let writer = self.writer()?;
        let mut catalog = writer.catalog.lock();
        writer.check()?;
        let mut writing = {
            let CatalogWriter { connection, sums, .. } = &mut *catalog;
            Writing::begin(connection, sums)?
        };
        writing.now = now;
        let value = f(&mut writing)?;
        let (seq, epoch) = (writing.seq, writing.epoch);
        let committed = Committed { effects: writing.commit()?, seq, epoch, vectors: None };
        writer.in_order(catalog, |index| self.publish(index, committed))?;
        Ok(value)
    }

    /// Records how a source is connected, making it when it is new.
    pub fn describe_source(&self, id: &str, kind: &str, owner: &str, config: &serde_json::Value, now: Timestamp) -> Result<()> {
        check_source_id(id)?;
        self.record(now, |writing| {
            let number = writing.source(id)?;
            sources::describe(&writing.tx, number, kind, owner, &config.to_string())
        })
    }

    /// Every source.
    pub fn sources(&self) -> Result<Vec<SourceRecord>> {
        self.catalog.read(|db| Ok(sources::all(db)?.into_iter().map(|(_, source)| source).collect()))
    }

    /// Begins a job over a source.
    pub fn begin_job(&self, source: &str, now: Timestamp) -> Result<i64> {
        self.record(now, |writing| {
            let source = writing.source(source)?;
            jobs::begin(&writing.tx, source, now)
        })
    }

    /// Records items that a job could not ingest.
    pub fn fail_items(&self, job: i64, failures: &[Failure], now: Timestamp) -> Result<()> {
        self.record(now, |writing| failures.iter().try_for_each(|failure| jobs::fail(&writing.tx, job, failure)))
    }

    /// Ends a job; a job that is done went through the whole source.
    pub fn end_job(&self, job: i64, source: &str, state: JobState, summary: &serde_json::Value, now: Timestamp) -> Result<()> {
        self.record(now, |writing| {
            if state == JobState::Done {
                let source = writing.source(source)?;
                sources::synced(&writing.tx, source, now)?;
            }
            jobs::end(&writing.tx, job, state, summary, now)
        })
    }

    /// The newest jobs, newest first.
    pub fn jobs(&self, limit: u32) -> Result<Vec<Job>> {
        self.catalog.read(|db| jobs::list(db, limit))
    }

    /// What failed in a job.
    pub fn failures(&self, job: i64) -> Result<Vec<Failure>> {
        self.catalog.read(|db| jobs::failures(db, job))
    }

    /// The key with this secret, when it works at `now`.
    pub fn key(&self, secret: &str, now: Timestamp) -> Result<Option<KeyRecord>> {
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        Ok(self.catalog.read(|db| keys::by_hash(db, &hash))?.filter(|key| key.holds_at(now)))
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

    /// Waits until the background work is done that the writes so far have caused.
    pub fn settle(&self) {
        self.upkeep.iter().for_each(Upkeep::settle);
    }
}

impl Writer {
    /// An error once a failure has left unknown what is on the disk or in memory.
    fn check(&self) -> Result<()> {
        self.poisoned.get().map_or(Ok(()), |reason| Err(Error::Poisoned { reason: reason.clone() }))
    }

    /// Refuses all further writes.
    fn poison(&self, reason: String) -> Error {
        Error::Poisoned { reason: self.poisoned.get_or_init(|| reason).clone() }
    }

    /// Publishes what was committed with this lock, when all that was committed before is published. The next transaction can
    /// begin meanwhile.
    fn in_order<T>(
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
    /// Writes the vectors of new chunks where searches will read them; no permit admits the chunks before they are published.
    fn put_vectors(vectors: &mut Option<VectorStore>, effects: &[Effect]) -> Result<u64> {
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
    fn checkpoint_when_due(&mut self, seq: u64) -> Result<()> {
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

impl Drop for Engine {
    fn drop(&mut self) {
        if self.writer.is_some()
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "the indexes were not checkpointed; the next open replays the rest");
        }
    }
}

/// API keys can be managed beside a running server: they live in the catalog alone, and every request reads them anew.
#[derive(Debug)]
pub struct KeyRing {
    catalog: Catalog,
}

impl KeyRing {
    /// Opens the keys of a data directory, making the directory when it does not exist.
    pub fn open(dir: &std::path::Path) -> Result<KeyRing> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        Ok(KeyRing { catalog: Catalog::open(&dir.join(open::CATALOG), true)? })
    }

    /// Makes a key and returns its secret, which is kept nowhere.
    pub fn create(&self, key: &NewKey, now: Timestamp) -> Result<(KeyRecord, String)> {
        use base64::Engine as _;
        let mut bytes = [0u8; 38];
        getrandom::fill(&mut bytes).map_err(|error| Error::corrupt("random source", error))?;
        let (id, secret) = bytes.split_at(6);
        let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let id = encode(id);
        let secret = format!("sl_{id}_{}", encode(secret));
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        let mut connection = self.catalog.connect()?;
        let sums = Sums::watch(&connection)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        keys::insert(&tx, &id, &hash, key, now)?;
        sums.store(&tx)?;
        tx.commit()?;
        let made = self.catalog.read(|db| keys::by_hash(db, &hash))?.ok_or(Error::NotFound)?;
        Ok((made, secret))
    }

    /// Every key, oldest first.
    pub fn list(&self) -> Result<Vec<KeyRecord>> {
        self.catalog.read(keys::all)
    }

    /// Revokes a key; requests that start afterwards are refused.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key, or it was revoked before.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<()> {
        let mut connection = self.catalog.connect()?;
        let sums = Sums::watch(&connection)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let revoked = keys::revoke(&tx, id, now)?;
        sums.store(&tx)?;
        tx.commit()?;
        if revoked { Ok(()) } else { Err(Error::NotFound) }
    }
}
