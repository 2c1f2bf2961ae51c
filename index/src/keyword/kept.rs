//! What is made of words when they are asked for, kept by their names within a bound of memory: what is asked for more often stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

/// What a name takes beside its bytes.
const BYTES_PER_NAME: usize = 80;
/// What was asked for counts half when so many times as many were asked for as there are names.
const ROUNDS: usize = 8;
/// A value makes room for one that was asked for so many times as often; fewer would let them take turns.
const OFTENER: u32 = 2;
/// Values kept, and names remembered of what is not, at most.
const MAX_NAMES: usize = 16_384;

/// How much memory something takes.
pub(super) trait Bytes {
    /// In bytes.
    fn bytes(&self) -> usize;
}

/// A bound of memory.
pub(super) struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// Values by the names of words.
pub(super) struct Kept<T> {
    known: RwLock<HashMap<Box<str>, Value<T>>>,
    /// How often what is not kept was asked for.
    missed: Mutex<HashMap<Box<str>, u32>>,
    /// How many were asked for since they last came to count half.
    asked: AtomicUsize,
    own: Room,
    /// What it shares with others.
    shared: Option<Arc<Room>>,
    /// Whether the others have what is left.
    first: bool,
}

struct Value<T> {
    value: Arc<T>,
    bytes: usize,
    /// How often it was asked for.
    uses: AtomicU32,
}

impl Room {
    /// Of so many bytes.
    pub(super) fn new(most: usize) -> Room {
        Room { most, taken: AtomicUsize::new(0) }
    }

    fn left(&self) -> usize {
        self.most.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// True when nearly all of it is taken.
    pub(super) fn is_tight(&self) -> bool {
        self.left() < self.most / 16
    }
}

impl<T> Kept<T> {
    /// Keeps values of so many bytes at most.
    pub(super) fn new(most: usize) -> Kept<T> {
        Kept::within(most, None, false)
    }

    /// Keeps values of so many bytes at most, and with others no more than have room together.
    pub(super) fn sharing(most: usize, shared: &Arc<Room>) -> Kept<T> {
        Kept::within(most, Some(shared.clone()), false)
    }

    /// Keeps values of so many bytes at most, out of a room where others have what is left.
    pub(super) fn first_in(most: usize, shared: &Arc<Room>) -> Kept<T> {
        Kept::within(most, Some(shared.clone()), true)
    }

    fn within(most: usize, shared: Option<Arc<Room>>, first: bool) -> Kept<T> {
        Kept { known: RwLock::default(), missed: Mutex::default(), asked: AtomicUsize::new(0), own: Room::new(most), shared, first }
    }

    /// What the values take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.own.taken.load(Ordering::Relaxed)
    }

    /// Keeps nothing.
    pub(super) fn clear(&self) {
        let mut known = self.known.write();
        known.clear();
        self.free(self.bytes());
    }

    /// The value that is kept under a name; else how often it was asked for, this time included.
    pub(super) fn get(&self, name: &str) -> Result<Arc<T>, u32> {
        let names = {
            let known = self.known.read();
            if let Some(found) = known.get(name) {
                found.uses.fetch_add(1, Ordering::Relaxed);
                self.asked.fetch_add(1, Ordering::Relaxed);
                return Ok(found.value.clone());
            }
            known.len()
        };
        let mut missed = self.missed.lock();
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if missed.len() >= MAX_NAMES || asked >= ROUNDS * (names + missed.len()).max(MAX_NAMES / 16) {
            self.forget(&mut missed);
        }
        if let Some(uses) = missed.get_mut(name) {
            *uses += 1;
            return Err(*uses);
        }
        missed.insert(name.into(), 1);
        Err(1)
    }

