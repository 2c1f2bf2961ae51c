//! Integration tests, in one binary so that linking happens once. One module per feature.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod access_report;
mod acl_mutations;
mod answers;
mod bad_files;
mod citations;
mod crash;
mod damage;
mod demo;
mod embedding;
mod eval;
mod folder;
mod fuzz;
mod groups_of_writes;
mod http;
mod http_batch;
mod http_callers;
mod http_documents;
mod http_errors;
mod http_search;
mod hybrid;
mod kill;
mod kubernetes;
mod languages;
mod oracle;
mod permissions;
mod private_engines;
mod program;
mod rerank;
mod revocation;
mod sealing;
mod updates;
mod versions;
mod workspace;
