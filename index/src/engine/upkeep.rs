//! The background work of an engine: one thread brings the codes of vectors into memory after an open, seals and merges
//! segments of them, and builds their clusters and their graph.
//!
//! Nothing depends on it but speed: rows that are not sealed are scanned in the tail. It holds no lock while it works, and
//! the lock of the state for as long as it takes to swap the result in.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::state::{State, View};
use crate::error::Result;
use crate::vector::{Shelf, clusters_wanted, graph_wanted, plan};

/// How often a swap is prepared beside the lock before it is prepared under it.
const SWAPS_BESIDE_LOCK: usize = 3;
/// Writers go first where something was written within this time.
const WRITERS_FIRST: Duration = Duration::from_secs(1);
/// What takes long then rests so many times as long as it worked.
const REST: u32 = 2;

/// The thread, and how to reach it.
pub(super) struct Upkeep {
    signal: Arc<Signal>,
    seal_rows: u32,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    stop: bool,
    look: bool,
    busy: bool,
    /// Someone waits until nothing is left to do, also of what could wait.
    settle: bool,
}

impl Upkeep {
    /// Starts the thread.
    pub(super) fn start(state: Arc<RwLock<State>>, shelf: Shelf) -> std::io::Result<Upkeep> {
        let signal = Arc::new(Signal::default());
        signal.state.lock().look = true;
        let known = signal.clone();
        let seal_rows = shelf.sizes.seal_rows;
        let thread = std::thread::Builder::new().name("upkeep".to_owned()).spawn(move || run(&known, &state, shelf))?;
        Ok(Upkeep { signal, seal_rows, thread: Some(thread) })
    }

    /// Looks for work after a write, when there can be any.
    pub(super) fn notice(&self, view: &View) {
        if view.vectors.waiting_rows() > self.seal_rows || view.vectors.is_worn() {
            self.signal.state.lock().look = true;
            self.signal.changed.notify_all();
        }
    }

    /// Waits until there is nothing to do.
    pub(super) fn settle(&self) {
        let mut wanted = self.signal.state.lock();
        (wanted.look, wanted.settle) = (true, true);
        self.signal.changed.notify_all();
        while (wanted.look || wanted.busy) && !wanted.stop {
            self.signal.changed.wait(&mut wanted);
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.signal.state.lock().stop = true;
        self.signal.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the upkeep thread ended in a panic");
        }
    }
}

/// Marks the thread as ended, also when a panic ends it, so that nobody waits for it.
struct Ended<'a>(&'a Signal);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state.lock().stop = true;
        self.0.changed.notify_all();
    }
}

/// The thread: works until there is nothing to do, then waits.
fn run(signal: &Signal, state: &RwLock<State>, mut shelf: Shelf) {
    let _ended = Ended(signal);
    let vectors = state.read().view.vectors.clone();
    vectors.warm(|| !signal.state.lock().stop);
    drop(vectors);
    let mut due: Option<Instant> = None;
    loop {
        let settle = {
            let mut wanted = signal.state.lock();
            wanted.busy = false;
            signal.changed.notify_all();
            while !wanted.look && !wanted.stop {
                let timed_out = match due {
                    Some(due) => signal.changed.wait_until(&mut wanted, due).timed_out(),
                    None => {
                        signal.changed.wait(&mut wanted);
                        false
                    }
                };
                wanted.look |= timed_out;
            }
            if wanted.stop {
                return;
            }
            wanted.look = false;
            wanted.busy = true;
            std::mem::take(&mut wanted.settle)
        };
        let stopped = || signal.state.lock().stop;
        due = loop {
            match work(state, &mut shelf, settle, stopped) {
                Ok(Work::Done) if stopped() => return,
                Ok(Work::Done) => {}
                Ok(Work::Rest(until)) => break until,
                Err(error) => {
                    tracing::warn!(%error, "vectors could not be sealed; they stay in the tail until the next write");
                    break None;
                }
            }
        };
    }
}

