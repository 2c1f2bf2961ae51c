//! Ingest jobs and what failed in them.

use rusqlite::{Connection, Row, Transaction};
use serde::{Deserialize, Serialize};

use crate::access::SourceNo;
use crate::error::Result;
use crate::timestamp::Timestamp;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Under way, or cut off and not yet resumed.
    Running,
    /// Went through the whole source.
    Done,
    /// Stopped by an error.
    Failed,
}

impl JobState {
    fn text(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
        }
    }

    fn read(text: &str) -> JobState {
        match text {
            "running" => JobState::Running,
            "done" => JobState::Done,
            _ => JobState::Failed,
        }
    }
}

/// One run of a connector over a source.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// The source.
    pub source: String,
    /// Where it stands.
    pub state: JobState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Counts of what it did, as JSON.
    pub summary: serde_json::Value,
}

/// An item that a job could not ingest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The item's id in its source.
    pub item: String,
    /// A stable code such as `damaged`.
    pub code: String,
    /// What is wrong, for a person.
    pub detail: String,
}

/// Begins a job, and marks earlier ones of the source that never ended as failed.
pub(crate) fn begin(tx: &Transaction<'_>, source: SourceNo, now: Timestamp) -> Result<i64> {
    tx.execute("UPDATE jobs SET state = 'failed', ended_at = ?2 WHERE source = ?1 AND state = 'running'", (source, now.0))?;
    Ok(tx
        .prepare_cached("INSERT INTO jobs (source, state, started_at, summary) VALUES (?1, 'running', ?2, '{}')")?
        .insert((source, now.0))?)
}

/// Ends a job.
pub(crate) fn end(tx: &Transaction<'_>, job: i64, state: JobState, summary: &serde_json::Value, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET state = ?2, summary = ?3, ended_at = ?4 WHERE num = ?1",
        (job, state.text(), summary.to_string(), now.0),
    )?;
    Ok(())
}

/// Records what failed in a job.
pub(crate) fn fail(tx: &Transaction<'_>, job: i64, failure: &Failure) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO failures (job, item, code, detail) VALUES (?1, ?2, ?3, ?4)")?.execute((
        job,
        &failure.item,
        &failure.code,
        &failure.detail,
    ))?;
    Ok(())
}

/// The newest jobs, newest first.
pub(crate) fn list(db: &Connection, limit: u32) -> Result<Vec<Job>> {
    let mut statement = db.prepare(
        "SELECT j.num, s.id, j.state, j.started_at, j.ended_at, j.summary FROM jobs j JOIN sources s ON s.num = j.source \
         ORDER BY j.num DESC LIMIT ?1",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Job {
            id: row.get(0)?,
            source: row.get(1)?,
            state: JobState::read(row.get_ref(2)?.as_str()?),
            started_at: Timestamp(row.get(3)?),
            ended_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            summary: serde_json::from_str(row.get_ref(5)?.as_str()?).unwrap_or_default(),
        })
    };
    Ok(statement.query_map([limit], read)?.collect::<rusqlite::Result<_>>()?)
}

/// What failed in a job, by item.
pub(crate) fn failures(db: &Connection, job: i64) -> Result<Vec<Failure>> {
    let mut statement = db.prepare("SELECT item, code, detail FROM failures WHERE job = ?1 ORDER BY item")?;
    let read = |row: &Row<'_>| Ok(Failure { item: row.get(0)?, code: row.get(1)?, detail: row.get(2)? });
    Ok(statement.query_map([job], read)?.collect::<rusqlite::Result<_>>()?)
}
