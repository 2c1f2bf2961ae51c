//! Finds the centres of a segment by spherical k-means over its int8 codes, and groups its rows by them.
//!
//! Centres are found in two levels, so that a row is compared with some hundred of them and not with thousands: first a few
//! groups, then the centres of each group. Centres of a group follow each other in the file, since a query that is near one is
//! often near others.

use super::CLUSTER_ROWS;
use super::file::{Clusters, Parts};
use crate::error::Result;
use crate::vector::kernels::{BLOCK_ROWS, Found, kernels};
use crate::vector::normalized;
use crate::vector::quantize::{self, QueryCode, Values};
use crate::vector::segment::Segment;
use crate::vector::snapshot::VectorSnapshot;

/// Rows for each centre from which the centres are learnt.
const SAMPLE_ROWS: usize = 32;
/// How often centres are moved by the sample that their group has of rows, and then by all rows that are nearest to them. They move
/// little then: a row keeps the centres that were close to it before.
const ROUNDS: usize = 3;
const FINAL_ROUNDS: usize = 2;
/// Rows are drawn in steps of this prime, since neighbours in a segment share their readers and often their topic.
const STRIDE: u64 = 1_000_003;
/// Groups in which the nearest centre is looked for.
const NEAR_GROUPS: usize = 8;
/// Centres that are left by their signs for a closer look.
const CLOSE_CENTRES: usize = 12;
/// Rows between two questions whether to go on.
const PACE_ROWS: usize = 256;
/// Rows whose nearest rows are looked up to learn how far a row reaches beyond its centre, and among how many at most.
const MARGIN_SAMPLES: usize = 512;
const MARGIN_ROWS: usize = 32_768;
/// The nearest rows of such a row.
const NEIGHBOURS: usize = 10;
/// The share of them that the margin covers before it is widened.
const COVERED: f64 = 0.99;
/// Questions are farther from passages than passages are from each other. With this, recall@10 of questions over 1,000,000
/// passages is 0.986 where all are permitted and 0.991 where half are; with 1.45, 0.981 and 0.982; with 1, 0.93 and 0.95.
const WIDENED: f64 = 1.6;

/// Builds the clusters of a segment and writes their file. `None` when `go_on` said no, or a row has no code.
pub(in crate::vector) fn build(
    segment: &Segment,
    vectors: &VectorSnapshot,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Clusters>> {
    let chunks = segment.chunks().iter().map(|chunk| vectors.code(u32::from_le_bytes(*chunk)));
    let Some(rows) = chunks.collect::<Option<Vec<&[u8]>>>() else { return Ok(None) };
    let mut work = Work { rows: &rows, dimensions: vectors.dimensions(), go_on: &mut go_on, found: Vec::new() };
    let Some(grouped) = work.group() else { return Ok(None) };
    let signs = |at: u32, code: &mut Vec<u64>| {
        let chunk = segment.chunks().get(at as usize).map_or(u32::MAX, |chunk| u32::from_le_bytes(*chunk));
        vectors.signs(chunk, code)
    };
    Clusters::write(segment, vectors.dimensions(), &grouped, signs).map(Some)
}

/// The rows of a segment, by their int8 codes, and whether to go on with them.
struct Work<'a> {
    rows: &'a [&'a [u8]],
    dimensions: usize,
    go_on: &'a mut dyn FnMut() -> bool,
    found: Vec<Found>,
}

