//! Group commit: writes that arrive while one transaction is being made durable share the next one.
//!
//! Whoever gets the catalog's lock first commits for all that wait, and publishes what was committed while the next commits. Of
//! several batches each is a savepoint, so that one that is refused takes no other with it; one flush serves them all.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::TransactionBehavior;

use super::Engine;
use super::transaction::{Receipt, Writing};
use super::writer::{CatalogWriter, Committed, Writer};
use crate::catalog::meta;
use crate::catalog::sums::Sums;
use crate::engine::Write;
use crate::error::{Error, Result};
use crate::keyword::Indexed;
use crate::timestamp::Timestamp;
use crate::vector::VectorStore;

/// A transaction takes no more writes when it has this many.
const MAX_GROUP_WRITES: usize = 4_096;

/// A write, and the terms of its chunks.
pub(super) type Prepared = (Write, Vec<Indexed>);

/// Batches that wait for a transaction, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    batches: Mutex<VecDeque<Batch>>,
}

struct Batch {
    writes: Vec<Prepared>,
    now: Timestamp,
    answer: Answer,
}

/// Where the result of a batch is left for whom it belongs to.
type Answer = Arc<Mutex<Option<Result<Vec<Receipt>>>>>;

impl Engine {
    /// Commits batches, with whatever waits beside them, and answers each.
    pub(super) fn write_prepared(&self, batches: Vec<Vec<Prepared>>, now: Timestamp) -> Result<Vec<Result<Vec<Receipt>>>> {
        let writer = self.writer()?;
        let answers: Vec<Answer> = batches.iter().map(|_| Answer::default()).collect();
        let batches = batches.into_iter().zip(&answers);
        let batches = batches.map(|(writes, answer)| Batch { writes, now, answer: answer.clone() });
        self.waiting.batches.lock().extend(batches);
        // They were queued together and in order, so the last is answered last.
        while answers.last().is_some_and(|last| last.lock().is_none()) {
            let catalog = writer.catalog.lock();
            let group = self.waiting.next_group();
            if group.is_empty() {
                // Someone else has committed them, and answers before the index is let go.
                drop(catalog);
                drop(writer.index.lock());
            } else {
                self.write_group(writer, catalog, group);
            }
        }
        Ok(answers.iter().filter_map(|answer| answer.lock().take()).collect())
    }

    /// Commits a group, publishes it, and answers each batch of it.
    fn write_group(&self, writer: &Writer, mut catalog: MutexGuard<'_, CatalogWriter>, group: Vec<Batch>) {
        let answers: Vec<Answer> = group.iter().map(|batch| batch.answer.clone()).collect();
        let answer = |results: Vec<Result<Vec<Receipt>>>| {
            answers.iter().zip(results).for_each(|(slot, result)| *slot.lock() = Some(result));
        };
        let refuse = |reason: &str| answer(answers.iter().map(|_| Err(writer.poison(reason.to_owned()))).collect());
        if let Some(reason) = writer.poisoned.get() {
            return refuse(reason);
        }
        match catalog.commit(group) {
            Ok((results, None)) => answer(results),
            Ok((results, Some(committed))) => {
                // What is committed must be published, or nothing may follow it.
                if let Err(error) = catalog.checkpoint_when_due(committed.seq) {
                    return refuse(&error.to_string());
                }
                let published = writer.in_order(catalog, |index| {
                    self.publish(index, committed)?;
                    answer(results);
                    Ok(())
                });
                if let Err(error) = published {
                    refuse(&error.to_string());
                }
            }
            Err(error) if error.leaves_disk_unknown() => refuse(&error.to_string()),
            Err(error) => {
                let (reason, out_of_space) = (error.to_string(), error.is_out_of_space());
                let others = (1..answers.len()).map(|_| Err(Error::NotStored { reason: reason.clone(), out_of_space }));
                answer([Err(error)].into_iter().chain(others).collect());
            }
        }
    }
}

/// What each batch of a group is answered once it is published, and what is to be published, if anything.
type Answered = (Vec<Result<Vec<Receipt>>>, Option<Committed>);

impl CatalogWriter {
    fn commit(&mut self, group: Vec<Batch>) -> Result<Answered> {
        let mut writing = Writing::begin(&mut self.connection, &self.sums)?;
        let results = match <[Batch; 1]>::try_from(group) {
            // Nothing else is in the transaction: when the batch is refused, all of it is undone.
            Ok([batch]) => match writing.apply_all(batch) {
                Err(error) if error.is_refusal() => return Ok((vec![Err(error)], None)),
                applied => vec![Ok(applied?)],
            },
            Err(group) => group.into_iter().map(|batch| writing.apply_apart(batch)).collect::<Result<_>>()?,
        };
        let (seq, epoch) = (writing.seq, writing.epoch);
        self.unsynced += CatalogWriter::put_vectors(&mut self.vectors, &writing.effects)?;
        let effects = writing.commit()?;
        Ok((results, Some(Committed { effects, seq, epoch, vectors: self.vectors.as_ref().map(VectorStore::stored) })))
    }
}

impl Waiting {
    fn next_group(&self) -> Vec<Batch> {
        let mut waiting = self.batches.lock();
        let mut group = Vec::new();
        let mut writes = 0;
        while let Some(batch) = waiting.pop_front() {
            writes += batch.writes.len();
            group.push(batch);
            if writes >= MAX_GROUP_WRITES {
                break;
            }
        }
        group
    }
}

impl<'a> Writing<'a> {
    /// Begins a transaction.
    pub(super) fn begin(connection: &'a mut rusqlite::Connection, sums: &'a Sums) -> Result<Writing<'a>> {
        sums.begin();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let seq = meta::<i64>(&tx, "seq")?.unwrap_or_default().cast_unsigned();
        let epoch = meta::<i64>(&tx, "epoch")?.unwrap_or_default().cast_unsigned();
        Ok(Writing { tx, sums, seq, epoch, now: Timestamp(0), effects: Vec::new() })
    }

    /// Applies a batch; after an error some of it may be in the transaction.
    fn apply_all(&mut self, batch: Batch) -> Result<Vec<Receipt>> {
        self.now = batch.now;
        batch.writes.into_iter().map(|(write, terms)| self.apply(write, terms)).collect()
    }

    /// Applies a batch in whole or not at all. The outer error is that of the transaction. With a savepoint every page that is
    /// written is journaled, which takes about a tenth longer.
    fn apply_apart(&mut self, batch: Batch) -> Result<Result<Vec<Receipt>>> {
        let before = (self.seq, self.epoch, self.effects.len());
        let undo = self.sums.mark();
        self.tx.execute_batch("SAVEPOINT batch")?;
        let applied = self.apply_all(batch);
        match applied {
            Err(error) if error.is_refusal() => {
                self.tx.execute_batch("ROLLBACK TO batch; RELEASE batch")?;
                undo();
                (self.seq, self.epoch) = (before.0, before.1);
                self.effects.truncate(before.2);
                Ok(Err(error))
            }
            Err(error) => Err(error),
            Ok(receipts) => {
                self.tx.execute_batch("RELEASE batch")?;
                Ok(Ok(receipts))
            }
        }
    }
}
