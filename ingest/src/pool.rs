//! A pool of equal things, each lent to one user at a time.

use std::ops::{Deref, DerefMut};

use parking_lot::{Condvar, Mutex};

/// Instances of something that serves one user at a time.
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
    instances: usize,
}

/// An instance in use; it goes back however its use ends.
pub(crate) struct Lent<'a, T> {
    pool: &'a Pool<T>,
    instance: Option<T>,
}

impl<T> Pool<T> {
    /// A pool of these; at least one is expected, else users wait for ever.
    pub(crate) fn new(instances: Vec<T>) -> Pool<T> {
        Pool { instances: instances.len(), idle: Mutex::new(instances), returned: Condvar::new() }
    }

    /// How many there are.
    pub(crate) fn instances(&self) -> usize {
        self.instances
    }

    /// Waits for an idle instance.
    pub(crate) fn lend(&self) -> Lent<'_, T> {
        let mut idle = self.idle.lock();
        loop {
            match idle.pop() {
                Some(instance) => return Lent { pool: self, instance: Some(instance) },
                None => self.returned.wait(&mut idle),
            }
        }
    }
}

const HELD: &str = "INVARIANT: an instance is lent until it is dropped";

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.instance.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.instance.as_mut().expect(HELD)
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.pool.idle.lock().extend(self.instance.take());
        self.pool.returned.notify_one();
    }
}