impl Work<'_> {
    /// Learns centres, groups the rows by them, and measures the margin.
    fn group(&mut self) -> Option<Parts> {
        let mut centres = self.learn()?;
        let close = self.close_centres(&centres)?;
        for _ in 0..FINAL_ROUNDS {
            let mut sums = vec![vec![0f32; self.dimensions]; centres.len()];
            let dimensions = self.dimensions;
            self.each_nearest(&centres, &close, |centre, row| {
                add(sums.get_mut(centre as usize), &quantize::decode(row, dimensions));
            })?;
            let mut sums = sums.into_iter();
            centres.groups = centres.groups.into_iter().map(|group| group.moved(sums.by_ref())).collect();
        }
        let mut nearest = Vec::with_capacity(self.rows.len());
        self.each_nearest(&centres, &close, |centre, _| nearest.push(centre))?;
        drop(close);
        let mut members = vec![Vec::new(); centres.len()];
        for (row, centre) in (0u32..).zip(&nearest) {
            members.get_mut(*centre as usize)?.push(row);
        }
        let centres: Vec<Vec<u8>> = centres.groups.into_iter().flat_map(|group| group.codes).collect();
        let margin = self.margin(&centres, &nearest)?;
        Some(Parts { centres, members, margin })
    }

    fn learn(&mut self) -> Option<Tree> {
        let count = self.rows.len().div_ceil(CLUSTER_ROWS as usize);
        let sample: Vec<&[u8]> =
            drawn(self.rows.len()).take(count * SAMPLE_ROWS).filter_map(|at| self.rows.get(at).copied()).collect();
        let top = self.k_means(&sample, count.isqrt())?;
        let mut by_group = vec![Vec::new(); top.codes.len()];
        for row in &sample {
            by_group.get_mut(top.nearest(&self.query(row), &mut self.found) as usize)?.push(*row);
        }
        let mut tree = Tree { top, groups: Vec::new(), firsts: Vec::new() };
        for members in by_group {
            tree.firsts.push(tree.len() as u32);
            tree.groups.push(self.k_means(&members, (members.len() * count).div_ceil(sample.len()))?);
        }
        Some(tree)
    }

    /// Up to `count` centres of some rows.
    fn k_means(&mut self, rows: &[&[u8]], count: usize) -> Option<Centres> {
        let drawn: Vec<&[u8]> = drawn(rows.len()).take(count * SAMPLE_ROWS).filter_map(|at| rows.get(at).copied()).collect();
        let mut centres = Centres::new(drawn.iter().take(count).map(|row| quantize::decode(row, self.dimensions)).collect());
        for _ in 0..ROUNDS {
            let mut sums = vec![vec![0f32; self.dimensions]; centres.codes.len()];
            for (at, row) in drawn.iter().enumerate() {
                self.pause(at)?;
                let row = quantize::decode(row, self.dimensions);
                add(sums.get_mut(centres.nearest(&QueryCode::new(&row), &mut self.found) as usize), &row);
            }
            centres = centres.moved(&mut sums.into_iter());
        }
        Some(centres)
    }

    /// The centres that are close to each row.
    fn close_centres(&mut self, tree: &Tree) -> Option<Vec<[u32; CLOSE_CENTRES]>> {
        let mut close = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            self.pause(at)?;
            close.push(tree.close(&self.query(row), &mut self.found));
        }
        Some(close)
    }

    /// Hands out the centre that each row is nearest to, of those that are close to it, and the row's code.
    fn each_nearest(&mut self, tree: &Tree, close: &[[u32; CLOSE_CENTRES]], mut each: impl FnMut(u32, &[u8])) -> Option<()> {
        let codes: Vec<&[u8]> = tree.groups.iter().flat_map(|group| &group.codes).map(Vec::as_slice).collect();
        for (at, (row, close)) in self.rows.iter().zip(close).enumerate() {
            self.pause(at)?;
            let values = Values::new(row);
            let score = |centre: u32| codes.get(centre as usize).map_or(f32::NEG_INFINITY, |code| values.product(code));
            let nearest = close.iter().map(|centre| (score(*centre), *centre)).max_by(|a, b| a.0.total_cmp(&b.0));
            each(nearest.map_or(0, |(_, centre)| centre), row);
        }
        Some(())
    }

    /// How much higher than its centre a row scores that is among the nearest of a query, learnt from rows as queries.
    fn margin(&mut self, centres: &[Vec<u8>], nearest: &[u32]) -> Option<f32> {
        let score = |query: &QueryCode, centre: u32| centres.get(centre as usize).map_or(0.0, |code| query.estimate(code).0);
        let every = self.rows.len().div_ceil(MARGIN_ROWS);
        let mut margins = Vec::new();
        for own in drawn(self.rows.len()).take(MARGIN_SAMPLES) {
            self.pause(0)?;
            let query = self.query(self.rows.get(own)?);
            let others = self.rows.iter().zip(nearest).enumerate().step_by(every).filter(|(at, _)| *at != own);
            let mut scored: Vec<(f64, u32)> = others.map(|(_, (row, centre))| (query.estimate(row).0, *centre)).collect();
            if scored.len() > NEIGHBOURS {
                scored.select_nth_unstable_by(NEIGHBOURS, |a, b| b.0.total_cmp(&a.0));
            }
            margins.extend(scored.iter().take(NEIGHBOURS).map(|(value, centre)| value - score(&query, *centre)));
        }
        margins.sort_by(f64::total_cmp);
        let at = ((margins.len() as f64 * COVERED) as usize).min(margins.len().saturating_sub(1));
        Some((margins.get(at).copied().unwrap_or_default() * WIDENED) as f32)
    }

    fn query(&self, row: &[u8]) -> QueryCode {
        QueryCode::new(&quantize::decode(row, self.dimensions))
    }

    /// Asks now and then whether to go on.
    fn pause(&mut self, at: usize) -> Option<()> {
        (!at.is_multiple_of(PACE_ROWS) || (self.go_on)()).then_some(())
    }
}

