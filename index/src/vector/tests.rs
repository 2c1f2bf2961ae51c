//! Searching against the definition: every permitted row compared in full precision.

use std::time::Duration;

use proptest::prelude::*;

use super::held::Held;
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
        let dir = tempfile::tempdir().unwrap();
        let store = VectorStore::open(dir.path(), CATALOG, dimensions, 0, true).unwrap();
        let (mut shelf, segments) = Shelf::open(dir.path(), CATALOG, dimensions, 0, true).unwrap();
        shelf.sizes = Sizes { seal_rows: 24 };
        let snapshot = VectorSnapshot::new(&store, segments, &Rows::default());
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
        let (mut shelf, segments) = Shelf::open(self.dir.path(), CATALOG, dimensions, self.seq, true).unwrap();
        shelf.sizes = self.shelf.sizes;
        self.shelf = shelf;
        self.rebuild(segments);
    }

    fn rebuild(&mut self, segments: Segments) {
        self.snapshot = VectorSnapshot::new(&self.store, segments, &self.classes);
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
        steps in steps(),
        classes in prop::collection::vec(1u32..8, 0..6),
        limit in 1usize..40, seed in any::<u64>(),
    ) {
        let mut index = Index::new(dimensions);
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

/// An index of one segment with clusters: rows of sixty topics, of which each is a class.
fn clustered() -> (Index, Vec<Vec<f32>>) {
    let mut index = Index::new(64);
    let mut value = noise(9);
    let topics: Vec<Vec<f32>> = (0..60).map(|_| (0..64).map(|_| value()).collect()).collect();
    for chunk in 0..20_000u32 {
        let vector: Vec<f32> = topics[chunk as usize % 60].iter().map(|of_topic| of_topic + 0.7 * value()).collect();
        index.add(chunk, &vector, 1 + chunk % 60);
    }
    index.seal(|_| true, |_| ());
    let (wanted, wait) = clusters_wanted(&index.snapshot, index.shelf.sizes).unwrap();
    assert!(wait.is_zero());
    // One that is small, by other sizes, will soon be merged with others where much is written.
    let (_, wait) = clusters_wanted(&index.snapshot, Sizes { seal_rows: 16_384 }).unwrap();
    assert!(wait > Duration::from_secs(1));
    assert!(!wanted.build(&index.snapshot, || false).unwrap());
    assert!(wanted.is_in(&index.snapshot) && wanted.build(&index.snapshot, || true).unwrap());
    assert!(clusters_wanted(&index.snapshot, index.shelf.sizes).is_none());
    // Some rows die or move after the segment was made.
    index.change(31, 70);
    (0..20_000).step_by(43).for_each(|chunk| index.set(chunk, DEAD));
    (index, topics)
}

/// The topics' classes, those first that these values are least about.
fn least_alike(topics: &[Vec<f32>], values: &[f32]) -> Vec<ClassNo> {
    let mut classes: Vec<ClassNo> = (1..=60).collect();
    classes.sort_by(|a, b| dot(&topics[*a as usize - 1], values).total_cmp(&dot(&topics[*b as usize - 1], values)));
    classes
}

/// What a probe finds of the segment; `None` where it gives up.
fn probed(index: &Index, permitted: &Bits, query: &[f32], depth: Depth) -> Option<Vec<u32>> {
    let scope = Scope { permitted, classes: &index.classes, order: &order, wanted: &wanted };
    let code = quantize::QueryCode::new(query);
    // Room for all, so that nothing but the clusters leaves rows out.
    let mut near = scan::Near::new(&scope, &code, 20_000);
    let held = &index.snapshot.segments()[0];
    let ranges = held.segment.permitted(permitted, permitted.iter().count());
    let rows = ranges.iter().map(|rows| rows.end - rows.start).sum();
    let probe = [clusters::Probe::new(held, held.segment.clusters().unwrap(), &ranges)];
    let done = clusters::probe(&index.snapshot, &probe, rows, &code, depth, &mut near);
    let (kept, whole) = near.finish();
    assert!(!whole || !done);
    assert!(done || kept.is_empty());
    done.then(|| kept.into_iter().map(|(_, chunk)| chunk).collect())
}

#[test]
fn a_probe_finds_the_nearest_permitted_rows() {
    let (index, topics) = clustered();
    let permitted = bits(&(1..50).collect::<Vec<_>>());
    let mut value = noise(3);
    let (mut found, mut tried) = (0, 0);
    for topic in topics.iter().take(49) {
        let query = normalized(&topic.iter().map(|of_topic| of_topic + 0.7 * value()).collect::<Vec<_>>(), 64).unwrap();
        let Some(chunks) = probed(&index, &permitted, &query, Depth::Results(10)) else { continue };
        found += index.count_of_best(&permitted, &query, chunks, 10);
        tried += 10;
    }
    assert!(tried > 300 && found * 100 >= tried * 98, "{found} of {tried}");
}

/// Queries that are about several topics have their nearest rows in more clusters than are read at first; some are so far from
/// all that a search gives up, and candidates are looked for nevertheless.
#[test]
fn a_probe_goes_on_while_a_cluster_can_hold_a_result() {
    let (index, topics) = clustered();
    let permitted = bits(&(1..=60).collect::<Vec<_>>());
    let mut results = (0, 0);
    let mut candidates = (0, 0);
    for at in 0..50 {
        let query: Vec<f32> = (0..64).map(|place| topics[at..at + 8].iter().map(|topic| topic[place]).sum()).collect();
        let query = normalized(&query, 64).unwrap();
        let (chunks, (found, tried)) = match probed(&index, &permitted, &query, Depth::Results(600)) {
            Some(chunks) => (chunks, &mut results),
            None => (probed(&index, &permitted, &query, Depth::Candidates { count: 600, sure: 600 }).unwrap(), &mut candidates),
        };
        let expected = index.definition(&permitted, &query, 600);
        *found += expected.iter().filter(|(chunk, _)| chunks.contains(chunk)).count();
        *tried += expected.len();
    }
    // After the first clusters it has 92 of 100.
    assert!(results.1 > 20_000 && results.0 * 100 >= results.1 * 96, "{results:?}");
    assert!(candidates.1 > 1_000 && candidates.0 * 100 >= candidates.1 * 90, "{candidates:?}");
}

#[test]
fn a_probe_gives_up_where_the_caller_may_not_read_what_the_query_is_about() {
    let (index, topics) = clustered();
    for values in &topics {
        let others = least_alike(&topics, values);
        for depth in [Depth::Results(10), Depth::Candidates { count: 50, sure: 10 }] {
            assert!(probed(&index, &bits(&others[..30]), &normalized(values, 64).unwrap(), depth).is_none());
        }
    }
}

#[test]
fn clusters_are_opened_again_and_noticed_when_damaged() {
    let (mut index, _) = clustered();
    let id = index.snapshot.segments()[0].segment.id();
    let path = clusters::path(index.dir.path(), id);
    let whole = std::fs::read(&path).unwrap();
    let there = |index: &Index| index.snapshot.segments()[0].segment.clusters().is_some();
    index.reopen();
    assert!(there(&index) && index.snapshot.verify().is_empty());
    for (at, kept) in [(9, false), (30, false), (whole.len() - 1, true)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &damaged).unwrap();
        index.reopen();
        assert_eq!((there(&index), index.snapshot.verify().len()), (kept, usize::from(kept)));
        assert_eq!(path.exists(), kept);
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::write(&path, &whole[..whole.len() - 64]).unwrap();
    index.reopen();
    assert!(!there(&index));
}

/// The index of [`clustered`] with a graph.
fn linked() -> (Index, Vec<Vec<f32>>) {
    let (mut index, topics) = clustered();
    assert_eq!(graph_wanted(&index.snapshot, Sizes { seal_rows: 2_000 }), None);
    assert!(graph_wanted(&index.snapshot, index.shelf.sizes).unwrap() > Duration::from_secs(1));
    let files = index.shelf.graph_files(index.seq);
    assert!(files.build(&index.snapshot, || false).unwrap().is_none());
    let graph = files.build(&index.snapshot, || true).unwrap().unwrap();
    index.snapshot.link(graph);
    assert_eq!(graph_wanted(&index.snapshot, index.shelf.sizes), None);
    assert!(index.snapshot.verify().is_empty() && index.snapshot.segments()[0].is_linked());
    let left = std::fs::read_dir(index.dir.path()).unwrap().filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_str().unwrap().ends_with(".new")
    });
    assert_eq!(left.count(), 0);
    (index, topics)
}

