//! Clusters and the graph: what a probe and a walk find, when they give up, and when both are built.

use std::time::Duration;

use super::*;
use crate::vector::held::Held;

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

/// Asks about each of 49 topics that may be read, plus something of another one: of the best `results`, at least 98 of 100 are found,
/// also where a few questions are given up.
fn find_nearest(index: &Index, topics: &[Vec<f32>], other: f32, results: usize, find: impl Fn(&Bits, &[f32]) -> Option<Vec<u32>>) {
    let permitted = bits(&(1..50).collect::<Vec<_>>());
    let mut value = noise(3);
    let (mut found, mut tried) = (0, 0);
    for topic in topics.iter().take(49) {
        let query: Vec<f32> = topic.iter().zip(&topics[50]).map(|(a, b)| a + other * b + 0.7 * value()).collect();
        let query = normalized(&query, 64).unwrap();
        let Some(chunks) = find(&permitted, &query) else { continue };
        found += index.count_of_best(&permitted, &query, chunks, results);
        tried += results;
    }
    assert!(tried > 25 * results && found * 100 >= tried * 98, "{found} of {tried}");
}

#[test]
fn a_probe_finds_the_nearest_permitted_rows() {
    let (index, topics) = clustered();
    find_nearest(&index, &topics, 0.0, 10, |permitted, query| probed(&index, permitted, query, Depth::Results(10)));
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
    find_nearest(&index, &topics, 0.5, 200, |permitted, query| walked(&index, permitted, query, 400, wanted));
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
