//! API keys, managed beside a running server.

use rusqlite::TransactionBehavior;

use super::CATALOG;
use crate::catalog::sums::Sums;
use crate::catalog::{Catalog, KeyRecord, NewKey, keys};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// API keys can be managed beside a running server: they live in the catalog alone, and every request reads them anew.
#[derive(Debug)]
pub struct KeyRing {
    catalog: Catalog,
}

impl KeyRing {
    /// Opens the keys of a data directory, making the directory when it does not exist.
    pub fn open(dir: &std::path::Path) -> Result<KeyRing> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        Ok(KeyRing { catalog: Catalog::open(&dir.join(CATALOG), true)? })
    }

    /// Makes a key and returns its secret, which is kept nowhere.
    pub fn create(&self, key: &NewKey, now: Timestamp) -> Result<(KeyRecord, String)> {
        use base64::Engine as _;
        let mut bytes = [0u8; 38];
        getrandom::fill(&mut bytes).map_err(|error| Error::corrupt("random source", error))?;
        let (id, secret) = bytes.split_at(6);
        let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let id = encode(id);
        let secret = format!("sl_{id}_{}", encode(secret));
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        let mut connection = self.catalog.connect()?;
        let sums = Sums::watch(&connection)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        keys::insert(&tx, &id, &hash, key, now)?;
        sums.store(&tx)?;
        tx.commit()?;
        let made = self.catalog.read(|db| keys::by_hash(db, &hash))?.ok_or(Error::NotFound)?;
        Ok((made, secret))
    }

    /// Every key, oldest first.
    pub fn list(&self) -> Result<Vec<KeyRecord>> {
        self.catalog.read(keys::all)
    }

    /// Revokes a key; requests that start afterwards are refused.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key, or it was revoked before.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<()> {
        let mut connection = self.catalog.connect()?;
        let sums = Sums::watch(&connection)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let revoked = keys::revoke(&tx, id, now)?;
        sums.store(&tx)?;
        tx.commit()?;
        if revoked { Ok(()) } else { Err(Error::NotFound) }
    }
}