/// What a walk of this width finds of the segment; `None` where it gives up.
fn walked(index: &Index, permitted: &Bits, query: &[f32], width: usize, wanted: fn(u32) -> bool) -> Option<Vec<u32>> {
    let scope = Scope { permitted, classes: &index.classes, order: &order, wanted: &wanted };
    let code = quantize::QueryCode::new(query);
    let parts = index.snapshot.parts(&scope);
    match index.snapshot.walk_of(index.snapshot.graph().unwrap(), &scope, &code, width, parts.iter(), parts[0].rows).unwrap() {
        search::Walk::Found(chunks) => Some(chunks),
        search::Walk::AtOdds => None,
    }
}

/// The results are more than the rows at which a walk begins, so most are found by following links.
#[test]
fn a_walk_finds_the_nearest_permitted_rows_and_no_others() {
    let (mut index, topics) = linked();
    // Rows that the graph holds and that are elsewhere now: in the tail, or gone.
    index.change(97, 3);
    (0..20_000).step_by(89).for_each(|chunk| index.set(chunk, DEAD));
    let permitted = bits(&(1..50).collect::<Vec<_>>());
    let mut value = noise(3);
    let (mut found, mut tried) = (0, 0);
    for topic in topics.iter().take(49) {
        let query: Vec<f32> = topic.iter().zip(&topics[50]).map(|(a, b)| a + 0.5 * b + 0.7 * value()).collect();
        let query = normalized(&query, 64).unwrap();
        let Some(chunks) = walked(&index, &permitted, &query, 400, wanted) else { continue };
        found += index.count_of_best(&permitted, &query, chunks, 200);
        tried += 200;
    }
    assert!(tried > 5_000 && found * 100 >= tried * 98, "{found} of {tried}");
}

