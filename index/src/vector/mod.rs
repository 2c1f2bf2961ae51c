//! Vector search: full-precision rows by chunk number in a memory-mapped file, scanned over what the caller may read.

mod kernel;
mod store;

pub(crate) use kernel::dot;
pub(crate) use store::{VectorSnapshot, VectorStore};

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
