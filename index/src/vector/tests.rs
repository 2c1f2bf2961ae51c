//! Searching against the definition: every permitted row compared in full precision.

mod approximate;

use proptest::prelude::*;

use super::shelf::{Sealing, Segments, Sizes, plan};
use super::*;
use crate::access::{Bits, ClassNo, DEAD};
use crate::rows::Rows;

const CATALOG: &str = "0123456789abcdef";

/// A small index that is changed at random beside its definition.
struct Index {
    dir: tempfile::TempDir,
    store: VectorStore,
    shelf: Shelf,
    snapshot: VectorSnapshot,
    classes: Rows<ClassNo>,
    end: u32,
    seq: u64,
}

impl Index {
    fn new(dimensions: usize) -> Index {
        Index::of(dimensions, Sizes { seal_rows: 24 })
    }

    fn of(dimensions: usize, sizes: Sizes) -> Index {
        let dir = tempfile::tempdir().unwrap();
        let store = VectorStore::open(dir.path(), CATALOG, dimensions, 0, true).unwrap();
        let (shelf, segments) = Shelf::open(dir.path(), CATALOG, dimensions, 0, true, sizes).unwrap();
        let snapshot = VectorSnapshot::new(&store, segments, &Rows::default(), sizes);
        Index { dir, store, shelf, snapshot, classes: Rows::default(), end: 0, seq: 0 }
    }

    fn add(&mut self, chunk: u32, vector: &[f32], class: ClassNo) {
        self.store.put(chunk, &normalized(vector, vector.len()).unwrap()).unwrap();
        self.snapshot.read_from(self.store.stored());
        self.end = self.end.max(chunk + 1);
        self.set(chunk, class);
    }

    fn set(&mut self, chunk: u32, class: ClassNo) {
        self.seq += 1;
        *self.classes.get_mut(chunk) = class;
        self.snapshot.place(chunk, class);
    }

    /// Every so many rows take this class, when they live.
    fn change(&mut self, every: u32, class: ClassNo) {
        for chunk in (0..self.end).step_by(every as usize) {
            if self.classes.get(chunk) != DEAD {
                self.set(chunk, class);
            }
        }
    }

    /// Seals what `chosen` picks of the tail, together with segments that it picks by their place.
    fn seal(&mut self, chosen: impl Fn(u32) -> bool, between: impl FnOnce(&mut Index)) {
        let mut sealing = Sealing::default();
        for (_, held) in self.snapshot.segments().iter().enumerate().filter(|(at, _)| chosen(*at as u32)) {
            sealing.replaced.push(held.segment.id());
            let rows = (0..).zip(held.segment.chunks()).filter(|(at, _)| !held.is_stale(*at));
            let chunks = rows.map(|(_, chunk)| u32::from_le_bytes(*chunk));
            sealing.rows.extend(chunks.map(|chunk| (self.classes.get(chunk), chunk)));
        }
        let waiting = self.snapshot.tail().chunks().filter(|chunk| chosen(*chunk));
        sealing.rows.extend(waiting.filter_map(|chunk| Some((self.snapshot.waiting(chunk, &self.classes)?, chunk))));
        let made = self.shelf.seal(&self.snapshot, &sealing, self.seq).unwrap();
        between(self);
        self.snapshot.adopt(&self.classes, &sealing, made);
        self.shelf.delete(&sealing);
    }

    /// What the upkeep thread does, until there is nothing to do.
    fn keep_up(&mut self, mut between: impl FnMut(&mut Index)) {
        while let Some(sealing) = plan(&self.snapshot, &self.classes, self.shelf.sizes) {
            let made = self.shelf.seal(&self.snapshot, &sealing, self.seq).unwrap();
            between(self);
            self.snapshot.adopt(&self.classes, &sealing, made);
            self.shelf.delete(&sealing);
        }
    }

    fn reopen(&mut self) {
        self.store.checkpoint(self.seq).unwrap();
        let dimensions = self.store.dimensions();
        self.store = VectorStore::open(self.dir.path(), CATALOG, dimensions, self.seq, true).unwrap();
        let (shelf, segments) = Shelf::open(self.dir.path(), CATALOG, dimensions, self.seq, true, self.shelf.sizes).unwrap();
        self.shelf = shelf;
        self.rebuild(segments);
    }

