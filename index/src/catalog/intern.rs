//! Rules, labels and classes by number: equal ones share a row, and a number is never reused.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use rusqlite::{Connection, OptionalExtension, Params, Transaction};

use crate::access::{AclState, Class, ClassNo, LabelsNo, Rule, RuleNo, SourceNo};
use crate::error::{Error, Result};

/// A number, and whether this call made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interned {
    pub(crate) number: u32,
    pub(crate) fresh: bool,
}

/// The number of a rule of a source.
pub(crate) fn rule(tx: &Transaction<'_>, source: SourceNo, rule: &Rule) -> Result<Interned> {
    let body = serde_json::to_string(rule).map_err(|error| Error::corrupt("rule", error))?;
    find_or_insert(
        tx,
        "SELECT num FROM rules WHERE source = ?1 AND body = ?2",
        "INSERT INTO rules (source, body) VALUES (?1, ?2)",
        (source, &body),
    )
}

/// The number of a set of labels.
pub(crate) fn labels(tx: &Transaction<'_>, labels: &BTreeMap<String, String>) -> Result<Interned> {
    let body = serde_json::to_string(labels).map_err(|error| Error::corrupt("labels", error))?;
    find_or_insert(tx, "SELECT num FROM labels WHERE body = ?1", "INSERT INTO labels (body) VALUES (?1)", (&body,))
}

/// The number of a class.
pub(crate) fn class(tx: &Transaction<'_>, class: Class) -> Result<Interned> {
    find_or_insert(
        tx,
        "SELECT num FROM classes WHERE source = ?1 AND labels = ?2 AND rule = ?3 AND section = ?4 AND read_at = ?5",
        "INSERT INTO classes (source, labels, rule, section, read_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        (class.source, class.labels, class.rule, zero(class.section), zero(class.read_at)),
    )
}

/// The rule with this number.
pub(crate) fn rule_by_number(db: &Connection, number: RuleNo) -> Result<Rule> {
    let body: String = db.prepare_cached("SELECT body FROM rules WHERE num = ?1")?.query_row([number], |row| row.get(0))?;
    Ok(read_rule(&body))
}

/// A rule as it is stored. One that cannot be read withholds what it governs; the rest of the directory opens.
fn read_rule(body: &str) -> Rule {
    let withheld = |error| Rule::withheld(AclState::Invalid, format!("its stored form cannot be read: {error}"));
    serde_json::from_str(body).unwrap_or_else(withheld)
}

/// Every rule, with its source.
pub(crate) fn rules(db: &Connection, mut each: impl FnMut(RuleNo, SourceNo, Rule)) -> Result<()> {
    let mut statement = db.prepare("SELECT num, source, body FROM rules")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body: String = row.get(2)?;
        each(row.get(0)?, row.get(1)?, read_rule(&body));
    }
    Ok(())
}

/// Every set of labels.
pub(super) fn all_labels(db: &Connection, mut each: impl FnMut(LabelsNo, BTreeMap<String, String>)) -> Result<()> {
    let mut statement = db.prepare("SELECT num, body FROM labels")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        each(row.get(0)?, serde_json::from_str(&body).map_err(|error| Error::corrupt("labels", error))?);
    }
    Ok(())
}

/// Every class.
pub(super) fn classes(db: &Connection, mut each: impl FnMut(ClassNo, Class)) -> Result<()> {
    let mut statement = db.prepare("SELECT num, source, labels, rule, section, read_at FROM classes")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (section, read_at) = (NonZeroU32::new(row.get(4)?), NonZeroU32::new(row.get(5)?));
        each(row.get(0)?, Class { source: row.get(1)?, labels: row.get(2)?, rule: row.get(3)?, section, read_at });
    }
    Ok(())
}

fn zero(number: Option<NonZeroU32>) -> u32 {
    number.map_or(0, NonZeroU32::get)
}

pub(super) fn find_or_insert<P: Params + Clone>(tx: &Transaction<'_>, find: &str, insert: &str, key: P) -> Result<Interned> {
    let found = tx.prepare_cached(find)?.query_row(key.clone(), |row| row.get(0)).optional()?;
    if let Some(number) = found {
        return Ok(Interned { number, fresh: false });
    }
    let number = tx.prepare_cached(insert)?.insert(key)?;
    let number = u32::try_from(number).map_err(|_| Error::corrupt("catalog", "more than 2^32 rows"))?;
    Ok(Interned { number, fresh: true })
}
