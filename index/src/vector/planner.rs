//! Decides by segment whether its permitted rows are scanned or its graph is walked.
//!
//! The number of permitted rows is known exactly, so the cost of a scan is too. The cost of a walk is estimated: for the
//! same answer it looks at so many more rows as fewer of them are permitted. What a row costs either way is measured once,
//! at the first search that could walk, on the segment at hand: three of its rows are looked for both ways, which takes a
//! few milliseconds. Where fewer than half of the rows are permitted a scan is always preferred.

use std::sync::OnceLock;
use std::time::Instant;

use super::graph::{Graph, Walk, walk};
use super::kernels::kernels;
use super::quantize::QueryCode;
use super::segment::Segment;
use super::snapshot::VectorSnapshot;
use crate::access::Bits;

/// Permitted rows that a walk looks for, at least. Measured on four segments of 262,144 rows: recall@10 is 0.965 with 128,
/// 0.987 with 256 and 0.995 with 512.
const MIN_WANTED: usize = 256;
/// Permitted rows that a walk looks for, for each result that is wanted.
const WANTED_PER_RESULT: usize = 2;
/// A walk must promise to cost less than this share of the scan.
const MAX_SHARE: f64 = 0.7;
/// The lowest share of permitted rows at which a walk is considered.
const MIN_SELECTIVITY: f64 = 0.5;
/// Rows that are looked for when costs are measured.
const SAMPLES: usize = 3;

/// What searching costs on this machine.
#[derive(Clone, Copy, Debug)]
struct Costs {
    /// Nanoseconds to scan a row.
    scan: f64,
    /// Nanoseconds to look at a row in a walk.
    look: f64,
    /// Rows that a walk looks at for each that it looks for.
    looks: f64,
}

/// How far to walk for `limit` results in this graph when `permitted` of the segment's rows are; `None` where a scan is
/// preferred.
pub(super) fn plan(vectors: &VectorSnapshot, segment: &Segment, graph: &Graph, permitted: u32, limit: usize) -> Option<Walk> {
    static COSTS: OnceLock<Costs> = OnceLock::new();
    let selectivity = f64::from(permitted) / f64::from(segment.len());
    if selectivity < MIN_SELECTIVITY {
        return None;
    }
    let costs = COSTS.get_or_init(|| measure(vectors, segment, graph));
    let wanted = MIN_WANTED.max(WANTED_PER_RESULT * limit);
    let scan = costs.scan * f64::from(permitted);
    let walk = costs.look * costs.looks * wanted as f64 / selectivity;
    (walk < MAX_SHARE * scan).then_some(Walk { wanted, budget: (scan / costs.look) as usize })
}

fn measure(vectors: &VectorSnapshot, segment: &Segment, graph: &Graph) -> Costs {
    let mut all = Bits::default();
    all.insert_range(0..segment.len());
    let (mut scan, mut look, mut looked) = (f64::MAX, f64::MAX, 0);
    let mut found = Vec::new();
    for sample in 0..SAMPLES {
        let chunk = segment.chunks().get(segment.len() as usize / (SAMPLES + 1) * (sample + 1));
        let Some(query) = chunk.and_then(|chunk| vectors.values(u32::from_le_bytes(*chunk))) else { continue };
        let code = QueryCode::new(&query);
        // Each is done twice, so that what is measured is in memory.
        for _ in 0..2 {
            let begun = Instant::now();
            (kernels().scan)(&code.planes, segment.blocks(), 0, &mut found);
            scan = scan.min(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            let limits = Walk { wanted: MIN_WANTED, budget: usize::MAX };
            let (_, rows) = walk(vectors, segment, graph, &code, limits, &all, |_, _| true);
            look = look.min(begun.elapsed().as_secs_f64() / rows as f64);
            looked = looked.max(rows);
        }
    }
    let costs =
        Costs { scan: scan * 1e9 / f64::from(segment.len().max(1)), look: look * 1e9, looks: looked as f64 / MIN_WANTED as f64 };
    tracing::info!(?costs, "searching vectors costs");
    costs
}
