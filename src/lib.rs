//! The program: configuration, callers, the HTTP API and the command line, over the engine and its ingest.
//!
//! Identity is made in one place ([`callers`]) and is a type. Handlers translate; they hold no ranking and no access rule.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod answering;
pub mod callers;
pub mod cli;
pub mod config;
pub mod eval;
pub mod http;
pub mod ranked;

mod error;

pub use error::Error;
