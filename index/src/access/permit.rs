//! Permits: what one caller may see at one moment.
//!
//! A permit is made only here, from a caller and the access tables, and has no public constructor. Permits are cached
//! per set of principals and guard until anything that can alter them changes; two callers with the same rights share one.

use std::collections::HashMap;
use std::sync::Arc;

use super::bits::Bits;
use super::caller::{Caller, Guard};
use super::directory::Held;
use super::tables::Access;
use super::{ClassNo, DEAD};
use crate::timestamp::Timestamp;

const MAX_CACHED_PERMITS: usize = 4096;

/// The set of ACL classes that a caller may read.
#[derive(Debug)]
pub struct Permit {
    classes: Arc<Bits>,
    /// A digest of `classes`: equal for equal sets.
    fingerprint: u64,
    made_at: Timestamp,
    valid_until: Option<Timestamp>,
}

impl Permit {
    fn new(access: &Access, principals: &[Held], guard: &Guard, now: Timestamp) -> Permit {
        let admitted = access.admitted(principals, guard, now);
        let fingerprint = admitted.classes.fingerprint();
        Permit { classes: Arc::new(admitted.classes), fingerprint, made_at: now, valid_until: admitted.valid_until }
    }

    /// A permit of just these classes.
    #[cfg(test)]
    pub(crate) fn of_classes(classes: impl IntoIterator<Item = ClassNo>) -> Permit {
        let mut bits = Bits::default();
        for class in classes {
            bits.insert(class);
        }
        Permit { fingerprint: bits.fingerprint(), classes: Arc::new(bits), made_at: Timestamp(0), valid_until: None }
    }

    /// True when the caller may read chunks of this class.
    #[inline]
    pub(crate) fn admits(&self, class: ClassNo) -> bool {
        class != DEAD && self.classes.contains(class)
    }

    /// How many classes are admitted.
    pub fn len(&self) -> usize {
        self.classes.iter().count()
    }

    /// True when nothing is admitted.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().next().is_none()
    }

    /// The classes admitted, ascending.
    pub(crate) fn classes(&self) -> impl Iterator<Item = ClassNo> + '_ {
        self.classes.iter()
    }

    /// The classes admitted.
    pub(crate) fn bits(&self) -> &Arc<Bits> {
        &self.classes
    }

    /// A digest of the classes: equal for equal sets, and nearly always another one for others.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn holds_at(&self, now: Timestamp) -> bool {
        self.made_at <= now && self.valid_until.is_none_or(|until| now < until)
    }
}

/// Permits made since the access tables last changed.
#[derive(Debug, Default)]
pub(crate) struct PermitCache {
    by_caller: HashMap<Caller, Arc<Permit>>,
    by_rights: HashMap<(Vec<Held>, Guard), Arc<Permit>>,
}

impl PermitCache {
    /// Forgets every permit; called with each change of the access tables.
    pub(crate) fn clear(&mut self) {
        self.by_caller.clear();
        self.by_rights.clear();
    }

    /// The permit of a caller at `now`, when it was made before.
    pub(crate) fn known(&self, caller: &Caller, now: Timestamp) -> Option<Arc<Permit>> {
        self.by_caller.get(caller).filter(|permit| permit.holds_at(now)).cloned()
    }

    /// The permit of a caller at `now`.
    pub(crate) fn permit(&mut self, access: &Access, caller: &Caller, now: Timestamp) -> Arc<Permit> {
        if let Some(permit) = self.known(caller, now) {
            return permit;
        }
        if self.by_caller.len() >= MAX_CACHED_PERMITS {
            self.clear();
        }
        let held = access.principals(caller);
        let mut names: Vec<Held> = held.iter().map(|held| Held { through: None, ..*held }).collect();
        names.sort_unstable();
        let rights = (names, caller.guard().clone());
        let permit = match self.by_rights.get(&rights).filter(|permit| permit.holds_at(now)) {
            Some(permit) => permit.clone(),
            None => {
                let permit = Arc::new(Permit::new(access, &held, caller.guard(), now));
                self.by_rights.insert(rights, permit.clone());
                permit
            }
        };
        self.by_caller.insert(caller.clone(), permit.clone());
        permit
    }
}
