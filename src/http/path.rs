//! Ids in paths. They hold slashes, spaces and any other character, percent-encoded or, for slashes, as they are.
//!
//! The raw path is split before it is decoded, so that `a%2Facl` is the document `a/acl` and `a/acl` is the ACL of `a`.

use axum::http::Uri;
use sightline_index::Principal;

use super::errors::Problem;

const DOCUMENTS: &str = "/v1/documents/";
const CONTAINERS: &str = "/v1/containers/";
const GROUPS: &str = "/v1/groups/";

/// An item of a source, or what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ItemPath {
    /// The source's id.
    pub(super) source: String,
    /// The document's or container's id.
    pub(super) id: String,
    /// True for the ACL of the document.
    pub(super) acl: bool,
}

impl ItemPath {
    /// Reads the path of a document or its ACL.
    pub(super) fn document(uri: &Uri) -> Result<ItemPath, Problem> {
        let (source, item) = split(uri, DOCUMENTS)?;
        let (item, acl) = match item.strip_suffix("/acl") {
            Some(item) if !item.is_empty() => (item, true),
            _ => (item, false),
        };
        Ok(ItemPath { source: decode(source)?, id: decode(item)?, acl })
    }

    /// Reads the path of a container.
    pub(super) fn container(uri: &Uri) -> Result<ItemPath, Problem> {
        let (source, item) = split(uri, CONTAINERS)?;
        Ok(ItemPath { source: decode(source)?, id: decode(item)?, acl: false })
    }
}

/// Reads the path of a group; `eng` and `group:eng` are the same. True for its members.
pub(super) fn group(uri: &Uri) -> Result<(Principal, bool), Problem> {
    let raw = uri.path().strip_prefix(GROUPS).filter(|raw| !raw.is_empty()).ok_or_else(Problem::no_route)?;
    let (raw, members) = match raw.strip_suffix("/members") {
        Some(raw) if !raw.is_empty() => (raw, true),
        _ => (raw, false),
    };
    let id = decode(raw)?;
    let name = if id.starts_with("group:") { id } else { format!("group:{id}") };
    let group = Principal::parse(&name).map_err(|reason| Problem::bad_request("bad_group_id", reason))?;
    Ok((group, members))
}

fn split<'a>(uri: &'a Uri, prefix: &str) -> Result<(&'a str, &'a str), Problem> {
    let rest = uri.path().strip_prefix(prefix).ok_or_else(Problem::no_route)?;
    match rest.split_once('/') {
        Some((source, item)) if !source.is_empty() && !item.is_empty() => Ok((source, item)),
        _ => Err(Problem::no_route()),
    }
}

/// Decodes percent-encoding (RFC 3986); what is not an escape or not UTF-8 is refused, not guessed at.
fn decode(raw: &str) -> Result<String, Problem> {
    let bad = || Problem::bad_request("bad_path", "the path is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(bad);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &'static str) -> Option<(String, String, bool)> {
        let item = ItemPath::document(&Uri::from_static(path)).ok()?;
        Some((item.source, item.id, item.acl))
    }

    #[test]
    fn splits_before_it_decodes() {
        for (path, source, id, acl) in [
            ("/v1/documents/wiki/a.md", "wiki", "a.md", false),
            ("/v1/documents/wiki/a%2Fb.md", "wiki", "a/b.md", false),
            ("/v1/documents/wiki/a/b.md", "wiki", "a/b.md", false),
            ("/v1/documents/wiki/acl", "wiki", "acl", false),
            ("/v1/documents/wiki/a/acl", "wiki", "a", true),
            ("/v1/documents/wiki/a%2Facl", "wiki", "a/acl", false),
            ("/v1/documents/wiki/a%2Facl/acl", "wiki", "a/acl", true),
            ("/v1/documents/w%20i/%E6%97%A5%25.md", "w i", "日%.md", false),
            ("/v1/documents/wiki/a//b/", "wiki", "a//b/", false),
        ] {
            assert_eq!(item(path), Some((source.to_owned(), id.to_owned(), acl)), "{path}");
        }
        for path in ["/v1/documents/wiki", "/v1/documents/wiki/", "/v1/documents//a", "/v1/documents/w/%F0", "/v1/documents/w/%2"] {
            assert_eq!(item(path), None, "{path}");
        }
    }

    #[test]
    fn groups_have_one_name() {
        let read =
            |path: &'static str| group(&Uri::from_static(path)).map(|(group, members)| (group.to_string(), members)).unwrap();
        assert_eq!(read("/v1/groups/eng"), ("group:eng".to_owned(), false));
        assert_eq!(read("/v1/groups/group:eng/members"), ("group:eng".to_owned(), true));
        assert_eq!(read("/v1/groups/group%3Aconfluence%2Feng"), ("group:confluence/eng".to_owned(), false));
        assert_eq!(read("/v1/groups/confluence/eng/members"), ("group:confluence/eng".to_owned(), true));
        assert_eq!(read("/v1/groups/members"), ("group:members".to_owned(), false));
    }
}