/// What came of looking for work.
enum Work {
    Done,
    /// Nothing is left to do, until this time if there is one.
    Rest(Option<Instant>),
}

/// Seals or merges once, else builds the clusters of one segment, else the graph: what can wait for it only to `settle`.
fn work(state: &RwLock<State>, shelf: &mut Shelf, settle: bool, stopped: impl Fn() -> bool) -> Result<Work> {
    if step(state, shelf)? {
        return Ok(Work::Done);
    }
    let view = state.read().view.clone();
    let vectors = &view.vectors;
    if let Some((wanted, wait)) = clusters_wanted(vectors, shelf.sizes) {
        if !wait.is_zero() && !settle {
            return Ok(Work::Rest(Some(Instant::now() + wait)));
        }
        let built =
            beside(state, shelf, &stopped, |go_on| wanted.build(vectors, || go_on() && wanted.is_in(&state.read().view.vectors)))?;
        // Left undone because the segment is gone: there may be another. Because of a stop: the caller sees to it.
        let done = built || stopped() || !wanted.is_in(&state.read().view.vectors);
        return Ok(if done { Work::Done } else { Work::Rest(None) });
    }
    match graph_wanted(vectors, shelf.sizes) {
        None => Ok(Work::Rest(None)),
        Some(wait) if !wait.is_zero() && !settle => Ok(Work::Rest(Some(Instant::now() + wait))),
        Some(_) => {
            let files = shelf.graph_files(view.seq);
            let built = beside(state, shelf, &stopped, |go_on| files.build(vectors, go_on))?;
            let Some(graph) = built else { return Ok(if stopped() { Work::Done } else { Work::Rest(None) }) };
            swap(state, |view| view.vectors.link(graph.clone()));
            // Where much was written since, it waits, lest nothing else is done.
            Ok(Work::Rest(
                graph_wanted(&state.read().view.vectors, shelf.sizes).map(|wait| Instant::now() + wait.max(WRITERS_FIRST)),
            ))
        }
    }
}

/// Does what takes long. Segments are sealed and merged in between, and writers go first.
fn beside<T>(
    state: &RwLock<State>,
    shelf: &mut Shelf,
    stopped: impl Fn() -> bool,
    long: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T>,
) -> Result<T> {
    let mut failed = None;
    let mut seq = state.read().view.seq;
    let (mut begun, mut written) = (Instant::now(), None);
    let done = long(&mut || {
        let worked = begun.elapsed();
        if let Err(error) = step(state, shelf) {
            failed = Some(error);
        }
        let now = state.read().view.seq;
        if std::mem::replace(&mut seq, now) != now {
            written = Some(Instant::now());
        }
        if written.is_some_and(|written| written.elapsed() < WRITERS_FIRST) {
            std::thread::sleep(worked * REST);
        }
        begun = Instant::now();
        failed.is_none() && !stopped()
    })?;
    failed.map_or(Ok(done), Err)
}

/// Seals or merges once; false when there is nothing to do.
fn step(state: &RwLock<State>, shelf: &mut Shelf) -> Result<bool> {
    let view = state.read().view.clone();
    let Some(sealing) = plan(&view.vectors, &view.classes, shelf.sizes) else { return Ok(false) };
    let made = shelf.seal(&view.vectors, &sealing, view.seq)?;
    swap(state, |View { vectors, classes, .. }| vectors.adopt(classes, &sealing, made.clone()));
    shelf.delete(&sealing);
    Ok(true)
}

/// Changes the view: beside the lock, unless others change it again and again.
fn swap(state: &RwLock<State>, change: impl Fn(&mut View)) {
    for _ in 0..SWAPS_BESIDE_LOCK {
        let before = state.read().view.clone();
        let mut next = View::clone(&before);
        change(&mut next);
        let mut state = state.write();
        if Arc::ptr_eq(&state.view, &before) {
            state.view = Arc::new(next);
            return;
        }
    }
    let mut state = state.write();
    let mut next = View::clone(&state.view);
    change(&mut next);
    state.view = Arc::new(next);
}
