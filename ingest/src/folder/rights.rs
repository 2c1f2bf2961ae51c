//! What a sync does before it looks at any content: it deletes what is gone and brings every rule to what the folder says.
//!
//! Groups, containers and the rules of stored documents change in one write. A folder that is opened to more readers
//! while one of its files is narrowed never shows that file in between, however long the sync takes.

use serde_json::{Value, json};
use sightline_index::{DocumentHead, Rule, Timestamp, Write};

use super::acls::{Acls, FileFacts};
use super::sync::stamp;
use super::walk::Listing;
use super::{AclOrigin, FolderOptions};
use crate::document::{IngestError, Pipeline};

/// Losing more than this share of a source with at least `MASS_DELETE_DOCUMENTS` documents asks first.
const MASS_DELETE_SHARE: f64 = 0.5;
const MASS_DELETE_DOCUMENTS: usize = 20;
const PAGE_DOCUMENTS: u32 = 1_000;

/// Calls `f` with every stored document of the source.
fn each_head(
    pipeline: &Pipeline,
    source: &str,
    mut f: impl FnMut(DocumentHead) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    let mut after = String::new();
    loop {
        let page = pipeline.engine().heads(source, &after, PAGE_DOCUMENTS)?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        page.into_iter().try_for_each(&mut f)?;
    }
}

/// The documents that the listing no longer has.
///
/// # Errors
/// [`IngestError::MassDelete`] when that is most of them, as when a file system is not mounted, and was not allowed.
pub(super) fn gone(pipeline: &Pipeline, options: &FolderOptions, listing: &Listing) -> Result<Vec<String>, IngestError> {
    let mut gone = Vec::new();
    let mut known = 0;
    each_head(pipeline, &options.source, |head| {
        known += 1;
        if listing.file(&head.id).is_none() && !listing.is_unsure_of(&head.id) {
            gone.push(head.id);
        }
        Ok(())
    })?;
    let emptied = listing.files.is_empty() && !gone.is_empty();
    let most = known >= MASS_DELETE_DOCUMENTS && gone.len() as f64 > known as f64 * MASS_DELETE_SHARE;
    if (emptied || most) && !options.allow_mass_delete {
        return Err(IngestError::MassDelete { source_id: options.source.clone(), missing: gone.len(), known });
    }
    Ok(gone)
}

/// Deletes documents.
pub(super) fn delete(
    pipeline: &Pipeline,
    source: &str,
    gone: &[String],
    clock: &impl Fn() -> Timestamp,
) -> Result<(), IngestError> {
    for page in gone.chunks(PAGE_DOCUMENTS as usize) {
        let deletes = page.iter().map(|id| Write::Delete { source: source.to_owned(), id: id.clone() });
        pipeline.engine().write(deletes.collect(), clock())?;
    }
    Ok(())
}

/// Brings groups, containers and the rules of stored documents to what the folder says, in one write.
pub(super) fn write(
    pipeline: &Pipeline,
    options: &FolderOptions,
    acls: &Acls,
    listing: &Listing,
    now: Timestamp,
) -> Result<(), IngestError> {
    let source = &options.source;
    let mut writes: Vec<Write> =
        acls.groups.iter().map(|(group, members)| Write::SetGroup { group: group.clone(), members: members.clone() }).collect();
    for (id, acl) in acls.containers(listing) {
        writes.push(Write::SetContainer { source: source.clone(), id, acl: Some(acl) });
    }
    if options.acls == AclOrigin::Manifests {
        let gone = pipeline.engine().containers(source)?.into_iter().filter(|id| id != "/" && listing.folder(id).is_none());
        writes.extend(gone.map(|id| Write::DeleteContainer { source: source.clone(), id }));
    }
    each_head(pipeline, source, |head| {
        let acl = match listing.file(&head.id) {
            Some(file) => acl_before_reading(pipeline, &head, &acls.file(listing, &file.id, &file.metadata)),
            // What cannot be listed may have any rule by now.
            None => Some(json!({ "listing": "unreadable" })),
        };
        if Rule::read(acl.as_ref()) != head.rule {
            writes.push(Write::SetAcl { source: source.clone(), id: head.id, acl });
        }
        Ok(())
    })?;
    pipeline.engine().write(writes, now)?;
    Ok(())
}

/// The ACL of a stored document until its file has been read. What cannot be said withholds.
pub(super) fn acl_before_reading(pipeline: &Pipeline, head: &DocumentHead, facts: &FileFacts) -> Option<Value> {
    let stamped = head.source_version.as_ref().and_then(|version| version.rsplit('-').next());
    // Where its sections stand, and so who may read which part, is only known when the file has been read.
    if facts.sections.is_empty() || stamped == Some(stamp(pipeline, facts).as_str()) {
        facts.acl.clone()
    } else {
        Some(json!({ "sections": "not placed" }))
    }
}
