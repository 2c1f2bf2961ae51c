//! Backup and restore: a copy of the catalog of one moment, with a manifest that says what it must be.
//!
//! The catalog is the truth and everything else is rebuilt from it, so it is all that is copied. A backup can be taken
//! while a server writes: the copy is made in one read transaction. It is complete, secrets of tokens and hashes of keys
//! included, and has to be kept like the data itself.

use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, FORMAT, meta, sums};
use crate::engine::{CATALOG, Engine, Options, Stats};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

const COPY: &str = "catalog.sqlite";
const MANIFEST: &str = "backup.json";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The format of the catalog.
    pub format: u32,
    /// Every write up to this one is in it.
    pub seq: u64,
    /// The epoch of that moment.
    pub epoch: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Live documents in it.
    pub documents: u64,
    /// The size of the copy.
    pub bytes: u64,
    /// blake3 of the copy, in hex.
    pub blake3: String,
}

/// Takes a backup of a data directory into the new folder `to`, also while a server writes.
///
/// # Errors
/// [`Error::Invalid`] when `to` exists; [`Error::Corrupt`] when rows of the catalog are not what was written.
pub fn backup(data: &Path, to: &Path, now: Timestamp) -> Result<Backup> {
    if to.exists() {
        return Err(Error::invalid("backup", format!("{} exists; name a new folder", to.display())));
    }
    let catalog = Catalog::open(&data.join(CATALOG), false)?;
    let fresh = to.with_extension("partial");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(Error::io(&fresh))?;
    }
    fs::create_dir_all(&fresh).map_err(Error::io(&fresh))?;
    let copy = fresh.join(COPY);
    let path = copy.to_str().ok_or_else(|| Error::invalid("backup", "its path is not UTF-8"))?;
    catalog.connect()?.execute("VACUUM INTO ?1", [path])?;
    let made = Catalog::open(&copy, false)?;
    let (mut backup, wrong) = made.read(|db| {
        let documents: i64 = db.query_row("SELECT count(*) FROM documents WHERE deleted_at IS NULL", [], |row| row.get(0))?;
        let number = |key| Ok::<_, Error>(meta::<i64>(db, key)?.unwrap_or_default().cast_unsigned());
        let backup = Backup {
            format: FORMAT,
            seq: number("seq")?,
            epoch: number("epoch")?,
            taken_at: now,
            documents: documents.cast_unsigned(),
            bytes: 0,
            blake3: String::new(),
        };
        Ok((backup, sums::verify(db)?))
    })?;
    made.close()?;
    if !wrong.is_empty() {
        fs::remove_dir_all(&fresh).map_err(Error::io(&fresh))?;
        return Err(Error::corrupt("catalog", format!("{}; no backup was taken", wrong.join("; "))));
    }
    (backup.bytes, backup.blake3) = hash_file(&copy)?;
    let manifest = serde_json::to_vec_pretty(&backup).map_err(|error| Error::corrupt("manifest", error))?;
    fs::write(fresh.join(MANIFEST), manifest).map_err(Error::io(&fresh))?;
    for file in [&copy, &fresh.join(MANIFEST), &fresh] {
        File::open(file).and_then(|file| file.sync_all()).map_err(Error::io(file))?;
    }
    fs::rename(&fresh, to).map_err(Error::io(to))?;
    sync_parent(to)?;
    Ok(backup)
}

/// Makes a data directory from a backup and builds its indexes. Returns what the backup says and what is there now.
///
/// # Errors
/// [`Error::Invalid`] when the directory holds data already; [`Error::Corrupt`] when the backup is damaged.
pub fn restore(from: &Path, data: &Path) -> Result<(Backup, Stats)> {
    let manifest = from.join(MANIFEST);
    let bytes = fs::read(&manifest).map_err(Error::io(&manifest))?;
    let backup: Backup = serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(manifest.display().to_string(), error))?;
    if backup.format > FORMAT {
        return Err(Error::NewerFormat { found: backup.format, supported: FORMAT });
    }
    let catalog = data.join(CATALOG);
    if catalog.exists() {
        return Err(Error::invalid("data", format!("{} holds data already; restore into a new directory", data.display())));
    }
    fs::create_dir_all(data).map_err(Error::io(data))?;
    let fresh = data.join("catalog.restoring");
    fs::copy(from.join(COPY), &fresh).map_err(Error::io(from.join(COPY)))?;
    if (backup.bytes, backup.blake3.clone()) != hash_file(&fresh)? {
        fs::remove_file(&fresh).map_err(Error::io(&fresh))?;
        return Err(Error::corrupt(from.join(COPY).display().to_string(), "it is not the file that the manifest describes"));
    }
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(Error::io(&fresh))?;
    fs::rename(&fresh, &catalog).map_err(Error::io(&catalog))?;
    sync_parent(&catalog)?;
    let stats = Engine::open(data, &Options::default())?.stats()?;
    Ok((backup, stats))
}

fn hash_file(path: &Path) -> Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(Error::io(path))?;
    let bytes = std::io::copy(&mut file, &mut hasher).map_err(Error::io(path))?;
    Ok((bytes, hasher.finalize().to_string()))
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(Error::io(parent))
}