#[test]
fn a_walk_gives_up_where_the_caller_may_not_read_what_the_query_is_about() {
    let (index, topics) = linked();
    for values in &topics {
        let others = least_alike(&topics, values);
        let query = normalized(values, 64).unwrap();
        assert!(walked(&index, &bits(&others[..30]), &query, 400, wanted).is_none());
        assert!(walked(&index, &bits(&others), &query, 100, wanted).is_some());
        // So it does where a filter leaves few of them, or none.
        for few in [(|chunk| chunk % 50 == 0) as fn(u32) -> bool, |_| false] {
            assert!(walked(&index, &bits(&others), &query, 100, few).is_none());
        }
    }
}

#[test]
fn a_graph_is_wanted_again_where_much_is_new() {
    let (mut index, topics) = linked();
    let mut value = noise(4);
    for chunk in 20_000..28_000u32 {
        let vector: Vec<f32> = topics[chunk as usize % 60].iter().map(|of_topic| of_topic + 0.7 * value()).collect();
        index.add(chunk, &vector, 1 + chunk % 60);
    }
    index.seal(|at| at >= 20_000, |_| ());
    assert!(!index.snapshot.segments()[1].is_linked());
    assert_eq!(graph_wanted(&index.snapshot, index.shelf.sizes), None);
    let (wanted, _) = clusters_wanted(&index.snapshot, index.shelf.sizes).unwrap();
    assert!(wanted.build(&index.snapshot, || true).unwrap());
    assert!(graph_wanted(&index.snapshot, index.shelf.sizes).is_some());
    let graph = index.shelf.graph_files(index.seq).build(&index.snapshot, || true).unwrap().unwrap();
    index.snapshot.link(graph);
    assert!(index.snapshot.segments().iter().all(Held::is_linked));
    // What the graph holds stays in it when segments are merged.
    index.seal(|at| at < 2, |_| ());
    assert!(index.snapshot.segments().len() == 1 && index.snapshot.segments()[0].is_linked());
}

#[test]
fn a_graph_is_opened_again_and_noticed_when_damaged() {
    let (mut index, _) = linked();
    let path = graph::path(index.dir.path());
    let whole = std::fs::read(&path).unwrap();
    let there = |index: &Index| index.snapshot.graph().is_some() && index.snapshot.segments()[0].is_linked();
    std::fs::write(path.with_extension("forward.new"), "left by a crash").unwrap();
    index.reopen();
    assert!(there(&index) && index.snapshot.verify().is_empty());
    assert!(!path.with_extension("forward.new").exists());
    for (at, kept) in [(9, false), (30, false), (200, true)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &damaged).unwrap();
        index.reopen();
        assert_eq!((there(&index), index.snapshot.verify().len()), (kept, usize::from(kept)));
        assert_eq!(path.exists(), kept);
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    index.reopen();
    assert!(!there(&index) && !path.exists());
    // One that is ahead of the catalog speaks of other chunks.
    std::fs::write(&path, &whole).unwrap();
    index.seq -= 1;
    index.reopen();
    assert!(!there(&index) && !path.exists());
}
