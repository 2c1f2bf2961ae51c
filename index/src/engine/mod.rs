//! The engine: one data directory, opened by one writer, searched by anyone.
//!
//! [`Engine::write`] is the only way in and answers when the batch is durable and searchable. Everything that reads takes
//! one view of one moment.

mod check;
mod chunk_tables;
mod explain;
mod group;
mod input;
mod keyring;
mod open;
mod opened;
mod read;
mod reading;
mod report;
mod state;
mod transaction;
mod upkeep;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use rayon::prelude::*;

pub use explain::{Explanation, GrantPath, Reason, SectionExplanation};
pub use input::*;
pub(crate) use input::{content_hash, main_hash, section_hash};
pub use keyring::KeyRing;
pub(crate) use open::CATALOG;
pub use open::{Model, Options};
pub use opened::{Newer, Opened};
pub use read::{DocumentHead, DocumentText, SectionText, Stats};
pub(crate) use reading::{Place, Reading, Wanted};
pub use report::{AccessReport, Documents, EndingGrant, StaleSource};
pub(crate) use state::{State, View};
pub use transaction::{Outcome, Receipt};

use crate::access::{Caller, Permit};
use crate::catalog::{Catalog, Failure, Job, JobState, KeyRecord, SourceRecord, jobs, keys, sources};
use crate::citation::Sealer;
use crate::error::{Error, Result};
use crate::keyword::indexed_terms;
use crate::timestamp::Timestamp;
use upkeep::Upkeep;
use writer::Writer;

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
                    terms.push(indexed_terms(document.title.as_deref(), &chunk.headings, text, None));
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

    /// Waits until the background work is done that the writes so far have caused.
    pub fn settle(&self) {
        self.upkeep.iter().for_each(Upkeep::settle);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.writer.is_none() {
            return;
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the indexes were not checkpointed; the next open replays the rest");
        } else if let Err(error) = self.save_tables() {
            tracing::warn!(%error, "the tables of chunks were not written; the next open reads the catalog");
        }
    }
}