    /// Lets everything count half; names that do not count any more go, and all of them where that is not enough.
    fn forget(&self, missed: &mut HashMap<Box<str>, u32>) {
        for value in self.known.read().values() {
            value.uses.store(value.uses.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
        missed.retain(|_, uses| {
            *uses /= 2;
            *uses > 0
        });
        if missed.len() >= MAX_NAMES {
            missed.clear();
        }
        self.asked.store(0, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.shared.iter().filter(|_| !self.first).fold(self.own.left(), |left, shared| left.min(shared.left()))
    }

    /// True when a value of so many bytes would be kept that was asked for `uses` times.
    pub(super) fn has_room(&self, bytes: usize, uses: u32) -> bool {
        let known = self.known.read();
        if bytes <= self.left() && known.len() < MAX_NAMES {
            return true;
        }
        let mut giving_way =
            known.values().filter(|value| uses >= OFTENER && value.gives_way(uses)).map(|value| value.bytes).peekable();
        giving_way.peek().is_some() && bytes <= self.left() + giving_way.sum::<usize>()
    }

    fn add(&self, bytes: usize) {
        for room in self.rooms() {
            room.taken.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn free(&self, bytes: usize) {
        for room in self.rooms() {
            room.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn rooms(&self) -> impl Iterator<Item = &Room> {
        std::iter::once(&self.own).chain(self.shared.as_deref())
    }
}

impl<T: Bytes> Kept<T> {
    /// Keeps a value that was asked for `uses` times, where there is room.
    pub(super) fn keep(&self, name: &str, value: &Arc<T>, uses: u32) {
        let bytes = name.len() + BYTES_PER_NAME + value.bytes();
        if !self.has_room(bytes, uses) {
            return;
        }
        let mut known = self.known.write();
        if bytes > self.left() || known.len() >= MAX_NAMES {
            let giving_way = known.iter().filter(|(_, value)| value.gives_way(uses));
            let mut giving_way: Vec<(u32, Box<str>)> =
                giving_way.map(|(name, value)| (value.uses.load(Ordering::Relaxed), name.clone())).collect();
            giving_way.sort_unstable();
            for (_, name) in giving_way {
                self.free(known.remove(&name).map_or(0, |gone| gone.bytes));
                if bytes <= self.left() && known.len() < MAX_NAMES {
                    break;
                }
            }
        }
        self.add(bytes);
        let value = Value { value: value.clone(), bytes, uses: AtomicU32::new(uses) };
        self.free(known.insert(name.into(), value).map_or(0, |before| before.bytes));
        self.missed.lock().remove(name);
    }
}

impl<T> Value<T> {
    /// True when it goes for one that was asked for `uses` times.
    fn gives_way(&self, uses: u32) -> bool {
        self.uses.load(Ordering::Relaxed).saturating_mul(OFTENER) <= uses
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Bytes for [u8; 1_000] {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    fn ask(kept: &Kept<[u8; 1_000]>, name: &str) {
        if let Err(uses) = kept.get(name) {
            kept.keep(name, &Arc::new([0; 1_000]), uses);
        }
    }

    #[test]
    fn what_is_asked_for_in_turn_does_not_take_turns() {
        let kept = Kept::new(10 * 1_100);
        let mut missed = 0;
        for round in 0..50 {
            for name in 0..20 {
                let name = name.to_string();
                missed += usize::from(round >= 10 && kept.get(&name).is_err());
                ask(&kept, &name);
            }
        }
        assert!(kept.bytes() <= 10 * 1_100);
        assert!(missed <= 40 * 10, "{missed} of 800 missed where half have room");
    }

    #[test]
    fn the_first_in_a_room_takes_what_it_may_and_others_the_rest() {
        let room = Arc::new(Room::new(10 * 1_100));
        let (first, other) = (Kept::first_in(8 * 1_100, &room), Kept::sharing(8 * 1_100, &room));
        for kept in [&other, &first, &other] {
            (0..20).for_each(|name| ask(kept, &name.to_string()));
        }
        assert!(first.bytes() > 7 * 1_000 && other.bytes() > 7 * 1_000);
        other.clear();
        (0..20).for_each(|name| ask(&other, &name.to_string()));
        assert!(first.bytes() > 7 * 1_000 && first.bytes() + other.bytes() <= 10 * 1_100);
    }

    #[test]
    fn what_is_asked_for_more_often_stays_and_the_shared_room_holds() {
        let room = Arc::new(Room::new(10 * 1_100));
        let other = Kept::sharing(usize::MAX, &room);
        (0..5).for_each(|name| ask(&other, &name.to_string()));
        let kept = Kept::sharing(usize::MAX, &room);
        for _ in 0..30 {
            (0..100).for_each(|name| ask(&kept, &name.to_string()));
            (0..10).for_each(|_| ask(&kept, "often"));
        }
        assert!(kept.get("often").is_ok());
        assert!(room.taken.load(Ordering::Relaxed) <= 10 * 1_100);
        assert!(other.get("0").is_ok());
        drop(kept);
        assert_eq!(room.taken.load(Ordering::Relaxed), other.bytes());
    }
}
