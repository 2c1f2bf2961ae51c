//! Vector search: codes of the rows that the caller may read are scanned, the best are compared in full precision.
//!
//! Rows and int8 codes are kept by chunk number ([`store`]), sign codes in sealed segments sorted by ACL class
//! ([`segment`], [`shelf`]) and, until they are sealed, in the tail ([`tail`]). A sealed segment has clusters ([`clusters`]), and
//! all rows with clusters a graph ([`graph`]), so that a caller who may read much has only rows near the query looked at. [`snapshot`] is what one search reads.

mod clusters;
mod cut;
mod exact;
mod files;
mod graph;
mod head;
mod held;
mod kernel;
mod kernels;
mod quantize;
mod scan;
mod search;
mod segment;
mod shelf;
mod snapshot;
mod store;
mod tail;
#[cfg(test)]
mod tests;

pub(crate) use kernel::dot;
pub(crate) use search::{Depth, Scope};
pub(crate) use shelf::{Shelf, Sizes, clusters_wanted, graph_wanted, plan};
pub(crate) use snapshot::VectorSnapshot;
pub(crate) use store::{Stored, VectorStore};

use crate::error::{Error, Result};

/// Checks a vector as a model gives it and scales it to length 1.
///
/// # Errors
/// [`Error::Invalid`] for another dimension, a value that is not finite, or a zero vector: each would rank everywhere.
pub fn normalized(vector: &[f32], dimensions: usize) -> Result<Vec<f32>> {
    if vector.len() != dimensions {
        return Err(Error::invalid("vector", format!("{} values, {dimensions} are expected", vector.len())));
    }
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length < 1e-12 {
        return Err(Error::invalid("vector", "a value is not finite, or all are zero"));
    }
    Ok(vector.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}