/// Each of so many numbers once, in an order that jumps.
fn drawn(len: usize) -> impl Iterator<Item = usize> {
    (0..len as u64).map(move |at| (at * STRIDE % len as u64) as usize)
}

fn add(sum: Option<&mut Vec<f32>>, row: &[f32]) {
    sum.into_iter().flatten().zip(row).for_each(|(sum, value)| *sum += value);
}

/// Centres in two levels.
struct Tree {
    top: Centres,
    groups: Vec<Centres>,
    /// By group the number of its first centre.
    firsts: Vec<u32>,
}

impl Tree {
    fn len(&self) -> usize {
        self.groups.iter().map(|group| group.codes.len()).sum()
    }

    /// The centres closest to a row by their signs, of those of the nearest groups; where there are fewer, some stand there again.
    fn close(&self, row: &QueryCode, found: &mut Vec<Found>) -> [u32; CLOSE_CENTRES] {
        let mut groups: Vec<(f64, usize)> = self.top.codes.iter().map(|code| row.estimate(code).0).zip(0..).collect();
        if groups.len() > NEAR_GROUPS {
            groups.select_nth_unstable_by(NEAR_GROUPS, |a, b| b.0.total_cmp(&a.0));
            groups.truncate(NEAR_GROUPS);
        }
        let mut all: Vec<(u32, u32)> = Vec::with_capacity(512);
        for (centres, first) in groups.into_iter().filter_map(|(_, group)| self.groups.get(group).zip(self.firsts.get(group))) {
            found.clear();
            (kernels().scan)(&row.planes, &centres.blocks, u32::MAX, found);
            let here = found.iter().filter(|found| (found.at as usize) < centres.codes.len());
            all.extend(here.map(|found| (found.distance, first + found.at)));
        }
        if all.len() > CLOSE_CENTRES {
            all.select_nth_unstable(CLOSE_CENTRES);
            all.truncate(CLOSE_CENTRES);
        }
        std::array::from_fn(|at| all.get(at).or(all.first()).map_or(0, |(_, centre)| *centre))
    }
}

/// Centres, of length 1.
struct Centres {
    values: Vec<Vec<f32>>,
    codes: Vec<Vec<u8>>,
    /// Their sign codes, in blocks.
    blocks: Vec<u8>,
}

impl Centres {
    fn new(values: Vec<Vec<f32>>) -> Centres {
        let code_of = |values: &Vec<f32>| {
            let mut code = Vec::new();
            quantize::encode(values, &mut code);
            code
        };
        let mut blocks = Vec::new();
        for block in values.chunks(BLOCK_ROWS) {
            let mut signs = Vec::new();
            block.iter().for_each(|values| quantize::encode_signs_of(values, &mut signs));
            quantize::push_block(&signs, block.first().map_or(0, Vec::len), &mut blocks);
        }
        Centres { codes: values.iter().map(code_of).collect(), blocks, values }
    }

    /// The centres of the next of these sums; one that nothing was nearest to stays where it is.
    fn moved(self, sums: &mut impl Iterator<Item = Vec<f32>>) -> Centres {
        let moved = |before: Vec<f32>| {
            let sum = sums.next().unwrap_or_default();
            normalized(&sum, before.len()).unwrap_or(before)
        };
        Centres::new(self.values.into_iter().map(moved).collect())
    }

    /// The centre that a row is nearest to, by int8 codes among those closest by their signs.
    fn nearest(&self, row: &QueryCode, found: &mut Vec<Found>) -> u32 {
        found.clear();
        (kernels().scan)(&row.planes, &self.blocks, u32::MAX, found);
        found.truncate(self.codes.len());
        if found.len() > CLOSE_CENTRES {
            found.select_nth_unstable_by_key(CLOSE_CENTRES, |found| found.distance);
            found.truncate(CLOSE_CENTRES);
        }
        let score = |found: &Found| self.codes.get(found.at as usize).map_or(f64::NEG_INFINITY, |code| row.estimate(code).0);
        found.iter().max_by(|a, b| score(a).total_cmp(&score(b))).map_or(0, |found| found.at)
    }
}
