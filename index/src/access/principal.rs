//! Principals: who an ACL entry or a group membership names.
//!
//! A principal is `user:ID`, `group:ID`, `everyone` (any signed-in caller) or `public` (also callers without a user).
//! Ids are opaque, case-sensitive and at most 256 bytes.

use serde::{Deserialize, Serialize};

/// The longest id, in bytes, after `user:` or `group:`.
pub const MAX_PRINCIPAL_ID_BYTES: usize = 256;

/// A well-formed principal, in its text form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Principal(String);

impl Principal {
    /// Reads a principal; the error says what is accepted.
    pub fn parse(text: &str) -> Result<Principal, String> {
        let id = match text {
            "everyone" | "public" => return Ok(Principal(text.to_owned())),
            _ => text.strip_prefix("user:").or_else(|| text.strip_prefix("group:")),
        };
        match id {
            Some("") => Err(format!("`{text}` has an empty id")),
            Some(id) if id.len() > MAX_PRINCIPAL_ID_BYTES => {
                Err(format!("a principal id has {} bytes, at most {MAX_PRINCIPAL_ID_BYTES} are allowed", id.len()))
            }
            Some(id) if id.chars().any(char::is_control) => Err("a principal id has a control character".to_owned()),
            Some(_) => Ok(Principal(text.to_owned())),
            None => Err(format!("`{}` is not user:ID, group:ID, everyone or public", text.chars().take(80).collect::<String>())),
        }
    }

    /// Any signed-in caller.
    pub fn everyone() -> Principal {
        Principal("everyone".to_owned())
    }

    /// Every caller, also one without a user.
    pub fn public() -> Principal {
        Principal("public".to_owned())
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `user:ID`.
    pub fn is_user(&self) -> bool {
        self.0.starts_with("user:")
    }

    /// True for `group:ID`.
    pub fn is_group(&self) -> bool {
        self.0.starts_with("group:")
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> String {
        principal.0
    }
}

impl TryFrom<String> for Principal {
    type Error = String;

    fn try_from(text: String) -> Result<Principal, String> {
        Principal::parse(&text)
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
