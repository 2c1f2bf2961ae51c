//! What the folder connector reads beside files: manifests, lists of ACLs, and the directory of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sightline_index::{AclState, Caller, Engine, MAX_LIMIT, Mode, Options, Principal, Query, Rule, Timestamp};
use sightline_ingest::{AclOrigin, FolderOptions, IngestError, Limits, Pipeline, Sandbox, read_directory, sync_folder};
use tempfile::TempDir;

use super::access::ACL_WORDS;
use super::{QUICK, Target, scratch, texts};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const MANIFEST_WORDS: &[&str] = &[
    "[acl]\n",
    "allow = ",
    "deny = ",
    "grants = ",
    "['everyone']",
    "['user:zed']",
    "[files.'a.md']\n",
    "[[files.'a.md'.sections]]\n",
    "heading = 'Pay'\n",
    "acl = {}\n",
    "inherit = false\n",
    "parent = 'sub'\n",
    "parent = '/'\n",
    "[labels]\n",
    "2027-06-30T00:00:00Z",
    "2027-06-30",
    "07:32:00",
    "nan",
    "\n",
    "'",
    "= ",
    "9999-12-31T23:59:59-23:59",
    "\\u0065veryone",
];

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "manifest",
            words: MANIFEST_WORDS,
            seeds: || {
                texts(&[
                    "[acl]\nallow = ['user:zed', 'group:eng']\ngrants = [{ principal = 'everyone', until = 2030-06-30T00:00:00Z }]\n",
                    "[acl]\nallow = ['everyone']\ndeny = ['user:bo']\n[labels]\nkind = 'x'\n[files.'a.md']\ntitle = 'A'\nuri = 'u'\n\
                     acl = { allow = ['user:zed'], inherit = false }\n[[files.'a.md'.sections]]\nheading = 'Pay'\nacl = {}\n",
                    "[files.'a.md']\nacl = { allow = ['public'] }\nlabels = { a = 'b' }\n",
                ])
            },
            start: || manifests(),
            fresh_after: 300,
            short: 60,
            ..QUICK
        },
        Target {
            name: "acl-list",
            words: ACL_WORDS,
            seeds: || {
                texts(&[
                    "{\"_id\":\"a.md\",\"acl\":{\"allow\":[\"user:zed\"]}}\n{\"_id\":\"sub/b.md\",\"acl\":{\"allow\":[\"everyone\"]}}\n",
                    "{\"_id\":\"a.md\",\"acl\":null}\n\n{\"_id\":\"a.md\",\"acl\":{\"deny\":[\"user:zed\"],\"allow\":[\"public\"]}}\n",
                ])
            },
            start: || lists(),
            fresh_after: 300,
            short: 60,
            ..QUICK
        },
        Target {
            name: "directory",
            words: ACL_WORDS,
            seeds: || {
                texts(&["{\"group:eng\":[\"user:ana\",\"group:ops\"],\"group:ops\":[]}", "{}", "{\"group:a\":[\"everyone\"]}"])
            },
            start: || {
                let dir = scratch();
                Box::new(move |input| {
                    let path = dir.path().join("directory.json");
                    std::fs::write(&path, input).unwrap();
                    let Ok(groups) = read_directory(&path) else { return false };
                    let said: BTreeMap<String, Vec<String>> = serde_json::from_slice(input).expect("what was read is JSON");
                    let read = groups
                        .iter()
                        .map(|(group, members)| (group.to_string(), members.iter().map(Principal::to_string).collect::<Vec<_>>()));
                    assert_eq!(read.collect::<BTreeMap<_, _>>(), said);
                    assert_eq!(groups.len(), said.len());
                    true
                })
            },
            ..QUICK
        },
    ]
}

/// A folder of two files, one below the other, and a caller.
struct World {
    pipeline: Pipeline,
    options: FolderOptions,
    zed: Caller,
    dir: TempDir,
    _data: TempDir,
}

