//! API keys: only the hash of a secret is kept, so a stolen catalog opens nothing.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use serde::{Deserialize, Serialize};

use crate::access::Guard;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Search, read documents and open citations.
    Search,
    /// Write documents, ACLs, containers and groups.
    Ingest,
    /// Everything an admin does.
    Admin,
    /// Name the user of a request without that user's own token.
    AssertUser,
}

impl Scope {
    /// Reads a scope by its name in the API.
    pub fn parse(text: &str) -> Option<Scope> {
        match text {
            "search" => Some(Scope::Search),
            "ingest" => Some(Scope::Ingest),
            "admin" => Some(Scope::Admin),
            "assert-user" => Some(Scope::AssertUser),
            _ => None,
        }
    }
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Narrows what its callers see.
    pub guard: Guard,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A key without its secret.
#[derive(Clone, Debug, Serialize)]
pub struct KeyRecord {
    /// The public part, shown in lists and logs.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Only these sources; absent is all.
    pub sources: Option<Vec<String>>,
    /// Only documents with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRecord {
    /// True while the key works.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// What the key narrows its callers to.
    pub fn guard(&self) -> Guard {
        Guard { sources: self.sources.clone(), labels: self.labels.clone() }
    }

    fn read(row: &Row<'_>) -> Result<KeyRecord> {
        let json = |error: serde_json::Error| Error::corrupt("key", error);
        let sources: Option<String> = row.get(4)?;
        Ok(KeyRecord {
            id: row.get(0)?,
            owner: row.get(1)?,
            purpose: row.get(2)?,
            scopes: serde_json::from_str(row.get_ref(3)?.as_str().unwrap_or_default()).map_err(json)?,
            sources: sources.map(|sources| serde_json::from_str(&sources)).transpose().map_err(json)?,
            labels: serde_json::from_str(row.get_ref(5)?.as_str().unwrap_or_default()).map_err(json)?,
            created_at: Timestamp(row.get(6)?),
            expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
            revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        })
    }
}

const KEY: &str = "SELECT id, owner, purpose, scopes, sources, labels, created_at, expires_at, revoked_at FROM keys";

/// Keeps a key by the hash of its secret.
pub(crate) fn insert(tx: &Transaction<'_>, id: &str, hash: &[u8; 32], key: &NewKey, now: Timestamp) -> Result<()> {
    let json = |error: serde_json::Error| Error::corrupt("key", error);
    let sources = key.guard.sources.as_ref().map(serde_json::to_string).transpose().map_err(json)?;
    tx.execute(
        "INSERT INTO keys (id, hash, owner, purpose, scopes, sources, labels, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        rusqlite::params![
            id,
            hash,
            key.owner,
            key.purpose,
            serde_json::to_string(&key.scopes).map_err(json)?,
            sources,
            serde_json::to_string(&key.guard.labels).map_err(json)?,
            now.0,
            key.expires_at.map(|at| at.0),
        ],
    )?;
    Ok(())
}

/// The key whose secret has this hash.
pub(crate) fn by_hash(db: &Connection, hash: &[u8; 32]) -> Result<Option<KeyRecord>> {
    let mut statement = db.prepare_cached(&format!("{KEY} WHERE hash = ?1"))?;
    let mut rows = statement.query([hash])?;
    rows.next()?.map(KeyRecord::read).transpose()
}

/// Every key, oldest first.
pub(crate) fn all(db: &Connection) -> Result<Vec<KeyRecord>> {
    let mut statement = db.prepare(&format!("{KEY} ORDER BY created_at, id"))?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(KeyRecord::read(row)?);
    }
    Ok(keys)
}

/// Revokes a key; true when it existed and worked.
pub(crate) fn revoke(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<bool> {
    let revoked = tx
        .query_row("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING id", (id, now.0), |_| Ok(()))
        .optional()?;
    Ok(revoked.is_some())
}
