//! One sync of a folder: list, compare, prepare side by side, write in batches, delete what is gone.
//!
//! Groups and containers are written before the documents that depend on them. A sync that was cut off is resumed by
//! running it again: what is stored and unchanged is not read, extracted or embedded a second time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use sightline_index::{DocumentHead, Failure, JobState, NewDocument, Outcome, Rule, Timestamp, Write};

use super::acls::{Acls, FileFacts};
use super::walk::{self, Entry, Listing, failure};
use super::{AclOrigin, FolderOptions, Progress, SyncReport};
use crate::document::{Content, Incoming, IngestError, Pipeline};
use crate::extract::mime_of;

/// Raised when extraction or chunking yields something else for the same file.
const PIPELINE: u32 = 1;
/// A batch is written when it has this many documents,
const BATCH_DOCUMENTS: usize = 64;
/// or this many chunks.
const BATCH_CHUNKS: usize = 512;
/// How many prepared documents may wait for the writer.
const QUEUE_DOCUMENTS: usize = 32;
/// Losing more than this share of a source with at least `MASS_DELETE_DOCUMENTS` documents asks first.
const MASS_DELETE_SHARE: f64 = 0.5;
const MASS_DELETE_DOCUMENTS: usize = 20;
const PAGE_DOCUMENTS: u32 = 1_000;

/// Brings a source to what its folder holds now. `progress` is told now and then.
///
/// # Errors
/// Files that cannot be ingested are in the report; an error is what stops the whole sync.
pub fn sync_folder(
    pipeline: &Pipeline,
    options: &FolderOptions,
    clock: impl Fn() -> Timestamp + Sync,
    progress: impl Fn(&Progress),
) -> Result<SyncReport, IngestError> {
    let engine = pipeline.engine();
    let root = std::path::absolute(&options.root).unwrap_or_else(|_| options.root.clone());
    let config = serde_json::json!({ "folder": root.display().to_string() });
    engine.describe_source(&options.source, "folder", &options.owner, &config, clock())?;
    let job = engine.begin_job(&options.source, clock())?;
    let started = Instant::now();
    let result = run(pipeline, options, job, &clock, &progress);
    let (state, summary) = match &result {
        Ok(report) => (JobState::Done, serde_json::to_value(report).unwrap_or_default()),
        Err(error) => (JobState::Failed, serde_json::json!({ "error": error.to_string() })),
    };
    engine.end_job(job, &options.source, state, &summary, clock())?;
    engine.checkpoint()?;
    result.map(|report| SyncReport { seconds: started.elapsed().as_secs_f64(), ..report })
}

