//! Writing lines together: one transaction for all that are ready, and a result for each.

use sightline_index::{Engine, Receipt, Timestamp, Write};

use crate::http::Shared;
use crate::http::errors::Problem;
use crate::http::receipt::ReceiptBody;

/// Writes what is to be written, in order, and keeps the problems of the others in their places.
pub(super) async fn write_group(service: &Shared, prepared: Vec<Result<Write, Problem>>) -> Vec<Result<ReceiptBody, Problem>> {
    let mut results = Vec::with_capacity(prepared.len());
    let mut writes = Vec::new();
    for line in prepared {
        results.push(line.map(|write| writes.push(write)));
    }
    let mut written = if writes.is_empty() { Vec::new() } else { write(service, writes).await }.into_iter();
    let missing = || Err(Problem::internal("a write had no receipt"));
    results.into_iter().map(|line| line.and_then(|()| written.next().unwrap_or_else(missing))).collect()
}

async fn write(service: &Shared, writes: Vec<Write>) -> Vec<Result<ReceiptBody, Problem>> {
    let count = writes.len();
    let engine = service.engine().clone();
    let receipts = match service.changes.wait().await {
        Ok(place) => place.run(move || Ok::<_, Problem>(each(&engine, writes))).await,
        Err(problem) => Err(problem),
    };
    match receipts {
        Ok(receipts) => receipts.into_iter().map(|receipt| receipt.and_then(ReceiptBody::of)).collect(),
        Err(problem) => vec![Err(problem); count],
    }
}

/// One transaction for all; a line that is refused fails alone.
fn each(engine: &Engine, writes: Vec<Write>) -> Vec<Result<Receipt, Problem>> {
    let count = writes.len();
    match engine.write_each(writes, Timestamp::now()) {
        Ok(receipts) => receipts.into_iter().map(|receipt| receipt.map_err(Problem::from)).collect(),
        Err(error) => vec![Err(error.into()); count],
    }
}
