//! Who asks: the user, the groups asserted for them, and the guards of the app that acts for them.

use std::collections::BTreeMap;

use super::principal::Principal;

/// A caller. Without a user it is `public`, never everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    user: Option<Principal>,
    groups: Vec<Principal>,
    guard: Guard,
}

/// What narrows a caller beside the ACLs, such as the sources and labels of an API key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Only these sources; `None` is all.
    pub sources: Option<Vec<String>>,
    /// Only documents with all of these labels.
    pub labels: BTreeMap<String, String>,
}

impl Caller {
    /// A caller without a user: sees what `public` may read.
    pub fn public() -> Caller {
        Caller::default()
    }

    /// A signed-in user; groups come from the directory. `None` when `user` is not a `user:` principal.
    pub fn user(user: Principal) -> Option<Caller> {
        user.is_user().then(|| Caller { user: Some(user), ..Caller::default() })
    }

    /// Adds groups that the caller's credentials assert, beside those of the directory. Ignored without a user.
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = Principal>) -> Caller {
        if self.user.is_some() {
            self.groups.extend(groups.into_iter().filter(Principal::is_group));
            self.groups.sort();
            self.groups.dedup();
        }
        self
    }

    /// Narrows the caller to what a guard admits.
    pub fn with_guard(mut self, guard: Guard) -> Caller {
        self.guard = guard;
        self
    }

    /// The user, when there is one.
    pub fn principal(&self) -> Option<&Principal> {
        self.user.as_ref()
    }

    pub(super) fn asserted_groups(&self) -> &[Principal] {
        &self.groups
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}
