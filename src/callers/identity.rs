//! The identity of one request: the app, the user it acts for, and what both may do.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use sightline_index::{Caller, Engine, Guard, KeyRecord, Principal, Scope, Timestamp};

use super::Refusal;
use super::credentials::Credentials;

/// Who sends a request. There is no other way to make one than [`Identity::of`].
#[derive(Clone, Debug)]
pub struct Identity {
    key: KeyRecord,
    caller: Caller,
}

impl Identity {
    /// Identifies the sender of a request by its headers, as the keys stand now. Without a user the caller is `public`.
    ///
    /// # Errors
    /// [`Refusal`]; it tells nothing of keys that exist.
    pub fn of(engine: &Engine, headers: &HeaderMap, allow_asserted_groups: bool, now: Timestamp) -> Result<Identity, Refusal> {
        let credentials = Credentials::read(headers)?;
        let key = engine.key(&credentials.secret, now)?.ok_or(Refusal::WrongCredentials)?;
        let asserts = credentials.user.is_some() || credentials.groups.is_some();
        if asserts && !key.scopes.contains(&Scope::AssertUser) {
            return Err(Refusal::MissingScope { any_of: &[Scope::AssertUser] });
        }
        if credentials.groups.is_some() && !allow_asserted_groups {
            return Err(Refusal::GroupsNotAllowed);
        }
        let caller = match credentials.user.and_then(Caller::user) {
            Some(caller) => caller.with_groups(credentials.groups.unwrap_or_default()),
            None if credentials.groups.is_some() => {
                let reason = "groups are those of a user; send `Sightline-User` too".to_owned();
                return Err(Refusal::BadHeader { name: "sightline-groups", reason });
            }
            None => Caller::public(),
        };
        Ok(Identity { caller: caller.with_guard(key.guard()), key })
    }

    /// Refuses an app whose key has none of these scopes.
    ///
    /// # Errors
    /// [`Refusal::MissingScope`].
    pub fn require(self, any_of: &'static [Scope]) -> Result<Identity, Refusal> {
        match any_of.iter().any(|scope| self.key.scopes.contains(scope)) {
            true => Ok(self),
            false => Err(Refusal::MissingScope { any_of }),
        }
    }

    /// The caller whose rights every answer obeys, narrowed by the key's guard.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The public part of the key, for logs.
    pub fn key_id(&self) -> &str {
        &self.key.id
    }

    /// What the app may write.
    pub fn reach(&self) -> Reach {
        Reach { guard: self.key.guard() }
    }
}

/// What an app may write: everything, or what its key is narrowed to.
#[derive(Clone, Debug)]
pub struct Reach {
    guard: Guard,
}

impl Reach {
    /// Refuses to write a document with these labels.
    ///
    /// # Errors
    /// [`Refusal::OutsideGuard`].
    pub fn put(&self, source: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
        self.source(source)?;
        match self.guard.labels.iter().find(|(key, value)| labels.get(*key) != Some(value)) {
            None => Ok(()),
            Some((key, value)) => outside(format!("its documents need the label {key}={value}")),
        }
    }

    /// The labels that a document must carry for the app to replace it.
    pub fn replaces(&self) -> BTreeMap<String, String> {
        self.guard.labels.clone()
    }

    /// Refuses to delete something of a source or change its permissions. A key that is narrowed to labels may not, since
    /// what a container or an ACL reaches does not show in the request.
    ///
    /// # Errors
    /// [`Refusal::OutsideGuard`].
    pub fn change(&self, source: &str) -> Result<(), Refusal> {
        self.source(source)?;
        match self.guard.labels.is_empty() {
            true => Ok(()),
            false => outside("a key with labels may put documents and change nothing else".to_owned()),
        }
    }

    /// Refuses to read or change a group. A key that is narrowed to a source has the groups in that source's namespace,
    /// such as `group:confluence/eng`: any other group may open documents that the key must not reach.
    ///
    /// # Errors
    /// [`Refusal::OutsideGuard`].
    pub fn group(&self, group: &Principal) -> Result<(), Refusal> {
        if !self.guard.labels.is_empty() {
            return outside("a key with labels may not touch groups".to_owned());
        }
        let Some(sources) = &self.guard.sources else { return Ok(()) };
        let namespace = group.as_str().strip_prefix("group:").and_then(|id| id.split_once('/')).map(|(namespace, _)| namespace);
        match namespace.is_some_and(|namespace| sources.iter().any(|source| source == namespace)) {
            true => Ok(()),
            false => outside("it may only touch groups named group:SOURCE/… of its sources".to_owned()),
        }
    }

    fn source(&self, source: &str) -> Result<(), Refusal> {
        match self.guard.sources.as_ref().is_none_or(|sources| sources.iter().any(|allowed| allowed == source)) {
            true => Ok(()),
            false => outside("it may not write to this source".to_owned()),
        }
    }
}

fn outside(reason: String) -> Result<(), Refusal> {
    Err(Refusal::OutsideGuard { reason })
}
