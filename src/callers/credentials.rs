//! What a request says of who sends it, read from its headers and not yet believed.
//!
//! A header that is there twice or is not text is refused: two parties could read it differently.

use axum::http::{HeaderMap, header};
use sightline_index::Principal;

use super::Refusal;

/// A secret of an API key starts with this.
const KEY_PREFIX: &str = "sl_";
const MAX_SECRET_BYTES: usize = 256;
const USER: &str = "sightline-user";
const GROUPS: &str = "sightline-groups";
const USER_TOKEN: &str = "sightline-user-token";

/// The claims of one request.
pub(super) struct Credentials {
    /// The secret of an API key.
    pub(super) secret: String,
    /// The user that the app names.
    pub(super) user: Option<Principal>,
    /// The groups that the app names.
    pub(super) groups: Option<Vec<Principal>>,
}

impl Credentials {
    /// Reads the claims of a request.
    pub(super) fn read(headers: &HeaderMap) -> Result<Credentials, Refusal> {
        let authorization = single(headers, header::AUTHORIZATION.as_str()).map_err(|_| Refusal::WrongCredentials)?;
        let authorization = authorization.ok_or(Refusal::NoCredentials)?;
        let (scheme, secret) = authorization.split_once(' ').ok_or(Refusal::WrongCredentials)?;
        let secret = secret.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() {
            return Err(Refusal::WrongCredentials);
        }
        // A JWT of the configured issuer will be read here; there is no issuer yet.
        if !secret.starts_with(KEY_PREFIX) || headers.contains_key(USER_TOKEN) {
            return Err(Refusal::NoIssuer);
        }
        if secret.len() > MAX_SECRET_BYTES {
            return Err(Refusal::WrongCredentials);
        }
        let user = single(headers, USER)?.map(|user| principal(USER, user, Principal::is_user)).transpose()?;
        let groups = single(headers, GROUPS)?.map(|groups| {
            let names = groups.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| principal(GROUPS, name, Principal::is_group)).collect::<Result<Vec<_>, _>>()
        });
        Ok(Credentials { secret: secret.to_owned(), user, groups: groups.transpose()? })
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes());
    match (text, values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        (Ok(_), Some(_)) => Err(Refusal::BadHeader { name, reason: "it is there more than once".to_owned() }),
        (Err(_), _) => Err(Refusal::BadHeader { name, reason: "it is not UTF-8".to_owned() }),
    }
}

fn principal(name: &'static str, text: &str, right: fn(&Principal) -> bool) -> Result<Principal, Refusal> {
    let bad = |reason: String| Refusal::BadHeader { name, reason };
    let principal = Principal::parse(text).map_err(bad)?;
    if right(&principal) {
        return Ok(principal);
    }
    Err(bad(format!("`{text}` is not accepted here; {}", if name == USER { "name a user:ID" } else { "name group:ID, …" })))
}
