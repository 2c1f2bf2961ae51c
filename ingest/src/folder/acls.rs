//! What each folder and file of a listing may be read by, whatever the origin.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sightline_index::{Failure, Principal};

use super::manifest::{FileManifest, Manifest};
use super::posix::Accounts;
use super::walk::{Listing, MANIFEST, failure, parent};
use super::{AclOrigin, FolderOptions};
use crate::document::{IncomingSection, IngestError};
use crate::unique::from_json;

/// The container of the top folder.
const TOP: &str = "/";

/// What is known of a file beside its content.
#[derive(Clone, Debug, Default)]
pub(super) struct FileFacts {
    pub(super) title: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) acl: Option<Value>,
    pub(super) sections: Vec<IncomingSection>,
}

/// ACLs of a listing.
pub(super) struct Acls {
    origin: Origin,
    /// Groups to bring into the directory.
    pub(super) groups: Vec<(Principal, Vec<Principal>)>,
    /// What could not be read.
    pub(super) failures: Vec<Failure>,
}

enum Origin {
    Manifests(HashMap<String, FolderFacts>),
    List(HashMap<String, Value>),
    Posix(Accounts),
}

#[derive(Default)]
struct FolderFacts {
    /// The folder's container ACL.
    container: Value,
    /// Whether the folder or one above it has an ACL.
    governed: bool,
    labels: BTreeMap<String, String>,
    files: BTreeMap<String, FileManifest>,
}

impl Acls {
    /// Reads the ACLs of a listing.
    pub(super) fn read(options: &FolderOptions, listing: &Listing) -> Result<Acls, IngestError> {
        let mut failures = Vec::new();
        let mut groups = options.directory.as_deref().map(read_directory).transpose()?.unwrap_or_default();
        let origin = match &options.acls {
            AclOrigin::Manifests => Origin::Manifests(read_manifests(options, listing, &mut failures)),
            AclOrigin::List(path) => Origin::List(read_list(path)?),
            AclOrigin::Posix => {
                let accounts =
                    Accounts::of_this_machine().map_err(|source| IngestError::Folder { path: "/etc/passwd".into(), source })?;
                groups.extend(accounts.directory());
                Origin::Posix(accounts)
            }
        };
        Ok(Acls { origin, groups, failures })
    }

    /// The containers of the listing's folders, parents first.
    pub(super) fn containers(&self, listing: &Listing) -> Vec<(String, Value)> {
        let Origin::Manifests(folders) = &self.origin else { return Vec::new() };
        let container = |id: &str| Some((container_id(id).to_owned(), folders.get(id)?.container.clone()));
        listing.folders.iter().filter_map(|folder| container(&folder.id)).collect()
    }

    /// What is known of a file of the listing.
    pub(super) fn file(&self, listing: &Listing, id: &str, metadata: &std::fs::Metadata) -> FileFacts {
        match &self.origin {
            Origin::Manifests(folders) => {
                let folder_id = parent(id).unwrap_or_default();
                let name = id.rsplit('/').next().unwrap_or(id);
                let Some(folder) = folders.get(folder_id) else { return FileFacts::default() };
                let own = folder.files.get(name).cloned().unwrap_or_default();
                let mut labels = folder.labels.clone();
                labels.extend(own.labels);
                let acl = match own.acl {
                    None => folder.governed.then(|| json!({ "parent": container_id(folder_id) })),
                    Some(acl) => Some(below(acl, folder_id)),
                };
                let sections = own.sections.iter().map(super::manifest::SectionManifest::section).collect();
                FileFacts { title: own.title, uri: own.uri, labels, acl, sections }
            }
            Origin::List(acls) => FileFacts { acl: acls.get(id).cloned(), ..FileFacts::default() },
            Origin::Posix(accounts) => {
                let mut above = Vec::new();
                let mut at = parent(id);
                while let Some(folder) = at {
                    above.extend(listing.folder(folder).map(|entry| &entry.metadata));
                    at = parent(folder);
                }
                FileFacts { acl: Some(accounts.acl(metadata, &above)), ..FileFacts::default() }
            }
        }
    }
}

