//! What is made of words when they are asked for, kept by their names within a bound of memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

/// What a name takes beside its bytes.
const BYTES_PER_NAME: usize = 80;
/// Whether a value is used shows when so many times as many were asked for as there are.
const ROUNDS: usize = 8;

/// How much memory something takes.
pub(super) trait Bytes {
    /// In bytes.
    fn bytes(&self) -> usize;
}

/// Values by the names of words; those that are not asked for again go first.
pub(super) struct Kept<T> {
    known: RwLock<HashMap<Box<str>, Value<T>>>,
    bytes: AtomicUsize,
    most: usize,
    /// How many were asked for since unused values were last dropped.
    asked: AtomicUsize,
}

struct Value<T> {
    value: Arc<T>,
    bytes: usize,
    /// Asked for again since unused values were last dropped.
    used: AtomicBool,
}

impl<T: Bytes> Kept<T> {
    /// Keeps values of so many bytes at most.
    pub(super) fn new(most: usize) -> Kept<T> {
        Kept { known: RwLock::default(), bytes: AtomicUsize::new(0), most, asked: AtomicUsize::new(0) }
    }

    /// The value that is kept under a name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<T>> {
        let known = self.known.read();
        let found = known.get(name)?;
        found.used.store(true, Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(found.value.clone())
    }

    /// True when a value of so many bytes can be kept without dropping one that is used.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let fits = || self.bytes.load(Ordering::Relaxed) + bytes <= self.most;
        if fits() {
            return true;
        }
        let mut known = self.known.write();
        if self.asked.load(Ordering::Relaxed) < ROUNDS * known.len() {
            return false;
        }
        self.drop_unused(&mut known);
        fits()
    }

    /// Keeps a value under a name, whatever else must go.
    pub(super) fn keep(&self, name: &str, value: &Arc<T>) {
        let bytes = name.len() + BYTES_PER_NAME + value.bytes();
        let mut known = self.known.write();
        if self.bytes.load(Ordering::Relaxed) + bytes > self.most {
            self.drop_unused(&mut known);
            if self.bytes.load(Ordering::Relaxed) > self.most / 4 * 3 {
                known.clear();
                self.bytes.store(0, Ordering::Relaxed);
            }
        }
        let value = Value { value: value.clone(), bytes, used: AtomicBool::default() };
        let before = known.insert(name.into(), value).map_or(0, |before| before.bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Drops those that were not asked for since this was last done.
    fn drop_unused(&self, known: &mut HashMap<Box<str>, Value<T>>) {
        known.retain(|_, value| value.used.swap(false, Ordering::Relaxed));
        self.bytes.store(known.values().map(|value| value.bytes).sum(), Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
    }
}
