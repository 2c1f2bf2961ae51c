//! Why a request was not let in. Which status code that is stands with the other HTTP errors.

use sightline_index::Scope;

/// Why credentials do not open what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request has none.
    #[error("send an API key as `Authorization: Bearer sl_…`")]
    NoCredentials,
    /// They are not a key, or the key is unknown, expired or revoked.
    #[error("the API key is not valid, has expired or was revoked")]
    WrongCredentials,
    /// A token of a user was sent, but no issuer of such tokens is configured.
    #[error("user tokens are not accepted, since no issuer is configured; send an API key as `Authorization: Bearer sl_…`")]
    NoIssuer,
    /// The key lacks every scope that would do.
    #[error("the API key needs the scope {}", names(.any_of))]
    MissingScope {
        /// One of these would do.
        any_of: &'static [Scope],
    },
    /// The key may name a user but not groups.
    #[error("`Sightline-Groups` is not accepted by this server")]
    GroupsNotAllowed,
    /// The key is narrowed to other sources or labels than those of the change.
    #[error("the API key is narrowed: {reason}")]
    OutsideGuard {
        /// What it may change, and what was asked.
        reason: String,
    },
    /// A header names no principal.
    #[error("{name}: {reason}")]
    BadHeader {
        /// The header.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalog could not be asked.
    #[error("the key could not be looked up")]
    Catalog(#[from] sightline_index::Error),
}

/// The name of a scope in the API.
pub(super) fn name(scope: Scope) -> &'static str {
    match scope {
        Scope::Search => "search",
        Scope::Ingest => "ingest",
        Scope::Admin => "admin",
        Scope::AssertUser => "assert-user",
    }
}

fn names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| format!("`{}`", name(*scope))).collect::<Vec<_>>().join(" or ")
}
