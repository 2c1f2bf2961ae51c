//! `.sightline.toml`: a folder's ACL and labels, and what is particular to its files.
//!
//! ACLs are handed on as they stand: the engine reads them, and withholds what it does not understand. A manifest that
//! cannot be read withholds everything below its folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sightline_index::{AclState, Rule};

use super::walk::MANIFEST;
use crate::document::{IncomingSection, SectionPlace};

const MAX_MANIFEST_BYTES: u64 = 16 << 20;

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
    /// The manifest of a folder; an empty one where there is none.
    pub(super) fn of(folder: &Path) -> Result<Manifest, String> {
        let path = folder.join(MANIFEST);
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => Err(error.to_string()),
            // A link would be followed, and a pipe waited for.
            Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
            Ok(metadata) if metadata.len() > MAX_MANIFEST_BYTES => {
                Err(format!("{} bytes, at most {MAX_MANIFEST_BYTES} are read", metadata.len()))
            }
            Ok(_) => Manifest::read(&std::fs::read_to_string(&path).map_err(|error| error.to_string())?),
        }
    }

    /// Rules that can be read and not understood, and rules for files that are not in the folder.
    pub(super) fn problems(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let problem = |acl: &Value, place: &str, effect: &str| {
            let rule = Rule::read(Some(acl));
            (rule.state != AclState::Known).then(|| format!("{place}: {}; {effect}", rule.problem))
        };
        let mut problems = Vec::new();
        problems.extend(self.acl.as_ref().and_then(|acl| problem(acl, "acl", "everything below its folder is withheld")));
        for (name, file) in &self.files {
            if !is_there(name) {
                problems.push(format!("files.{name:?}: the folder has no such file"));
            }
            let place = format!("files.{name:?}");
            problems.extend(file.acl.as_ref().and_then(|acl| problem(acl, &place, "the file is withheld")));
            for section in &file.sections {
                let effect = format!("the section {:?} is withheld", section.heading);
                problems.extend(problem(&section.acl, &place, &effect));
            }
        }
        problems
    }

    /// Reads a manifest.
    fn read(text: &str) -> Result<Manifest, String> {
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
