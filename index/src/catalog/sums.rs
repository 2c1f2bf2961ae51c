//! A sum over the rows of each table, so that a row that changed by itself is noticed: a bit that flipped on disk, or a
//! hand that edited the file.
//!
//! The sum is that of the rows' hashes modulo 2^128, so a write adds what it inserts and takes away what it deletes. On a
//! connection that writes, temporary triggers see every row; what they collected is stored with the transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::Result;

/// The table that holds the sums; the only one without a sum.
const SUMS: &str = "sums";

type Changes = BTreeMap<String, u128>;

/// What the open transaction of a connection changed.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    changes: Arc<Mutex<Changes>>,
}

impl Sums {
    /// Watches the rows that a connection writes.
    pub(crate) fn watch(connection: &Connection) -> Result<Sums> {
        let changes = Arc::new(Mutex::new(Changes::new()));
        let collected = changes.clone();
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        connection.create_scalar_function("sum_row", -1, flags, move |row| {
            let added: bool = row.get(0)?;
            let table: String = row.get(1)?;
            let hash = hash_of(&table, (2..row.len()).map(|at| value_at(row, at)));
            let mut changes = collected.lock();
            let sum = changes.entry(table).or_default();
            *sum = if added { sum.wrapping_add(hash) } else { sum.wrapping_sub(hash) };
            Ok(0)
        })?;
        // Else `INSERT OR REPLACE` deletes rows that no trigger sees.
        connection.pragma_update(None, "recursive_triggers", true)?;
        let mut triggers = String::new();
        for table in tables(connection)? {
            let columns = columns(connection, &table)?;
            let row = |which: &str| {
                let values: Vec<String> = columns.iter().map(|column| format!("{which}.\"{column}\"")).collect();
                let (added, values) = (which == "NEW", values.join(", "));
                format!("SELECT sum_row({added}, '{table}', {values});")
            };
            let (new, old) = (row("NEW"), row("OLD"));
            triggers += &format!(
                "CREATE TEMP TRIGGER sum_insert_{table} AFTER INSERT ON {table} BEGIN {new} END;
                 CREATE TEMP TRIGGER sum_delete_{table} AFTER DELETE ON {table} BEGIN {old} END;
                 CREATE TEMP TRIGGER sum_update_{table} AFTER UPDATE ON {table} BEGIN {old} {new} END;"
            );
        }
        connection.execute_batch(&triggers)?;
        Ok(Sums { changes })
    }

    /// Forgets what a transaction that was undone had changed; call it when one begins.
    pub(crate) fn begin(&self) {
        self.changes.lock().clear();
    }

    /// What was changed so far, to come back to.
    pub(crate) fn mark(&self) -> impl FnOnce() + use<> {
        let (changes, mark) = (self.changes.clone(), self.changes.lock().clone());
        move || *changes.lock() = mark
    }

    /// Stores the sums; the last statement of a transaction.
    pub(crate) fn store(&self, tx: &Connection) -> Result<()> {
        for (table, change) in std::mem::take(&mut *self.changes.lock()) {
            let sum = stored(tx, &table)?.unwrap_or_default().wrapping_add(change);
            save(tx, &table, sum)?;
        }
        Ok(())
    }
}

/// Computes all sums anew, for a catalog that is made or migrated.
pub(crate) fn store_all(tx: &Connection) -> Result<()> {
    for table in tables(tx)? {
        save(tx, &table, computed(tx, &table)?)?;
    }
    Ok(())
}

/// The tables whose rows are not those that were written.
pub(crate) fn verify(db: &Connection) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for table in tables(db)? {
        if stored(db, &table)?.unwrap_or_default() != computed(db, &table)? {
            wrong.push(format!("rows of the table `{table}` are not what was written"));
        }
    }
    Ok(wrong)
}