fn run(
    pipeline: &Pipeline,
    options: &FolderOptions,
    job: i64,
    clock: &(impl Fn() -> Timestamp + Sync),
    progress: &impl Fn(&Progress),
) -> Result<SyncReport, IngestError> {
    let engine = pipeline.engine();
    let listing = walk::list(&options.root).map_err(|source| IngestError::Folder { path: options.root.clone(), source })?;
    let acls = Acls::read(options, &listing)?;
    let mut report = SyncReport { job, ..SyncReport::default() };
    write_access(pipeline, options, &acls, &listing, clock())?;
    let (files, skipped): (Vec<&Entry>, Vec<&Entry>) =
        listing.files.iter().partition(|file| mime_of(&file.path, &[]).is_some());
    report.files = files.len();
    report.skipped = skipped.len();
    report.failures.extend(listing.failures.iter().chain(&acls.failures).cloned());
    let missing = missing(pipeline, options, &listing)?;
    {
        let mut batch = Batch { pipeline, source: &options.source, report: &mut report, writes: Vec::new(), verified: Vec::new() };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| -> Result<(), IngestError> {
            let (sender, receiver) = mpsc::sync_channel(QUEUE_DOCUMENTS);
            for _ in 0..pipeline.width() {
                let (sender, next, files, listing, acls) = (sender.clone(), &next, &files, &listing, &acls);
                scope.spawn(move || {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let facts = acls.file(listing, &file.id, &file.metadata);
                        let step = prepare(pipeline, &options.source, file, facts);
                        // The receiver is gone when the writer failed.
                        if sender.send(step).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut told = Progress { files: files.len(), ..Progress::default() };
            for step in receiver {
                batch.take(step?, clock)?;
                told.done += 1;
                told.chunks = batch.report.chunks;
                told.embedded = batch.report.embedded;
                told.failed = batch.report.failures.len();
                progress(&told);
            }
            batch.flush(clock)
        })?;
    }
    report.deleted = delete(pipeline, options, &listing, missing, clock)?;
    engine.fail_items(job, &report.failures, clock())?;
    Ok(report)
}

/// Groups and containers, in one write.
fn write_access(pipeline: &Pipeline, options: &FolderOptions, acls: &Acls, listing: &Listing, now: Timestamp) -> Result<(), IngestError> {
    let groups = acls.groups.iter().map(|(group, members)| Write::SetGroup { group: group.clone(), members: members.clone() });
    let containers = acls.containers(listing).into_iter().map(|(id, acl)| Write::SetContainer {
        source: options.source.clone(),
        id,
        acl: Some(acl),
    });
    pipeline.engine().write(groups.chain(containers).collect(), now)?;
    Ok(())
}

/// What is to be done about one file.
enum Step {
    /// It has another content or other facts than what is stored.
    Put { document: Box<NewDocument>, made: usize, bytes: u64 },
    /// It is as stored, but for its ACL where that is given.
    Keep { id: String, acl: Option<Option<serde_json::Value>> },
    /// It could not be read; what is stored keeps its content and takes the ACL of now.
    Failed { failure: Failure, known: bool, acl: Option<serde_json::Value> },
}

fn prepare(pipeline: &Pipeline, source: &str, file: &Entry, facts: FileFacts) -> Result<Step, IngestError> {
    let head = pipeline.engine().head(source, &file.id)?;
    let modified = file.metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let source_version = format!("{}.{:09}-{}-{}", modified.as_secs(), modified.subsec_nanos(), file.metadata.len(), stamp(pipeline, &facts));
    if let Some(DocumentHead { rule, .. }) = head.as_ref().filter(|head| head.source_version.as_ref() == Some(&source_version)) {
        let acl = (Rule::read(facts.acl.as_ref()) != *rule).then_some(facts.acl);
        return Ok(Step::Keep { id: file.id.clone(), acl });
    }
    let failed = |code: &str, detail: String, acl| Step::Failed { failure: failure(&file.id, code, detail), known: head.is_some(), acl };
    let limit = pipeline.limits().extract.max_file_bytes;
    if file.metadata.len() > limit {
        let detail = format!("{} bytes, at most {limit} are read; raise the limit or split the file", file.metadata.len());
        return Ok(failed("too_large", detail, facts.acl));
    }
    let bytes = match std::fs::read(&file.path) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(failed("unreadable", error.to_string(), facts.acl)),
    };
    let read = bytes.len() as u64;
    let incoming = Incoming {
        source: source.to_owned(),
        id: file.id.clone(),
        title: facts.title,
        uri: facts.uri,
        mime: mime_of(&file.path, &bytes).unwrap_or("application/octet-stream").to_owned(),
        content: Content::Bytes(bytes),
        acl: facts.acl.clone(),
        labels: facts.labels,
        sections: facts.sections,
        source_version: Some(source_version),
        modified_at: Some(Timestamp(i64::try_from(modified.as_millis()).unwrap_or_default())),
    };
    match pipeline.prepare(incoming) {
        Ok((document, made)) => Ok(Step::Put { document: Box::new(document), made, bytes: read }),
        // Without a model or a store nothing else will succeed either.
        Err(error @ (IngestError::Embed(_) | IngestError::Index(_))) => Err(error),
        Err(error) => Ok(failed(error.code(), error.to_string(), facts.acl)),
    }
}

/// Changes when anything but the file's content that makes the document changes, apart from its ACL.
fn stamp(pipeline: &Pipeline, facts: &FileFacts) -> String {
    let mut hasher = blake3::Hasher::new();
    let sections: Vec<_> = facts.sections.iter().map(|section| (&section.name, &section.acl)).collect();
    let model = pipeline.engine().model().map(|model| &model.name);
    let parts = (PIPELINE, model, &facts.title, &facts.uri, &facts.labels, sections, format!("{:?}", pipeline.limits().chunk));
    hasher.update(serde_json::to_string(&parts).unwrap_or_default().as_bytes());
    hasher.finalize().to_hex()[..8].to_owned()
}

/// Collects writes and sends them on together.
struct Batch<'a> {
    pipeline: &'a Pipeline,
    source: &'a str,
    report: &'a mut SyncReport,
    writes: Vec<Write>,
    verified: Vec<String>,
}

