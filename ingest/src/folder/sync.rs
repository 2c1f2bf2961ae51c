//! One sync of a folder: list, delete and permit, compare, prepare side by side, write in batches.
//!
//! Deletions and permissions come before the content, which takes long (see [`super::rights`]). A sync that was cut off is resumed by
//! running it again: what is stored and unchanged is not read, extracted or embedded a second time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use sightline_index::{Error, Failure, JobState, NewDocument, Outcome, Timestamp, Write};

use super::acls::{Acls, FileFacts};
use super::walk::{self, Entry, failure};
use super::{FolderOptions, Progress, SyncReport, rights};
use crate::document::{Content, Incoming, IngestError, Pipeline};
use crate::extract::{Format, mime_of};

/// Raised when extraction or chunking yields something else for the same file.
const PIPELINE: u32 = 2;
/// A batch is written when it has this many documents,
const BATCH_DOCUMENTS: usize = 64;
/// or this many chunks.
const BATCH_CHUNKS: usize = 512;
/// How many prepared documents may wait for the writer.
const QUEUE_DOCUMENTS: usize = 32;
/// or confirms this many.
const BATCH_VERIFIED: usize = 1_000;

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
    let result = run(pipeline, options, job, &clock, &progress)
        .map(|report| SyncReport { seconds: started.elapsed().as_secs_f64(), ..report });
    let (state, summary) = match &result {
        // The failures have a table of their own.
        Ok(report) => {
            (JobState::Done, serde_json::to_value(SyncReport { failures: Vec::new(), ..report.clone() }).unwrap_or_default())
        }
        Err(error) => (JobState::Failed, serde_json::json!({ "error": error.to_string() })),
    };
    engine.end_job(job, &options.source, state, &summary, clock())?;
    engine.checkpoint()?;
    result
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
    // A sync that is refused writes nothing: a rule that is gone with its files must not open them.
    let gone = rights::gone(pipeline, options, &listing)?;
    rights::delete(pipeline, &options.source, &gone, clock)?;
    rights::write(pipeline, options, &acls, &listing, clock())?;
    report.deleted = gone.len();
    let (files, skipped): (Vec<&Entry>, Vec<&Entry>) = listing.files.iter().partition(|file| is_supported(file));
    report.files = files.len();
    report.skipped = skipped.len();
    report.failures.extend(listing.failures.iter().chain(&acls.failures).cloned());
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
    engine.fail_items(job, &report.failures, clock())?;
    Ok(report)
}

/// False where the name tells that no text can be extracted. Without a telling name the content decides.
fn is_supported(file: &Entry) -> bool {
    mime_of(&file.path, &[]).and_then(Format::of_mime).is_some()
}

/// What is to be done about one file.
enum Step {
    /// It has another content or other facts than what is stored.
    Put { document: Box<NewDocument>, made: usize, bytes: u64 },
    /// It is as stored.
    Keep { id: String },
    /// It could not be read; what is stored keeps its content, and its ACL is as old as this sync.
    Failed { failure: Failure, stored: Option<Write> },
}

fn prepare(pipeline: &Pipeline, source: &str, file: &Entry, facts: FileFacts) -> Result<Step, IngestError> {
    let head = pipeline.engine().head(source, &file.id)?;
    let modified = file.metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let source_version =
        format!("{}.{:09}-{}-{}", modified.as_secs(), modified.subsec_nanos(), file.metadata.len(), stamp(pipeline, &facts));
    if head.as_ref().is_some_and(|head| head.source_version.as_ref() == Some(&source_version)) {
        return Ok(Step::Keep { id: file.id.clone() });
    }
    let stored = head.map(|head| Write::SetAcl {
        source: source.to_owned(),
        acl: rights::acl_before_reading(pipeline, &head, &facts),
        id: head.id,
    });
    let failed = |code: &str, detail: String| Step::Failed { failure: failure(&file.id, code, detail), stored };
    let limit = pipeline.limits().extract.max_file_bytes;
    if file.metadata.len() > limit {
        let detail = format!("{} bytes, at most {limit} are read; raise the limit or split the file", file.metadata.len());
        return Ok(failed("too_large", detail));
    }
    let bytes = match walk::read(file, limit) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(failed("unreadable", error.to_string())),
    };
    let read = bytes.len() as u64;
    let incoming = Incoming {
        source: source.to_owned(),
        id: file.id.clone(),
        title: facts.title,
        uri: facts.uri,
        mime: mime_of(&file.path, &bytes).unwrap_or("application/octet-stream").to_owned(),
        content: Content::Bytes(bytes),
        acl: facts.acl,
        labels: facts.labels,
        sections: facts.sections,
        source_version: Some(source_version),
        modified_at: Some(Timestamp(i64::try_from(modified.as_millis()).unwrap_or_default())),
        ..Incoming::default()
    };
    match pipeline.prepare(incoming) {
        Ok((document, made)) => Ok(Step::Put { document: Box::new(document), made, bytes: read }),
        Err(error @ IngestError::Index(Error::Invalid { .. })) => Ok(failed(error.code(), error.to_string())),
        // Without a model or a store nothing else will succeed either.
        Err(error @ (IngestError::Embed(_) | IngestError::Index(_))) => Err(error),
        Err(error) => Ok(failed(error.code(), error.to_string())),
    }
}

/// Changes when anything but the file's content that makes the document changes, apart from its ACL.
pub(super) fn stamp(pipeline: &Pipeline, facts: &FileFacts) -> String {
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
            Step::Keep { id } => {
                self.report.unchanged += 1;
                self.verified.push(id);
            }
            Step::Failed { failure, stored } => {
                self.writes.extend(stored);
                self.report.failures.push(failure);
            }
        }
        let chunks = |write: &Write| if let Write::Put(document) = write { document.chunks.len() } else { 0 };
        if self.writes.len() >= BATCH_DOCUMENTS
            || self.verified.len() >= BATCH_VERIFIED
            || self.writes.iter().map(chunks).sum::<usize>() >= BATCH_CHUNKS
        {
            self.flush(clock)?;
        }
        Ok(())
    }

    fn flush(&mut self, clock: &impl Fn() -> Timestamp) -> Result<(), IngestError> {
        let mut writes = std::mem::take(&mut self.writes);
        if !self.verified.is_empty() {
            writes.push(Write::Verify { source: self.source.to_owned(), ids: std::mem::take(&mut self.verified) });
        }
        if writes.is_empty() {
            return Ok(());
        }
        let put = |write: &Write| if let Write::Put(document) = write { Some(document.chunks.len()) } else { None };
        let puts: Vec<Option<usize>> = writes.iter().map(put).collect();
        let receipts = self.pipeline.engine().write(writes, clock())?;
        for (receipt, chunks) in receipts.iter().zip(puts).filter_map(|(receipt, chunks)| Some((receipt, chunks?))) {
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