fn tables(db: &Connection) -> Result<Vec<String>> {
    let mut statement =
        db.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> ?1")?;
    Ok(statement.query_map([SUMS], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn columns(db: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    Ok(statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn computed(db: &Connection, table: &str) -> Result<u128> {
    let columns = columns(db, table)?;
    let list: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
    let mut statement = db.prepare(&format!("SELECT {} FROM main.{table}", list.join(", ")))?;
    let mut rows = statement.query([])?;
    let mut sum = 0u128;
    while let Some(row) = rows.next()? {
        sum = sum.wrapping_add(hash_of(table, (0..columns.len()).map(|at| column_at(row, at))));
    }
    Ok(sum)
}

/// The sum over a table as it was written; `None` where it never had a row.
pub(crate) fn stored(db: &Connection, table: &str) -> Result<Option<u128>> {
    let mut statement = db.prepare_cached("SELECT sum FROM sums WHERE tbl = ?1")?;
    let sum: Option<[u8; 16]> = statement.query_row([table], |row| row.get(0)).optional()?;
    Ok(sum.map(u128::from_le_bytes))
}

fn save(tx: &Connection, table: &str, sum: u128) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO sums (tbl, sum) VALUES (?1, ?2)")?.execute((table, sum.to_le_bytes()))?;
    Ok(())
}

fn value_at<'a>(row: &'a Context<'_>, at: usize) -> ValueRef<'a> {
    row.get_raw(at)
}

fn column_at<'a>(row: &'a Row<'_>, at: usize) -> ValueRef<'a> {
    row.get_ref(at).unwrap_or(ValueRef::Null)
}

/// 128 bits of blake3 over the table's name and the values with their types.
fn hash_of<'a>(table: &str, values: impl Iterator<Item = ValueRef<'a>>) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.as_bytes());
    for value in values {
        match value {
            ValueRef::Null => hasher.update(&[0]),
            ValueRef::Integer(value) => hasher.update(&[1]).update(&value.to_le_bytes()),
            ValueRef::Real(value) => hasher.update(&[2]).update(&value.to_le_bytes()),
            ValueRef::Text(value) => hasher.update(&[3]).update(&(value.len() as u64).to_le_bytes()).update(value),
            ValueRef::Blob(value) => hasher.update(&[4]).update(&(value.len() as u64).to_le_bytes()).update(value),
        };
    }
    let mut low = [0; 16];
    low.copy_from_slice(hasher.finalize().as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
    u128::from_le_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_change_a_row_is_seen_and_a_change_behind_the_back_is_noticed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE sums (tbl TEXT PRIMARY KEY, sum BLOB NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE a (num INTEGER PRIMARY KEY, k TEXT UNIQUE, v BLOB);
             CREATE TABLE b (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID;",
        )
        .unwrap();
        let sums = Sums::watch(&db).unwrap();
        let run = |sql: &str| {
            sums.begin();
            db.execute_batch(&format!("BEGIN; {sql}")).unwrap();
            sums.store(&db).unwrap();
            db.execute_batch("COMMIT").unwrap();
            assert_eq!(verify(&db).unwrap(), [""; 0], "after {sql}");
        };
        run("INSERT INTO a (k, v) VALUES ('x', x'01'), ('y', NULL); INSERT INTO b VALUES ('x', 1), ('y', 2)");
        run("INSERT OR REPLACE INTO a (k, v) VALUES ('x', x'02'); INSERT OR REPLACE INTO b VALUES ('x', 3)");
        run("INSERT OR REPLACE INTO a (num, k, v) VALUES (2, 'z', x'02')");
        run("UPDATE a SET v = x'05' WHERE k = 'z'; UPDATE b SET k = 'w' WHERE k = 'y'");
        run("INSERT OR IGNORE INTO b VALUES ('w', 9)");
        run("DELETE FROM a WHERE k = 'z'; DELETE FROM b");
        sums.begin();
        db.execute_batch("BEGIN; SAVEPOINT s; INSERT INTO b VALUES ('kept', 1)").unwrap();
        let undo = sums.mark();
        db.execute_batch("SAVEPOINT t; INSERT INTO b VALUES ('undone', 1); ROLLBACK TO t").unwrap();
        undo();
        sums.store(&db).unwrap();
        db.execute_batch("COMMIT").unwrap();
        assert_eq!(verify(&db).unwrap(), [""; 0]);
        db.execute_batch("UPDATE b SET v = 2").unwrap();
        assert_eq!(verify(&db).unwrap().len(), 1);
    }
}
