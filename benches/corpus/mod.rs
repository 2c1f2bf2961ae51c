//! The passages that the benches read: texts, vectors, and perturbed copies where more are wanted than there are.
#![allow(dead_code, clippy::unwrap_used, reason = "each bench uses a part")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// How long the noise of a perturbed copy is; vectors have length 1.
pub(crate) const NOISE: f32 = 0.25;

#[derive(Clone)]
pub(crate) struct Passage {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// The folder of the passages.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("SIGHTLINE_DATA").map_or_else(|| PathBuf::from("../shared/data/passages-100k"), PathBuf::from)
}

/// The texts, in their order.
pub(crate) fn passages(folder: &Path) -> Vec<Passage> {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(folder.join("docs.jsonl.gz")).unwrap());
    let lines = BufReader::new(file).lines();
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let text = |field: &str| line.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            Passage { title: text("title"), text: text("text") }
        })
        .collect()
}

/// Title and text of a passage; those beyond the corpus repeat it with a word of their own.
pub(crate) fn passage(passages: &[Passage], number: usize) -> Passage {
    let known = passages.get(number % passages.len()).unwrap().clone();
    match number / passages.len() {
        0 => known,
        round => Passage { text: format!("{} round{round}", known.text), ..known },
    }
}

/// The rows of a NumPy file of int8 or float32 in C order, scaled to length 1.
pub(crate) fn rows(path: &Path) -> Option<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path).ok()?;
    let head = usize::from(u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]));
    let (header, values) = bytes.get(10..)?.split_at_checked(head)?;
    let header = std::str::from_utf8(header).ok()?;
    let shape = header.split_once("'shape': (")?.1.split_once(')')?.0;
    let width: usize = shape.split(',').nth(1)?.trim().parse().ok()?;
    let values: Vec<f32> = match header.contains("|i1") {
        true => values.iter().map(|value| f32::from(value.cast_signed())).collect(),
        false => values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
    };
    Some(values.chunks_exact(width).map(|row| unit(row.to_vec())).collect())
}

/// A row with noise; the same for the same seed.
pub(crate) fn perturbed(row: &[f32], seed: u64) -> Vec<f32> {
    let mut dice = seed + 1;
    // The sum of four uniform numbers is normal enough.
    let mut noise = || (0..4).map(|_| (roll(&mut dice) % 65_536) as f32 / 65_536.0 - 0.5).sum();
    let noise = unit(row.iter().map(|_| noise()).collect());
    unit(row.iter().zip(noise).map(|(value, noise)| value + NOISE * noise).collect())
}

pub(crate) fn unit(row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    row.into_iter().map(|value| (f64::from(value) / length) as f32).collect()
}

pub(crate) fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
