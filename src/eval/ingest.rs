//! A collection's documents on their way in, through the pipeline that every source takes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use serde_json::{Value, json};
use sightline_index::{NewDocument, Timestamp, Write};
use sightline_ingest::{Content, Incoming, Pipeline};

use super::EvalError;
use super::collection::{Collection, Document};

/// The source that an evaluated collection is.
pub(super) const SOURCE: &str = "eval";
const BATCH_DOCUMENTS: usize = 128;
const PAGE_DOCUMENTS: u32 = 1_000;

/// The ACL of a collection that has none: everyone may read it, also without a user.
pub(super) fn open_to_all() -> Value {
    json!({ "allow": ["public"] })
}

/// Brings the pipeline's engine to a collection and nothing else, as a source that everyone may read. Returns seconds.
pub fn ingest(pipeline: &Pipeline, collection: &Collection, progress: impl Fn(usize)) -> Result<f64, EvalError> {
    let started = Instant::now();
    clear(pipeline, collection)?;
    let mut done = 0;
    let mut batch = Vec::new();
    prepare(pipeline, collection, |document| {
        batch.push(Write::Put(Box::new(document)));
        if batch.len() == BATCH_DOCUMENTS {
            done += batch.len();
            pipeline.engine().write(std::mem::take(&mut batch), Timestamp::now())?;
            progress(done);
        }
        Ok(())
    })?;
    pipeline.engine().write(batch, Timestamp::now())?;
    Ok(started.elapsed().as_secs_f64())
}

/// Cuts and embeds every document, side by side, and hands them over in whatever order they are ready.
pub(super) fn prepare(
    pipeline: &Pipeline,
    collection: &Collection,
    mut take: impl FnMut(NewDocument) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(BATCH_DOCUMENTS);
        for _ in 0..pipeline.width() {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(document) = collection.documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let prepared = pipeline.prepare(incoming(document));
                    let prepared = prepared.map_err(|error| EvalError::Ingest { id: document.id.clone(), error });
                    if sender.send(prepared).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().try_for_each(|prepared| take(prepared?.0))
    })
}

fn incoming(document: &Document) -> Incoming {
    Incoming {
        source: SOURCE.to_owned(),
        id: document.id.clone(),
        title: Some(document.title.clone()).filter(|title| !title.is_empty()),
        mime: "text/plain".to_owned(),
        content: Content::Text(document.text.clone()),
        acl: Some(open_to_all()),
        ..Incoming::default()
    }
}

/// Deletes what an earlier run left that is not of this collection.
fn clear(pipeline: &Pipeline, collection: &Collection) -> Result<(), EvalError> {
    let engine = pipeline.engine();
    if let Some(other) = engine.sources()?.into_iter().find(|source| source.id != SOURCE) {
        return Err(EvalError::OtherSource(other.id));
    }
    let wanted: HashSet<&str> = collection.documents.iter().map(|document| document.id.as_str()).collect();
    let mut after = String::new();
    loop {
        let page = engine.heads(SOURCE, &after, PAGE_DOCUMENTS)?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        let gone = page.into_iter().filter(|head| !wanted.contains(head.id.as_str()));
        let deletes = gone.map(|head| Write::Delete { source: SOURCE.to_owned(), id: head.id });
        engine.write(deletes.collect(), Timestamp::now())?;
    }
}