    fn rebuild(&mut self, segments: Segments) {
        self.snapshot = VectorSnapshot::new(&self.store, segments, &self.classes, self.shelf.sizes);
        (0..self.end).for_each(|chunk| self.snapshot.place(chunk, self.classes.get(chunk)));
    }

    fn search(&self, permitted: &Bits, query: &[f32], limit: usize, exact: bool) -> Vec<(u32, f32)> {
        let scope = Scope { permitted, classes: &self.classes, order: &order, wanted: &wanted };
        self.snapshot.search(&scope, query, Depth::Results(limit), exact)
    }

    fn definition(&self, permitted: &Bits, query: &[f32], limit: usize) -> Vec<(u32, f32)> {
        let readable =
            |chunk: &u32| self.classes.get(*chunk) != DEAD && permitted.contains(self.classes.get(*chunk)) && wanted(*chunk);
        let chunks = (0..self.end).filter(readable);
        let mut scored: Vec<(u32, f32)> = chunks.map(|chunk| (chunk, self.snapshot.similarity(chunk, query).unwrap())).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(order(a.0).cmp(&order(b.0))).then(a.0.cmp(&b.0)));
        scored.truncate(limit);
        scored
    }

    /// How many of the best `limit` were found. What was found must be permitted, and nothing twice.
    fn count_of_best(&self, permitted: &Bits, query: &[f32], mut found: Vec<u32>, limit: usize) -> usize {
        assert!(found.iter().all(|chunk| permitted.contains(self.classes.get(*chunk)) && wanted(*chunk)));
        found.sort_unstable();
        assert!(found.is_sorted_by(|a, b| a < b), "a row is found twice");
        self.definition(permitted, query, limit).iter().filter(|(chunk, _)| found.binary_search(chunk).is_ok()).count()
    }
}

fn order(chunk: u32) -> u64 {
    u64::from(chunk.wrapping_mul(2_654_435_761)) >> 3
}

fn wanted(chunk: u32) -> bool {
    chunk % 17 != 3
}

fn bits(classes: &[ClassNo]) -> Bits {
    let mut bits = Bits::default();
    classes.iter().for_each(|class| _ = bits.insert(*class));
    bits
}

fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// New rows; every `same`-th is a copy of the first, some values are zero.
    Add {
        rows: u32,
        seed: u64,
        same: u32,
    },
    /// Rows take other classes or die.
    Move {
        every: u32,
        class: ClassNo,
    },
    /// Rows are sealed while others move.
    Seal {
        every: u32,
        moved: u32,
        class: ClassNo,
    },
    /// Rows move to and fro, and the upkeep thread works after each time, while others move once.
    Upkeep {
        every: u32,
        classes: [ClassNo; 2],
        times: usize,
        moved: u32,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u32..300, any::<u64>(), 2u32..9).prop_map(|(rows, seed, same)| Step::Add { rows, seed, same }),
        (1u32..20, 0u32..7).prop_map(|(every, class)| Step::Move { every, class }),
        (1u32..4, 2u32..9, 0u32..7).prop_map(|(every, moved, class)| Step::Seal { every, moved, class }),
        (1u32..9, [1u32..7, 1u32..7], 1usize..9, 2u32..9).prop_map(|(every, classes, times, moved)| Step::Upkeep {
            every,
            classes,
            times,
            moved
        }),
        Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..12)
}

