//! What Sightline stores and how it is searched.
//!
//! A data directory holds a catalog, which is the truth, and a keyword and a vector index, which are derived from it.
//! [`Engine::write`] takes documents with their ACLs; [`Engine::search`] answers a [`Caller`] with cited passages that
//! the caller may read. This crate is synchronous, knows no network, and no clock that it was not handed.

mod access;
mod align;
mod answer;
mod backup;
mod catalog;
mod citation;
mod engine;
mod error;
mod keyword;
mod prefetch;
mod rows;
mod search;
mod timestamp;
mod vector;

pub use access::{AclState, Caller, Grant, Guard, MAX_ACL_ENTRIES, MAX_PRINCIPAL_ID_BYTES, Permit, Principal, Rule};
pub use answer::*;
pub use backup::{Backup, backup, restore};
pub use catalog::{Failure, Job, JobState, KeyRecord, NewKey, Scope, SourceRecord};
pub use citation::{Citation, Freshness, Location, Span};
pub use engine::*;
pub use error::{Error, Result};
#[doc(hidden)]
pub use keyword::analyzed;
pub use search::{
    Filter, Hit, MAX_LIMIT, MAX_NEIGHBORS, MAX_QUERY_BYTES, Mode, Query, RERANK_CANDIDATES, RankedDocument, Recency, Results,
    Scorer, Scores, Sort, SourcePolicy, Warning,
};
pub use timestamp::Timestamp;
pub use vector::normalized;
