//! Scopes as types: a handler that takes [`Allowed<ToSearch>`] runs only for senders whose key has that scope.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sightline_index::Scope;

use super::Shared;
use super::errors::Problem;
use crate::callers::Identity;

/// What a route needs.
pub(super) trait Purpose {
    /// One of these scopes is needed.
    const ANY_OF: &'static [Scope];
}

/// Searching and reading.
pub(super) struct ToSearch;
/// Writing documents, ACLs and containers.
pub(super) struct ToIngest;
/// The directory, which connectors bring and admins tend.
pub(super) struct ToKeepDirectory;
/// Looking after the service. It opens no content.
pub(super) struct ToAdminister;

impl Purpose for ToSearch {
    const ANY_OF: &'static [Scope] = &[Scope::Search];
}

impl Purpose for ToIngest {
    const ANY_OF: &'static [Scope] = &[Scope::Ingest];
}

impl Purpose for ToKeepDirectory {
    const ANY_OF: &'static [Scope] = &[Scope::Ingest, Scope::Admin];
}

impl Purpose for ToAdminister {
    const ANY_OF: &'static [Scope] = &[Scope::Admin];
}

/// An identity that was checked for a purpose.
pub(super) struct Allowed<P> {
    identity: Identity,
    purpose: PhantomData<P>,
}

impl<P> Deref for Allowed<P> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl<P: Purpose> FromRequestParts<Shared> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Shared) -> Result<Self, Problem> {
        let identity = service.identify(&parts.headers).await?.require(P::ANY_OF)?;
        Ok(Allowed { identity, purpose: PhantomData })
    }
}
