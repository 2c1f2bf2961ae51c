//! `.sightline.toml`: a folder's ACL and labels, and what is particular to its files.
//!
//! ACLs are handed on as they stand: the engine reads them, and withholds what it does not understand. A manifest that
//! cannot be read withholds everything below its folder.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::document::{IncomingSection, SectionPlace};

/// A folder's manifest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The folder's ACL, inherited by what is below.
    pub(super) acl: Option<Value>,
    /// Labels of every file here and below.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// What is particular to a file of this folder, by its name.
    #[serde(default)]
    pub(super) files: BTreeMap<String, FileManifest>,
}

/// What a manifest says of one file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileManifest {
    pub(super) title: Option<String>,
    pub(super) uri: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) acl: Option<Value>,
    #[serde(default)]
    pub(super) sections: Vec<SectionManifest>,
}

/// A section: what stands under a heading, with its own ACL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionManifest {
    heading: String,
    acl: Value,
}

impl Manifest {
    /// Reads a manifest.
    pub(super) fn read(text: &str) -> Result<Manifest, String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let value = json(toml::Value::Table(table));
        Manifest::deserialize(value).map_err(|error| error.to_string())
    }
}

impl SectionManifest {
    pub(super) fn section(&self) -> IncomingSection {
        IncomingSection { name: self.heading.clone(), place: SectionPlace::Heading, acl: Some(self.acl.clone()) }
    }
}

/// TOML as JSON; a TOML date becomes its RFC 3339 text.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(at) => Value::String(at.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_acls_as_they_stand() {
        let manifest = Manifest::read(
            "[acl]\nallow = ['group:eng']\ngrants = [{ principal = 'group:audit', until = 2027-06-30T00:00:00Z }]\n\
             [files.'a.md']\nacl = { alow = ['everyone'] }\n[[files.'a.md'.sections]]\nheading = 'Pay'\nacl = {}\n",
        )
        .unwrap();
        assert_eq!(
            manifest.acl.unwrap(),
            serde_json::json!({"allow": ["group:eng"], "grants": [{"principal": "group:audit", "until": "2027-06-30T00:00:00Z"}]})
        );
        assert_eq!(manifest.files["a.md"].acl, Some(serde_json::json!({"alow": ["everyone"]})));
        assert_eq!(manifest.files["a.md"].sections.len(), 1);
    }

    #[test]
    fn a_mistyped_key_is_refused() {
        assert!(Manifest::read("[alc]\nallow = ['everyone']").is_err());
        assert!(Manifest::read("[acl").is_err());
    }
}