impl Batch<'_> {
    fn take(&mut self, step: Step, clock: &impl Fn() -> Timestamp) -> Result<(), IngestError> {
        match step {
            Step::Put { document, made, bytes } => {
                self.report.embedded += made;
                self.report.bytes += bytes;
                self.writes.push(Write::Put(document));
            }
            Step::Keep { id, acl } => {
                self.report.unchanged += 1;
                if let Some(acl) = acl {
                    self.writes.push(Write::SetAcl { source: self.source.to_owned(), id: id.clone(), acl });
                }
                self.verified.push(id);
            }
            Step::Failed { failure, known, acl } => {
                if known {
                    self.writes.push(Write::SetAcl { source: self.source.to_owned(), id: failure.item.clone(), acl });
                }
                self.report.failures.push(failure);
            }
        }
        let chunks = |write: &Write| if let Write::Put(document) = write { document.chunks.len() } else { 0 };
        if self.writes.len() >= BATCH_DOCUMENTS
            || self.verified.len() >= PAGE_DOCUMENTS as usize
            || self.writes.iter().map(chunks).sum::<usize>() >= BATCH_CHUNKS
        {
            self.flush(clock)?;
        }
        Ok(())
    }

    fn flush(&mut self, clock: &impl Fn() -> Timestamp) -> Result<(), IngestError> {
        let mut writes = std::mem::take(&mut self.writes);
        let chunks: Vec<usize> =
            writes.iter().map(|write| if let Write::Put(document) = write { document.chunks.len() } else { 0 }).collect();
        if !self.verified.is_empty() {
            writes.push(Write::Verify { source: self.source.to_owned(), ids: std::mem::take(&mut self.verified) });
        }
        if writes.is_empty() {
            return Ok(());
        }
        let puts: Vec<bool> = writes.iter().map(|write| matches!(write, Write::Put(_))).collect();
        let receipts = self.pipeline.engine().write(writes, clock())?;
        for ((receipt, _), chunks) in receipts.iter().zip(puts).filter(|(_, put)| *put).zip(chunks) {
            match receipt.outcome {
                Outcome::Created => self.report.created += 1,
                Outcome::Unchanged => self.report.unchanged += 1,
                _ => self.report.updated += 1,
            }
            if receipt.outcome != Outcome::Unchanged {
                self.report.chunks += chunks;
            }
        }
        Ok(())
    }
}

/// Documents that the listing no longer has.
fn missing(pipeline: &Pipeline, options: &FolderOptions, listing: &Listing) -> Result<Vec<String>, IngestError> {
    let mut gone = Vec::new();
    let mut known = 0;
    let mut after = String::new();
    loop {
        let page = pipeline.engine().heads(&options.source, &after, PAGE_DOCUMENTS)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        known += page.len();
        let listed = |id: &str| listing.files.binary_search_by(|file| file.id.as_str().cmp(id)).is_ok();
        // What could not be listed is not known to be gone.
        let unsure = |id: &str| listing.failures.iter().any(|failure| under(id, &failure.item));
        gone.extend(page.into_iter().map(|head| head.id).filter(|id| !listed(id) && !unsure(id)));
    }
    let most = known >= MASS_DELETE_DOCUMENTS && gone.len() as f64 > known as f64 * MASS_DELETE_SHARE;
    if most && !options.allow_mass_delete {
        return Err(IngestError::MassDelete { source_id: options.source.clone(), missing: gone.len(), known });
    }
    Ok(gone)
}

fn under(id: &str, folder: &str) -> bool {
    id == folder || folder.is_empty() || id.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Deletes documents and containers that are gone; returns how many documents.
fn delete(
    pipeline: &Pipeline,
    options: &FolderOptions,
    listing: &Listing,
    missing: Vec<String>,
    clock: &impl Fn() -> Timestamp,
) -> Result<usize, IngestError> {
    let engine = pipeline.engine();
    for page in missing.chunks(PAGE_DOCUMENTS as usize) {
        let deletes = page.iter().map(|id| Write::Delete { source: options.source.clone(), id: id.clone() });
        engine.write(deletes.collect(), clock())?;
    }
    if options.acls == AclOrigin::Manifests {
        let listed = |id: &str| id == "/" || listing.folders.binary_search_by(|folder| folder.id.as_str().cmp(id)).is_ok();
        let gone = engine.containers(&options.source)?.into_iter().filter(|id| !listed(id));
        let gone = gone.map(|id| Write::DeleteContainer { source: options.source.clone(), id });
        engine.write(gone.collect(), clock())?;
    }
    Ok(missing.len())
}
