//! The one error type of this crate.
//!
//! Every variant says what failed and, where the user can do something, what to do next. "Absent" and "forbidden" are
//! deliberately not distinguished anywhere: both are [`Error::NotFound`].

use std::path::PathBuf;

/// What can go wrong in storage, access control and search.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog refused a statement; the write it belonged to left no trace.
    #[error("the catalog failed: {0}")]
    Catalog(#[from] rusqlite::Error),
    /// The keyword index failed; it is derived and can be rebuilt from the catalog.
    #[error("the keyword index failed: {0} (delete the `keyword` folder of the data directory to rebuild it)")]
    Keyword(#[from] tantivy::TantivyError),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder that was touched.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes to this data directory.
    #[error("{path} is in use by another process; stop that server, or use its API")]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory was written by a newer release.
    #[error("the data directory has format {found}, this release reads up to {supported}; use a newer release")]
    NewerFormat {
        /// The format found on disk.
        found: u32,
        /// The newest format that this release knows.
        supported: u32,
    },
    /// The data directory was written by an older release, and it is open for reading only.
    #[error("the data directory has format {found} and is migrated to {supported} when `sightline serve` or `ingest` opens it")]
    OlderFormat {
        /// The format found on disk.
        found: u32,
        /// The format of this release.
        supported: u32,
    },
    /// The vectors in the catalog come from another model.
    #[error("the data directory holds vectors of model `{stored}`, not `{offered}`; use that model, or a new data directory")]
    ModelMismatch {
        /// The model recorded in the catalog.
        stored: String,
        /// The model that was offered.
        offered: String,
    },
    /// A stored value cannot be read back.
    #[error("corrupt {what}: {detail}")]
    Corrupt {
        /// Which record or file.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An input was refused before anything was written.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field or argument.
        field: &'static str,
        /// Why it was refused and what is accepted.
        reason: String,
    },
    /// It does not exist, or the caller may not read it.
    #[error("not found")]
    NotFound,
    /// The write failed together with others that shared its transaction; it left no trace.
    #[error("the write was not stored: {reason}")]
    NotStored {
        /// What failed.
        reason: String,
        /// Whether the disk was full or could not be written.
        out_of_space: bool,
    },
    /// The document under this id is not one that the write may replace.
    #[error("the document that is there does not carry the label {label}")]
    NotReplaceable {
        /// The label that it lacks, as `key=value`.
        label: String,
    },
    /// A write failed half-way after it was made durable, or what was written could not be flushed; writes are refused until the store is reopened.
    #[error("writes are refused since an earlier failure ({reason}); restart to recover, nothing acknowledged is lost")]
    Poisoned {
        /// The earlier failure.
        reason: String,
    },
}

impl Error {
    /// Wraps an I/O error with the path that it happened on.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// Wraps a flush that failed: whatever the reason, what was written before it may be lost.
    pub(crate) fn flush(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |error| Error::Io { path, source: std::io::Error::other(format!("it could not be flushed: {error}")) }
    }

    /// An input that was refused before anything was written.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Error {
        Error::Invalid { field, reason: reason.into() }
    }

    /// True when the write was refused for what it is: nothing of it was stored, and others are not concerned.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Error::Invalid { .. } | Error::NotReplaceable { .. } | Error::NotFound)
    }

    /// True when the disk was full or could not be written, and nothing of the write was stored.
    pub fn is_out_of_space(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Error::Catalog(rusqlite::Error::SqliteFailure(failure, _)) => {
                matches!(failure.code, ErrorCode::DiskFull | ErrorCode::ReadOnly)
            }
            Error::NotStored { out_of_space, .. } => *out_of_space,
            Error::Io { source, .. } => no_space(source),
            Error::Keyword(tantivy::TantivyError::IoError(source)) => no_space(source),
            _ => false,
        }
    }

    /// True after a failure of the disk that leaves open what reached it. A full or read-only disk does not: the
    /// transaction is undone, and a later one may succeed.
    pub(crate) fn leaves_disk_unknown(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Error::Catalog(rusqlite::Error::SqliteFailure(failure, _)) => {
                matches!(failure.code, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            _ => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>, detail: impl std::fmt::Display) -> Error {
        Error::Corrupt { what: what.into(), detail: detail.to_string() }
    }
}

/// True for a disk that is full or may not be written.
fn no_space(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
