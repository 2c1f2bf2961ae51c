//! Lists the files below a folder without following links.

use std::fs::{File, Metadata};
use std::io::{Error, Read, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sightline_index::{Failure, check_document_id};

/// The name of the manifests, which are no documents.
pub(super) const MANIFEST: &str = ".sightline.toml";
const VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".svn", ".jj"];
/// Deeper folders are reported and left out.
const MAX_DEPTH: usize = 64;
/// Codes of what is there and was not looked into.
const UNREADABLE: &str = "unreadable";
const TOO_DEEP: &str = "too_deep";

/// A folder or a file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the top, with `/`; empty for the top itself.
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The top first, parents before children.
    pub(super) folders: Vec<Entry>,
    /// Sorted by id.
    pub(super) files: Vec<Entry>,
    /// What could not be listed.
    pub(super) failures: Vec<Failure>,
}

impl Listing {
    /// The file with this id.
    pub(super) fn file(&self, id: &str) -> Option<&Entry> {
        self.files.binary_search_by(|file| file.id.as_str().cmp(id)).ok().and_then(|at| self.files.get(at))
    }

    /// The folder with this id.
    pub(super) fn folder(&self, id: &str) -> Option<&Entry> {
        self.folders.binary_search_by(|folder| folder.id.as_str().cmp(id)).ok().and_then(|at| self.folders.get(at))
    }

    /// True when what is not listed under this id may be there all the same.
    pub(super) fn is_unsure_of(&self, id: &str) -> bool {
        let unseen = self.failures.iter().filter(|failure| [UNREADABLE, TOO_DEEP].contains(&failure.code.as_str()));
        unseen.into_iter().any(|failure| is_under(id, &failure.item))
    }
}

fn is_under(id: &str, folder: &str) -> bool {
    id == folder || folder.is_empty() || id.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Reads a file of the listing. What has taken its place since, such as a link to a file of others, is not read.
pub(super) fn read(entry: &Entry, max_bytes: u64) -> Result<Vec<u8>> {
    let file = File::open(&entry.path)?;
    let now = file.metadata()?;
    if (now.dev(), now.ino()) != (entry.metadata.dev(), entry.metadata.ino()) || now.len() > max_bytes {
        return Err(Error::other("it was replaced while the folder was read; ingest again"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(now.len()).unwrap_or_default());
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The id of the folder that an id is in; `None` for the top.
pub(super) fn parent(id: &str) -> Option<&str> {
    (!id.is_empty()).then(|| id.rsplit_once('/').map_or("", |(parent, _)| parent))
}

/// Lists everything below `top`. Only the top itself being unreadable is an error.
pub(super) fn list(top: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let metadata = std::fs::metadata(top)?;
    std::fs::read_dir(top)?;
    let mut pending = vec![(Entry { id: String::new(), path: top.to_owned(), metadata }, 0)];
    while let Some((folder, depth)) = pending.pop() {
        match folder_entries(&folder, &mut listing) {
            Ok(folders) if depth < MAX_DEPTH => pending.extend(folders.into_iter().map(|folder| (folder, depth + 1))),
            Ok(folders) => {
                let detail = format!("folders are nested deeper than {MAX_DEPTH}");
                listing.failures.extend(folders.into_iter().map(|folder| failure(&folder.id, TOO_DEEP, detail.clone())));
            }
            Err(error) => listing.failures.push(failure(&folder.id, UNREADABLE, error.to_string())),
        }
        listing.folders.push(folder);
    }
    listing.folders.sort_by(|a, b| a.id.cmp(&b.id));
    listing.files.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(listing)
}

/// Sorts a folder's entries into the listing and returns its folders.
fn folder_entries(folder: &Entry, listing: &mut Listing) -> Result<Vec<Entry>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&folder.path)? {
        let entry = entry?;
        let name = entry.file_name();
        let slash = if folder.id.is_empty() { "" } else { "/" };
        let Some(name) = name.to_str() else {
            let id = format!("{}{slash}{}", folder.id, name.to_string_lossy());
            listing.failures.push(failure(&id, "name", "its name is not valid utf-8; rename it"));
            continue;
        };
        let id = format!("{}{slash}{name}", folder.id);
        if let Err(error) = check_document_id(&id) {
            listing.failures.push(failure(&id, "name", format!("{error}; rename it")));
            continue;
        }
        // `DirEntry::metadata` does not follow links.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                listing.failures.push(failure(&id, UNREADABLE, error.to_string()));
                continue;
            }
        };
        let path = entry.path();
        if metadata.is_symlink() {
            listing.failures.push(failure(&id, "symlink", "symbolic links are not followed; copy the file, or ingest its folder"));
        } else if metadata.is_dir() {
            if !VERSION_CONTROL.contains(&name) {
                folders.push(Entry { id, path, metadata });
            }
        } else if !metadata.is_file() {
            listing.failures.push(failure(&id, "special_file", "it is a device, socket or pipe"));
        } else if name != MANIFEST {
            listing.files.push(Entry { id, path, metadata });
        }
    }
    Ok(folders)
}

pub(super) fn failure(item: &str, code: &str, detail: impl Into<String>) -> Failure {
    Failure { item: item.to_owned(), code: code.to_owned(), detail: detail.into() }
}