fn apply(index: &mut Index, dimensions: usize, step: &Step) {
    match *step {
        Step::Add { rows, seed, same } => {
            let mut value = noise(seed);
            let first: Vec<f32> = (0..dimensions).map(|_| value()).collect();
            for row in 0..rows {
                let vector: Vec<f32> = match row % same {
                    0 => first.clone(),
                    1 => (0..dimensions).map(|at| if at % 3 == 0 { 1e-9 } else { value() }).collect(),
                    _ => (0..dimensions).map(|_| value()).collect(),
                };
                index.add(index.end, &vector, 1 + row % 6);
            }
        }
        Step::Move { every, class } => {
            for chunk in (0..index.end).step_by(every as usize).filter(|chunk| chunk % 5 == class % 5) {
                if index.classes.get(chunk) != DEAD {
                    index.set(chunk, class);
                }
            }
        }
        Step::Seal { every, moved, class } => index.seal(|at| at % every == 0, |index| index.change(moved, class)),
        Step::Upkeep { every, classes, times, moved } => {
            for time in 0..times {
                index.change(every, classes[time % 2]);
                let mut first = true;
                index.keep_up(|index| {
                    if std::mem::take(&mut first) {
                        index.change(moved, classes[1]);
                    }
                });
            }
        }
        Step::Reopen => index.reopen(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn exact_answers_are_the_definition(
        dimensions in prop_oneof![Just(3usize), Just(64), Just(70)],
        // With the latter, what few rows are permitted is compared without their signs.
        seal_rows in prop_oneof![Just(24u32), Just(6_400)],
        steps in steps(),
        classes in prop::collection::vec(1u32..8, 0..6),
        limit in 1usize..40, seed in any::<u64>(),
    ) {
        let mut index = Index::of(dimensions, Sizes { seal_rows });
        let permitted = bits(&classes);
        let mut value = noise(seed);
        for step in &steps {
            apply(&mut index, dimensions, step);
            prop_assert_eq!(index.snapshot.verify(), Vec::<String>::new());
            let query: Vec<f32> = (0..dimensions).map(|_| value()).collect();
            let query = normalized(&query, dimensions).unwrap();
            let expected = index.definition(&permitted, &query, limit);
            prop_assert_eq!(&index.search(&permitted, &query, limit, true), &expected);
            if index.definition(&permitted, &query, 801).len() <= 800 {
                prop_assert_eq!(&index.search(&permitted, &query, limit, false), &expected);
            }
        }
    }
}

#[test]
fn what_is_hidden_and_how_rows_are_stored_change_no_answer() {
    let dimensions = 96;
    let (mut all, mut own) = (Index::new(dimensions), Index::new(dimensions));
    let mut value = noise(5);
    for chunk in 0..6_000u32 {
        // Coarse values, so that many rows are equally far from a query.
        let vector: Vec<f32> = (0..dimensions).map(|_| if value() > 0.2 { 1.0 } else { -1.0 }).collect();
        let class = 1 + chunk % 4;
        all.add(chunk, &vector, class);
        if class != 2 {
            own.add(chunk, &vector, class);
        }
        if chunk % 1_500 == 1_499 {
            all.seal(|at| at % 3 != 0, |_| ());
        }
    }
    own.seal(|_| true, |_| ());
    let permitted = bits(&[1, 3, 4]);
    let mut hits = 0;
    for _ in 0..20 {
        let query = normalized(&(0..dimensions).map(|_| value()).collect::<Vec<_>>(), dimensions).unwrap();
        let found = all.search(&permitted, &query, 10, false);
        assert_eq!(found, own.search(&permitted, &query, 10, false));
        let exact = all.search(&permitted, &query, 10, true);
        assert_eq!(exact, all.definition(&permitted, &query, 10));
        hits += found.iter().filter(|hit| exact.contains(hit)).count();
    }
    assert!(hits > 100, "{hits} of 200");
}

/// Rows are cut over all that are scanned together: in whatever order they come, the same ones are left.
#[test]
fn the_closest_rows_are_those_of_sorting() {
    let mut index = Index::new(32);
    let mut value = noise(6);
    for chunk in 0..5_000 {
        // Few distances, and later rows are nearer, so that most are kept for a while.
        let ones = chunk as f32 / 5_000.0 - 1.0;
        index.add(chunk, &(0..32).map(|_| if value() > ones { 1.0 } else { -1.0 }).collect::<Vec<_>>(), 1);
    }
    index.seal(|_| true, |_| ());
    let permitted = bits(&[1]);
    let scope = Scope { permitted: &permitted, classes: &index.classes, order: &order, wanted: &wanted };
    let code = quantize::QueryCode::new(&normalized(&[-1.0; 32], 32).unwrap());
    let segment = &index.snapshot.segments()[0].segment;
    let chunk_of = |row: u32| Some(u32::from_le_bytes(segment.chunks()[row as usize]));
    let pieces: Vec<std::ops::Range<u32>> = (0..5_000).step_by(700).map(|from| from..5_000.min(from + 700)).collect();
    let scanned = |keep: usize, turns: &[usize], again: bool| {
        let mut near = scan::Near::new(&scope, &code, keep);
        for (at, piece) in turns.iter().enumerate() {
            if again && at == 3 {
                let before = near.kept().to_vec();
                near.scan(&code, segment.blocks(), 0..5_000, |row| Some(chunk_of(row)? + 17 * 5_000));
                near.restore(before);
            }
            near.scan(&code, segment.blocks(), pieces[*piece].clone(), chunk_of);
        }
        let (mut kept, whole) = near.finish();
        kept.sort_by_key(|(distance, chunk)| (*distance, order(*chunk), *chunk));
        (kept, whole)
    };
    let forward: Vec<usize> = (0..pieces.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    let (all, whole) = scanned(5_000, &forward, false);
    assert!(whole && all.len() > 4_500);
    for keep in [1, 10, 300, 1_000, all.len() - 1, all.len()] {
        for pieces in [&forward, &backward] {
            let expected = (all[..keep].to_vec(), keep == all.len());
            assert!(scanned(keep, pieces, false) == expected, "{keep} rows are kept");
            assert!(scanned(keep, pieces, true).0 == expected.0, "{keep} rows are kept after some were taken back");
        }
    }
}

#[test]
fn damaged_segments_are_noticed_and_made_anew() {
    let mut index = Index::new(64);
    let mut value = noise(1);
    for chunk in 0..100 {
        index.add(chunk, &(0..64).map(|_| value()).collect::<Vec<_>>(), 1);
    }
    index.seal(|_| true, |_| ());
    assert!(index.snapshot.verify().is_empty());
    assert_eq!((index.snapshot.segments().len(), index.snapshot.waiting_rows()), (1, 0));
    let path = index.dir.path().join("signs-00000001.seg");
    let whole = std::fs::read(&path).unwrap();
    let query = normalized(&vec![1.0; 64], 64).unwrap();
    let permitted = bits(&[1]);
    let expected = index.definition(&permitted, &query, 10);
    for (at, in_body) in [(9, false), (40, false), (whole.len() - 1, true)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &damaged).unwrap();
        std::fs::write(index.dir.path().join("segments"), super::shelf::list_of(&[1])).unwrap();
        index.reopen();
        if in_body {
            assert_eq!(index.snapshot.verify().len(), 1);
            continue;
        }
        assert!(!path.exists());
        assert_eq!(index.snapshot.waiting_rows(), 100);
        assert_eq!(index.search(&permitted, &query, 10, false), expected);
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::write(&path, &whole[..whole.len() - 64]).unwrap();
    index.reopen();
    assert_eq!((index.snapshot.segments().len(), index.snapshot.waiting_rows()), (0, 100));
}

#[test]
fn a_row_that_a_segment_holds_twice_is_found_once() {
    let mut index = Index::new(64);
    index.add(7, &[1.0; 64], 1);
    let sealing = Sealing { rows: vec![(1, 7), (1, 7)], replaced: Vec::new() };
    let made = index.shelf.seal(&index.snapshot, &sealing, index.seq).unwrap();
    index.snapshot.adopt(&index.classes, &sealing, made);
    let query = normalized(&[1.0; 64], 64).unwrap();
    for _ in 0..2 {
        assert_eq!(index.search(&bits(&[1]), &query, 10, false), [(7, 1.0)]);
        assert!(index.snapshot.verify().is_empty());
        index.reopen();
    }
}

#[test]
fn codes_that_are_missing_are_made_from_the_rows() {
    let mut index = Index::new(64);
    let mut value = noise(2);
    for chunk in 0..50 {
        index.add(chunk, &(0..64).map(|_| value()).collect::<Vec<_>>(), 1);
    }
    let before: Vec<Vec<u8>> = (0..50).map(|chunk| index.snapshot.code(chunk).unwrap().to_vec()).collect();
    index.store.checkpoint(index.seq).unwrap();
    std::fs::remove_file(index.dir.path().join("codes-00000.i8")).unwrap();
    index.reopen();
    assert!((0..50).all(|chunk| index.snapshot.code(chunk) == Some(&before[chunk as usize])));
}