impl World {
    fn new(acls: impl FnOnce(&std::path::Path) -> AclOrigin) -> World {
        let (dir, data) = (scratch(), scratch());
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("a.md"), "# Walrus\n\nIt sleeps.\n\n## Pay\n\nThe walrus earns fish.\n").unwrap();
        std::fs::write(root.join("sub/b.md"), "Another walrus.\n").unwrap();
        let engine = Arc::new(Engine::open(data.path(), &Options::default()).unwrap());
        let pipeline = Pipeline::new(engine, None, Limits::default(), Sandbox::in_process());
        let options = FolderOptions { root, source: "s".to_owned(), acls: acls(dir.path()), ..FolderOptions::default() };
        World { pipeline, options, zed: Caller::user(Principal::parse("user:zed").unwrap()).unwrap(), dir, _data: data }
    }

    fn sync(&self) -> Result<(), IngestError> {
        sync_folder(&self.pipeline, &self.options, || NOW, |_| {}).map(|_| ())
    }

    fn seen(&self) -> BTreeSet<String> {
        let query = Query { text: "walrus".to_owned(), mode: Mode::Keyword, limit: MAX_LIMIT, ..Query::default() };
        let hits = self.pipeline.engine().search(&self.zed, &query, NOW).unwrap().hits;
        hits.into_iter().map(|hit| hit.citation.document).collect()
    }
}

/// Whether an ACL by itself lets the caller in, and whether it keeps them out.
fn says(acl: &Value) -> (bool, bool) {
    let rule = Rule::read(Some(acl));
    let means = |principal: &Principal| ["user:zed", "everyone", "public"].contains(&principal.as_str());
    let granted = rule.grants.iter().any(|grant| means(&grant.principal) && NOW < grant.until);
    (rule.allow.iter().any(means) || granted, rule.state != AclState::Known || rule.deny.iter().any(means))
}

fn manifests() -> super::Check {
    let world = World::new(|_| AclOrigin::Manifests);
    Box::new(move |input| {
        std::fs::write(world.options.root.join(".sightline.toml"), input).unwrap();
        world.sync().unwrap_or_else(|error| panic!("a manifest keeps a folder from being read: {error}"));
        let seen = world.seen();
        let manifest = std::str::from_utf8(input).ok().and_then(|text| toml::from_str::<Value>(text).ok());
        let Some(manifest) = manifest else {
            assert!(seen.is_empty(), "{seen:?} is seen below a manifest that cannot be read");
            return false;
        };
        let acl = |acl: Option<&Value>| acl.map(json_of).map_or((false, false), |acl| says(&acl));
        let (top, top_shut) = acl(manifest.get("acl"));
        let own = manifest.get("files").and_then(|files| files.get("a.md")?.get("acl"));
        let (file, file_shut) = acl(own);
        let cut = own.and_then(|own| own.get("inherit")) == Some(&Value::Bool(false));
        assert!(!seen.contains("sub/b.md") || (top && !top_shut), "sub/b.md is seen");
        let admitted = !file_shut && (file || top) && (cut || !top_shut);
        assert!(!seen.contains("a.md") || admitted, "a.md is seen");
        !seen.is_empty()
    })
}

/// What `toml` makes of a date when it is read as JSON is an object of one private member.
fn json_of(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.len() == 1 && members.keys().all(|key| key.starts_with("$__toml")) => {
            members.values().next().cloned().unwrap_or_default()
        }
        Value::Object(members) => Value::Object(members.iter().map(|(key, value)| (key.clone(), json_of(value))).collect()),
        Value::Array(items) => Value::Array(items.iter().map(json_of).collect()),
        other => other.clone(),
    }
}

fn lists() -> super::Check {
    let world = World::new(|dir| AclOrigin::List(dir.join("acls.jsonl")));
    Box::new(move |input| {
        std::fs::write(world.dir.path().join("acls.jsonl"), input).unwrap();
        match world.sync() {
            Ok(()) => {}
            Err(IngestError::Settings { .. } | IngestError::Folder { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
        let text = std::str::from_utf8(input).expect("a list that is not UTF-8 is refused");
        let seen = world.seen();
        for id in &seen {
            let lines =
                text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str::<Value>(line).unwrap());
            let acl = lines.rev().find(|line| line["_id"] == id.as_str() && !line["acl"].is_null());
            let acl = acl.unwrap_or_else(|| panic!("{id} is seen and not in the list"));
            assert!(says(&acl["acl"]) == (true, false) && acl["acl"].get("parent").is_none(), "{id} is seen by {acl}");
        }
        !seen.is_empty()
    })
}