fn container_id(folder: &str) -> &str {
    if folder.is_empty() { TOP } else { folder }
}

/// Adds the folder as the ACL's parent. What is no object is handed on for the engine to withhold.
fn below(acl: Value, folder: &str) -> Value {
    match acl {
        Value::Object(mut fields) => {
            fields.entry("parent").or_insert_with(|| container_id(folder).into());
            Value::Object(fields)
        }
        other => other,
    }
}

fn read_manifests(options: &FolderOptions, listing: &Listing, failures: &mut Vec<Failure>) -> HashMap<String, FolderFacts> {
    let mut folders: HashMap<String, FolderFacts> = HashMap::new();
    for folder in &listing.folders {
        let slash = if folder.id.is_empty() { "" } else { "/" };
        let failed = |detail: String| failure(&format!("{}{slash}{MANIFEST}", folder.id), "manifest", detail);
        let above = parent(&folder.id).and_then(|id| folders.get(id));
        let mut facts = FolderFacts {
            governed: above.is_some_and(|above| above.governed),
            labels: above.map(|above| above.labels.clone()).unwrap_or_default(),
            ..FolderFacts::default()
        };
        let mut own = match Manifest::of(&folder.path) {
            Ok(manifest) => {
                let is_there = |name: &str| !name.contains('/') && listing.file(&format!("{}{slash}{name}", folder.id)).is_some();
                let problems = manifest.problems(is_there);
                if !problems.is_empty() {
                    failures.push(failed(problems.join(", ")));
                }
                facts.labels.extend(manifest.labels);
                facts.files = manifest.files;
                facts.governed |= manifest.acl.is_some();
                manifest.acl.unwrap_or_else(|| Value::Object(Map::new()))
            }
            Err(detail) => {
                failures.push(failed(format!("{detail}; everything below its folder is withheld")));
                facts.governed = true;
                json!({ "manifest": "unreadable" })
            }
        };
        match parent(&folder.id) {
            Some(parent) => own = below(own, parent),
            None if !options.allow.is_empty() => {
                facts.governed = true;
                own = allow_also(own, &options.allow);
            }
            None => {}
        }
        facts.container = own;
        folders.insert(folder.id.clone(), facts);
    }
    folders
}

fn allow_also(mut acl: Value, principals: &[String]) -> Value {
    if let Some(fields) = acl.as_object_mut() {
        let allow = fields.entry("allow").or_insert_with(|| json!([]));
        if let Some(allow) = allow.as_array_mut() {
            allow.extend(principals.iter().map(|principal| json!(principal)));
        }
    }
    acl
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    acl: Option<Value>,
}

fn read_list(path: &Path) -> Result<HashMap<String, Value>, IngestError> {
    let text = read(path)?;
    let mut acls = HashMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = from_json(line.as_bytes())
            .map_err(|error| IngestError::Settings { what: format!("{}:{number}", path.display()), detail: error.to_string() })?;
        if let Some(acl) = line.acl {
            acls.insert(line.id, acl);
        }
    }
    Ok(acls)
}

/// Reads a JSON object of groups and their members.
pub fn read_directory(path: &Path) -> Result<Vec<(Principal, Vec<Principal>)>, IngestError> {
    let settings = |detail: String| IngestError::Settings { what: path.display().to_string(), detail };
    let groups: BTreeMap<String, Vec<String>> = from_json(read(path)?.as_bytes()).map_err(|error| settings(error.to_string()))?;
    let parse = |name: &String| Principal::parse(name).map_err(settings);
    groups.iter().map(|(group, members)| Ok((parse(group)?, members.iter().map(parse).collect::<Result<_, _>>()?))).collect()
}

fn read(path: &Path) -> Result<String, IngestError> {
    std::fs::read_to_string(path).map_err(|source| IngestError::Folder { path: path.to_owned(), source })
}
