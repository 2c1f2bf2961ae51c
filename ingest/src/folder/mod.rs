//! The folder connector: files below a folder, with ACLs from manifests, from a list beside the files, or from POSIX.
//!
//! It only reads. Symbolic links are never followed. A document's id is its path relative to the folder, with `/`.

mod acls;
mod manifest;
mod posix;
mod rights;
mod sync;
mod walk;

use std::path::PathBuf;

use serde::Serialize;
use sightline_index::Failure;

pub use acls::read_directory;
pub use sync::sync_folder;

/// Where the ACLs of a folder's files come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AclOrigin {
    /// `.sightline.toml` files in the folders, inherited downwards.
    #[default]
    Manifests,
    /// A file of lines `{"_id": path, "acl": {…}}`; a file that it does not name is withheld.
    List(PathBuf),
    /// Owner, group and mode of files and folders.
    Posix,
}

/// What to ingest and how.
#[derive(Clone, Debug, Default)]
pub struct FolderOptions {
    /// The folder.
    pub root: PathBuf,
    /// The source's id.
    pub source: String,
    /// Who answers for the source.
    pub owner: String,
    /// Where ACLs come from.
    pub acls: AclOrigin,
    /// Principals that may read everything that inherits from the top folder; with manifests only.
    pub allow: Vec<String>,
    /// A JSON object of groups and their members, to bring into the directory.
    pub directory: Option<PathBuf>,
    /// Deletes documents even when most of the source is gone.
    pub allow_mass_delete: bool,
}

/// How far a sync has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Files found.
    pub files: usize,
    /// Files dealt with.
    pub done: usize,
    /// Chunks written.
    pub chunks: usize,
    /// Vectors made.
    pub embedded: usize,
    /// Files that could not be ingested.
    pub failed: usize,
}

/// What a sync did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SyncReport {
    /// The job's number.
    pub job: i64,
    /// Files found, of supported formats.
    pub files: usize,
    /// Files of other formats, left out.
    pub skipped: usize,
    /// Documents that are new.
    pub created: usize,
    /// Documents with a new version.
    pub updated: usize,
    /// Documents that were as stored.
    pub unchanged: usize,
    /// Documents that are gone.
    pub deleted: usize,
    /// Chunks written.
    pub chunks: usize,
    /// Vectors made; the others were known.
    pub embedded: usize,
    /// Bytes of the files that were read.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Files that could not be ingested, with the reason.
    pub failures: Vec<Failure>,
}
