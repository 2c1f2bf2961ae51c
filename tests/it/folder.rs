//! The folder connector: what a folder and its manifests say is what callers may read, now and after every change.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_index::{
    Caller, DocumentText, Engine, Error, Filter, Freshness, Mode, Options, Principal, Query, Results, Timestamp,
};
use sightline_ingest::{AclOrigin, FolderOptions, IngestError, Limits, Pipeline, Progress, Sandbox, SyncReport, sync_folder};
use tempfile::TempDir;

const SOURCE: &str = "files";

/// A folder and an engine that it is brought into, without a model.
struct Scene {
    folder: TempDir,
    _data: TempDir,
    pipeline: Pipeline,
    options: FolderOptions,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Scene {
        let (folder, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let engine = Arc::new(Engine::open(data.path(), &Options::default()).unwrap());
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_sightline").into(), vec!["extract-child".into()]);
        let pipeline = Pipeline::new(engine, None, Limits::default(), sandbox);
        let options = FolderOptions { root: folder.path().to_owned(), source: SOURCE.to_owned(), ..FolderOptions::default() };
        let scene = Scene { folder, _data: data, pipeline, options };
        for (path, text) in files {
            scene.write(path, text);
        }
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }

    fn try_sync(&self) -> Result<SyncReport, IngestError> {
        self.sync_watched(|_| {})
    }

    fn sync_watched(&self, watch: impl Fn(&Progress)) -> Result<SyncReport, IngestError> {
        sync_folder(&self.pipeline, &self.options, Timestamp::now, watch)
    }

    /// Syncs and expects that every file could be ingested.
    fn sync(&self) -> SyncReport {
        let report = self.try_sync().unwrap();
        assert_eq!(report.failures, []);
        report
    }

    fn engine(&self) -> &Engine {
        self.pipeline.engine()
    }

    fn search(&self, who: &str, text: &str, filter: Filter) -> Results {
        let query = Query { text: text.to_owned(), mode: Mode::Keyword, limit: 100, filter, ..Query::default() };
        self.engine().search(&caller(who), &query, Timestamp::now()).unwrap()
    }

    /// The documents in which a caller finds a word, sorted.
    fn found(&self, who: &str, text: &str) -> Vec<String> {
        let hits = self.search(who, text, Filter::default()).hits;
        let mut documents: Vec<String> = hits.into_iter().map(|hit| hit.citation.document).collect();
        documents.sort();
        documents.dedup();
        documents
    }

    fn document(&self, who: &str, id: &str) -> Option<DocumentText> {
        match self.engine().document(&caller(who), SOURCE, id, None, Timestamp::now()) {
            Ok(document) => Some(document),
            Err(Error::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The token of the caller's only hit for a word.
    fn token(&self, who: &str, text: &str) -> String {
        let hits = self.search(who, text, Filter::default()).hits;
        assert_eq!(hits.len(), 1, "{text}");
        hits[0].citation.token.clone()
    }

    fn opened(&self, who: &str, token: &str) -> (Option<String>, Freshness) {
        let opened = self.engine().citation(&caller(who), token, Timestamp::now()).unwrap();
        (opened.text, opened.citation.freshness)
    }

    fn ids(&self) -> Vec<String> {
        self.engine().heads(SOURCE, "", 10_000).unwrap().into_iter().map(|head| head.id).collect()
    }

    fn versions(&self) -> BTreeMap<String, u32> {
        self.engine().heads(SOURCE, "", 10_000).unwrap().into_iter().map(|head| (head.id, head.version)).collect()
    }
}

fn caller(who: &str) -> Caller {
    if who == "public" { Caller::public() } else { Caller::user(Principal::parse(&format!("user:{who}")).unwrap()).unwrap() }
}

fn codes(report: &SyncReport) -> Vec<(&str, &str)> {
    let mut codes: Vec<_> = report.failures.iter().map(|failure| (failure.item.as_str(), failure.code.as_str())).collect();
    codes.sort_unstable();
    codes
}

const DIRECTORY: &str =
    r#"{"group:staff": ["group:eng", "user:cy", "user:bo"], "group:eng": ["user:ana"], "group:hr": ["user:dora"]}"#;

/// A scene with groups: ana is in eng and so in staff, bo and cy are in staff, dora is in hr.
fn company(files: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new(files);
    let path = scene._data.path().join("directory.json");
    std::fs::write(&path, DIRECTORY).unwrap();
    scene.options.directory = Some(path);
    scene
}

#[test]
fn manifests_are_inherited_extended_cut_and_denied() {
    let scene = company(&[
        (".sightline.toml", "[acl]\nallow = ['group:staff']\n"),
        ("top.md", "walrus\n"),
        ("eng/deep/plan.md", "walrus\n"),
        ("guests/.sightline.toml", "[acl]\nallow = ['user:guest']\n"),
        ("guests/map.md", "walrus\n"),
        ("hr/.sightline.toml", "[acl]\ninherit = false\nallow = ['group:hr']\n"),
        ("hr/pay.md", "walrus\n"),
        ("hr/below/more.md", "walrus\n"),
        ("deals/.sightline.toml", "[acl]\ndeny = ['user:bo']\n"),
        ("deals/offer.md", "walrus\n"),
        ("deals/own/.sightline.toml", "[acl]\nallow = ['user:bo']\n"),
        ("deals/own/bo.md", "walrus\n"),
    ]);
    scene.sync();
    let staff = ["deals/offer.md", "deals/own/bo.md", "eng/deep/plan.md", "guests/map.md", "top.md"];
    assert_eq!(scene.found("ana", "walrus"), staff, "through a group in a group");
    assert_eq!(scene.found("cy", "walrus"), staff);
    assert_eq!(scene.found("bo", "walrus"), ["eng/deep/plan.md", "guests/map.md", "top.md"], "a deny wins over any allow below");
    assert_eq!(scene.found("dora", "walrus"), ["hr/below/more.md", "hr/pay.md"], "inheritance is cut for what is below too");
    assert_eq!(scene.found("guest", "walrus"), ["guests/map.md"]);
    assert!(scene.found("zoe", "walrus").is_empty() && scene.found("public", "walrus").is_empty());
    assert!(scene.document("bo", "deals/offer.md").is_none() && scene.document("cy", "deals/offer.md").is_some());
}

#[test]
fn a_file_has_rules_of_its_own() {
    let scene = company(&[
        (
            ".sightline.toml",
            "[acl]\nallow = ['group:staff']\n[files.'a.md']\nacl = { deny = ['group:eng'] }\n\
             [files.'b.md']\nacl = { inherit = false, allow = ['user:dora'] }\n\
             [files.'c.md'.acl]\ngrants = [{ principal = 'user:zoe', until = 2999-01-01T00:00:00Z }, \
             { principal = 'user:old', until = 2020-01-01T00:00:00Z }]\n\
             [files.'d.md']\ntitle = 'Of penguins'\nuri = 'https://files.example/d'\n",
        ),
        ("a.md", "walrus\n"),
        ("b.md", "walrus\n"),
        ("c.md", "walrus\n"),
        ("d.md", "walrus\n"),
        ("sub/a.md", "walrus\n"),
    ]);
    scene.sync();
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "c.md", "d.md", "sub/a.md"]);
    assert_eq!(scene.found("ana", "walrus"), ["c.md", "d.md", "sub/a.md"], "a rule names a file of its folder, not below");
    assert_eq!(scene.found("dora", "walrus"), ["b.md"]);
    assert_eq!(scene.found("zoe", "walrus"), ["c.md"]);
    assert!(scene.found("old", "walrus").is_empty(), "the grant has ended");
    let document = scene.document("cy", "d.md").unwrap();
    assert_eq!((document.title.as_deref(), document.uri.as_deref()), (Some("Of penguins"), Some("https://files.example/d")));
}

const MINUTES: &str = "# Minutes\n\nThe lobby is painted green.\n\n## Pay\n\nThe secret raise is 7 percent.\n\n## Other\n\nCake.\n";

#[test]
fn a_section_is_shown_to_its_readers_alone() {
    let manifest = "[acl]\nallow = ['everyone']\n[[files.'m.md'.sections]]\nheading = 'Pay'\nacl = { allow = ['user:dora'] }\n";
    let scene = Scene::new(&[(".sightline.toml", manifest), ("m.md", MINUTES)]);
    scene.sync();
    let whole = scene.document("dora", "m.md").unwrap();
    assert_eq!(whole.text, MINUTES);
    assert_eq!(whole.sections.len(), 1);
    let span = whole.sections[0].span;
    assert!(MINUTES[span.start..span.end].starts_with("## Pay") && MINUTES[span.start..span.end].contains("7 percent"));
    let part = scene.document("cy", "m.md").unwrap();
    assert_eq!(part.text, MINUTES.replace(&MINUTES[span.start..span.end], ""));
    assert!(part.sections.is_empty() && part.text.contains("Cake."));
    assert_ne!(part.document_hash, whole.document_hash);
    assert!(scene.found("cy", "secret raise percent").is_empty());
    assert_eq!(scene.found("dora", "secret raise percent"), ["m.md"]);
    let hit = scene.search("dora", "raise", Filter::default()).hits.remove(0);
    assert_eq!(hit.citation.location.section.as_deref(), Some("Pay"));
    let gone = scene.engine().citation(&caller("cy"), &hit.citation.token, Timestamp::now());
    assert!(matches!(gone, Err(Error::NotFound)));
    for who in ["cy", "dora"] {
        let text = scene.document(who, "m.md").unwrap().text;
        for hit in scene.search(who, "lobby raise cake", Filter::default()).hits {
            assert_eq!(text[hit.citation.span.start..hit.citation.span.end], hit.text, "{who}");
        }
    }
}

#[test]
fn a_section_must_be_found_exactly_once() {
    let manifest = "[acl]\nallow = ['everyone']\n[[files.'twice.md'.sections]]\nheading = 'Pay'\nacl = { allow = ['user:dora'] }\n\
                    [[files.'none.md'.sections]]\nheading = 'Pays'\nacl = { allow = ['user:dora'] }\n";
    let scene = Scene::new(&[
        (".sightline.toml", manifest),
        ("twice.md", "# A\n\n## Pay\n\nwalrus one\n\n# B\n\n## Pay\n\nwalrus two\n"),
        ("none.md", "# A\n\n## Pay\n\nwalrus\n"),
        ("good.md", "walrus\n"),
    ]);
    let report = scene.try_sync().unwrap();
    assert_eq!(codes(&report), [("none.md", "no_heading"), ("twice.md", "no_heading")]);
    assert!(report.failures[0].detail.contains("Pay"), "{}", report.failures[0].detail);
    assert_eq!(scene.ids(), ["good.md"]);
}

#[test]
fn a_stored_document_is_withheld_when_its_section_cannot_be_placed() {
    let scene = Scene::new(&[(".sightline.toml", "[acl]\nallow = ['everyone']\n"), ("m.md", MINUTES)]);
    scene.sync();
    assert_eq!(scene.found("cy", "raise"), ["m.md"]);
    // The owner narrows a part and mistypes its heading: showing all of it would show what is to be hidden.
    let manifest = "[acl]\nallow = ['everyone']\n[[files.'m.md'.sections]]\nheading = 'Pai'\nacl = { allow = ['user:dora'] }\n";
    scene.write(".sightline.toml", manifest);
    let report = scene.try_sync().unwrap();
    assert_eq!(codes(&report), [("m.md", "no_heading")]);
    assert!(scene.found("cy", "raise").is_empty() && scene.document("cy", "m.md").is_none());
    scene.write(".sightline.toml", &manifest.replace("Pai", "Pay"));
    scene.sync();
    assert!(scene.found("cy", "raise").is_empty());
    assert_eq!(scene.found("cy", "cake"), ["m.md"]);
    assert_eq!(scene.found("dora", "raise"), ["m.md"]);
}

#[test]
fn what_the_engine_refuses_fails_alone() {
    let long = "x".repeat(2000);
    let manifest = format!(
        "[acl]\nallow = ['everyone']\n[files.'label.md'.labels]\nkey = '{long}'\n\
         [[files.'nested.md'.sections]]\nheading = 'A'\nacl = {{ allow = ['user:dora'] }}\n\
         [[files.'nested.md'.sections]]\nheading = 'B'\nacl = {{ allow = ['user:dora'] }}\n"
    );
    let scene = Scene::new(&[
        (".sightline.toml", &manifest),
        ("good.md", "walrus\n"),
        ("label.md", "walrus\n"),
        ("nested.md", "# A\n\nwalrus\n\n## B\n\nwalrus\n"),
        ("odd\nname.md", "walrus\n"),
        ("odd\nfolder/file.md", "walrus\n"),
        ("zoo.md", "walrus\n"),
    ]);
    let report = scene.try_sync().unwrap();
    assert_eq!(
        codes(&report),
        [("label.md", "not_stored"), ("nested.md", "not_stored"), ("odd\nfolder", "name"), ("odd\nname.md", "name")]
    );
    assert_eq!(scene.found("public", "walrus"), [] as [&str; 0]);
    assert_eq!(scene.found("cy", "walrus"), ["good.md", "zoo.md"]);
    assert_eq!(report.created, 2);
}

#[test]
fn labels_are_inherited_and_filter() {
    let scene = Scene::new(&[
        (".sightline.toml", "[acl]\nallow = ['everyone']\n[labels]\ndept = 'all'\nkind = 'doc'\n"),
        ("top.md", "walrus\n"),
        ("hr/.sightline.toml", "[labels]\ndept = 'hr'\n[files.'b.md'.labels]\ndept = 'pay'\n"),
        ("hr/a.md", "walrus\n"),
        ("hr/b.md", "walrus\n"),
    ]);
    scene.sync();
    let labels = |id: &str| scene.document("cy", id).unwrap().labels;
    let expected = |dept: &str| BTreeMap::from([("dept".to_owned(), dept.to_owned()), ("kind".to_owned(), "doc".to_owned())]);
    assert_eq!(labels("top.md"), expected("all"));
    assert_eq!(labels("hr/a.md"), expected("hr"));
    assert_eq!(labels("hr/b.md"), expected("pay"));
    let filter = Filter { labels: BTreeMap::from([("dept".to_owned(), "hr".to_owned())]), ..Filter::default() };
    let hits = scene.search("cy", "walrus", filter).hits;
    assert_eq!(hits.iter().map(|hit| hit.citation.document.as_str()).collect::<Vec<_>>(), ["hr/a.md"]);
    // A changed label is no new version, and what it had before no longer finds it.
    scene.write("hr/.sightline.toml", "[labels]\ndept = 'people'\n");
    scene.sync();
    assert_eq!(labels("hr/b.md"), expected("people"));
    assert_eq!(scene.versions().into_values().collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_folder_without_a_rule_is_stored_and_withheld() {
    let mut scene =
        Scene::new(&[("a.md", "walrus\n"), ("ruled/.sightline.toml", "[acl]\nallow = ['everyone']\n"), ("ruled/b.md", "walrus\n")]);
    scene.sync();
    assert_eq!(scene.ids(), ["a.md", "ruled/b.md"]);
    assert_eq!(scene.found("ana", "walrus"), ["ruled/b.md"]);
    assert_eq!(scene.engine().stats().unwrap().withheld, BTreeMap::from([("unknown".to_owned(), 1)]));
    scene.options.allow = vec!["user:ana".to_owned()];
    scene.sync();
    assert_eq!(scene.found("ana", "walrus"), ["a.md", "ruled/b.md"]);
    assert!(scene.document("cy", "a.md").is_none());
}

#[test]
fn a_broken_manifest_withholds_everything_below_and_is_reported() {
    for (broken, told) in [
        ("[acl\nallow = ['everyone']\n", ""),
        ("[alc]\nallow = ['everyone']\n", "alc"),
        ("[acl]\nallow = ['everyone']\n[files.'b.md']\nacls = {}\n", "acls"),
        ("[acl]\nalow = ['everyone']\n", "alow"),
        ("[acl]\nallow = ['Everyone']\n", "Everyone"),
        ("acl = 7\n", ""),
    ] {
        let scene = Scene::new(&[
            (".sightline.toml", "[acl]\nallow = ['everyone']\n"),
            ("a.md", "walrus\n"),
            ("x/.sightline.toml", "[acl]\nallow = ['user:ana']\n"),
            ("x/b.md", "walrus\n"),
            ("x/deep/.sightline.toml", "[acl]\nallow = ['everyone']\n"),
            ("x/deep/c.md", "walrus\n"),
        ]);
        scene.sync();
        assert_eq!(scene.found("ana", "walrus"), ["a.md", "x/b.md", "x/deep/c.md"]);
        scene.write("x/.sightline.toml", broken);
        let report = scene.try_sync().unwrap();
        assert_eq!(codes(&report), [("x/.sightline.toml", "manifest")], "{broken}");
        let detail = &report.failures[0].detail;
        assert!(detail.contains(told) && detail.contains("withheld"), "{broken}: {detail}");
        assert_eq!(scene.found("ana", "walrus"), ["a.md"], "{broken}");
        assert_eq!(report.deleted, 0);
    }
}

#[test]
fn a_broken_rule_of_a_file_is_reported_and_withholds_it() {
    let scene = Scene::new(&[
        (
            ".sightline.toml",
            "[acl]\nallow = ['everyone']\n[files.'a.md']\nacl = { denny = ['user:bo'] }\n\
             [[files.'m.md'.sections]]\nheading = 'Pay'\nacl = { alow = ['user:dora'] }\n\
             [files.'gone.md']\nacl = { deny = ['user:bo'] }\n",
        ),
        ("a.md", "walrus\n"),
        ("b.md", "walrus\n"),
        ("m.md", MINUTES),
    ]);
    let report = scene.try_sync().unwrap();
    assert_eq!(codes(&report), [(".sightline.toml", "manifest")]);
    let detail = &report.failures[0].detail;
    for told in ["a.md", "denny", "alow", "gone.md"] {
        assert!(detail.contains(told), "{told}: {detail}");
    }
    assert_eq!(scene.found("cy", "walrus"), ["b.md"]);
    assert!(scene.found("dora", "raise").is_empty());
    assert_eq!(scene.found("cy", "cake"), ["m.md"]);
}

#[test]
fn a_list_of_acls_withholds_what_it_does_not_name() {
    let mut scene = Scene::new(&[("a.md", "walrus\n"), ("sub/b.md", "walrus\n"), ("c.md", "walrus\n"), ("d.md", "walrus\n")]);
    // Manifests do not count here.
    scene.write(".sightline.toml", "[acl]\nallow = ['everyone']\n");
    let list = scene._data.path().join("acl.jsonl");
    let lines = "{\"_id\": \"a.md\", \"acl\": {\"allow\": [\"user:ana\"]}}\n\n{\"_id\": \"sub/b.md\", \"acl\": {\"allow\": [\"everyone\"]}}\n\
                 {\"_id\": \"d.md\", \"acl\": null}\n";
    std::fs::write(&list, lines).unwrap();
    scene.options.acls = AclOrigin::List(list.clone());
    scene.sync();
    assert_eq!(scene.found("ana", "walrus"), ["a.md", "sub/b.md"]);
    assert_eq!(scene.found("cy", "walrus"), ["sub/b.md"]);
    assert_eq!(scene.engine().stats().unwrap().withheld, BTreeMap::from([("unknown".to_owned(), 2)]));
    std::fs::write(&list, lines.replace("user:ana", "user:cy")).unwrap();
    assert_eq!(scene.sync().unchanged, 4);
    assert_eq!(scene.found("ana", "walrus"), ["sub/b.md"]);
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "sub/b.md"]);
    std::fs::write(&list, "{\"_id\": \"a.md\", \"acl\": {}}\nnot json\n").unwrap();
    let error = scene.try_sync().unwrap_err();
    assert!(error.to_string().contains("acl.jsonl:2"), "{error}");
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "sub/b.md"], "a list that cannot be read changes nothing");
}

#[test]
fn posix_modes_decide() {
    let mut scene =
        Scene::new(&[("open.md", "walrus\n"), ("mine.md", "walrus\n"), ("shut/in.md", "walrus\n"), ("none.md", "walrus\n")]);
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(scene.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("", 0o755);
    mode("open.md", 0o644);
    mode("mine.md", 0o600);
    mode("shut", 0o700);
    mode("shut/in.md", 0o644);
    mode("none.md", 0o204);
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(scene.path("open.md")).unwrap());
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let me = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    let me = me.map_or_else(|| format!("uid-{uid}"), |line| line.split(':').next().unwrap().to_owned());
    scene.options.acls = AclOrigin::Posix;
    let report = scene.try_sync().unwrap();
    assert!(codes(&report).iter().all(|(item, _)| *item == "none.md"), "{report:?}");
    assert_eq!(
        scene.found("stranger", "walrus"),
        if report.failures.is_empty() { vec!["none.md", "open.md"] } else { vec!["open.md"] }
    );
    assert_eq!(scene.found(&me, "walrus"), ["mine.md", "open.md", "shut/in.md"], "the owner of none.md may not read it");
    assert!(scene.found("public", "walrus").is_empty());
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(scene.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("open.md", 0o600);
    assert_eq!(scene.try_sync().unwrap().updated, 0);
    assert!(!scene.found("stranger", "walrus").contains(&"open.md".to_owned()));
    assert!(scene.found(&me, "walrus").contains(&"open.md".to_owned()));
}

#[test]
fn the_directory_follows_its_file() {
    let scene = company(&[(".sightline.toml", "[acl]\nallow = ['group:staff']\n"), ("a.md", "walrus\n")]);
    scene.sync();
    assert_eq!(scene.found("ana", "walrus"), ["a.md"]);
    let path = scene.options.directory.clone().unwrap();
    std::fs::write(&path, DIRECTORY.replace("user:ana", "user:zoe")).unwrap();
    assert_eq!(scene.sync().unchanged, 1);
    assert!(scene.found("ana", "walrus").is_empty());
    assert_eq!(scene.found("zoe", "walrus"), ["a.md"]);
    for wrong in ["{\"group:staff\": [\"ana\"]}", "[]", "{"] {
        std::fs::write(&path, wrong).unwrap();
        let error = scene.try_sync().unwrap_err();
        assert!(error.to_string().contains("directory.json"), "{error}");
        assert_eq!(scene.found("zoe", "walrus"), ["a.md"]);
    }
}

const OPEN: (&str, &str) = (".sightline.toml", "[acl]\nallow = ['everyone']\n");

#[test]
fn a_second_run_changes_nothing() {
    let scene = Scene::new(&[OPEN, ("a.md", "walrus\n"), ("b/c.txt", "walrus\n"), ("b/d.html", "<p>walrus</p>")]);
    let first = scene.sync();
    assert_eq!((first.files, first.created, first.unchanged), (3, 3, 0));
    let before = (scene.versions(), scene.engine().epoch());
    let second = scene.sync();
    assert_eq!((second.files, second.created, second.updated, second.unchanged, second.deleted), (3, 0, 0, 3, 0));
    assert_eq!((second.chunks, second.bytes), (0, 0), "nothing is read again");
    assert_eq!((scene.versions(), scene.engine().epoch()), before);
}

#[test]
fn pictures_and_archives_are_left_out() {
    let scene = Scene::new(&[OPEN, ("a.md", "walrus\n"), ("b.png", "walrus"), ("c.zip", "walrus"), ("README", "walrus\n")]);
    let report = scene.sync();
    assert_eq!((report.files, report.skipped, report.created), (2, 2, 2));
}

#[test]
fn an_edited_file_has_a_new_version_and_its_citation_is_superseded() {
    let scene = Scene::new(&[OPEN, ("a.md", "the walrus sleeps\n"), ("b.md", "other\n")]);
    scene.sync();
    let token = scene.token("cy", "walrus");
    assert_eq!(scene.opened("cy", &token), (Some("the walrus sleeps".to_owned()), Freshness::Current));
    scene.write("a.md", "the penguin is awake\n");
    let report = scene.sync();
    assert_eq!((report.updated, report.unchanged), (1, 1));
    assert_eq!(scene.versions(), BTreeMap::from([("a.md".to_owned(), 2), ("b.md".to_owned(), 1)]));
    assert!(scene.found("cy", "walrus").is_empty());
    assert_eq!(scene.found("cy", "penguin"), ["a.md"]);
    assert_eq!(scene.opened("cy", &token), (Some("the walrus sleeps".to_owned()), Freshness::Superseded));
    // Who may no longer read the document may not open what it said before either.
    scene.write(".sightline.toml", "[acl]\nallow = ['user:ana']\n");
    scene.sync();
    assert!(matches!(scene.engine().citation(&caller("cy"), &token, Timestamp::now()), Err(Error::NotFound)));
    assert_eq!(scene.opened("ana", &token).1, Freshness::Superseded);
}

#[test]
fn a_deleted_file_is_gone_and_its_citation_says_so_without_text() {
    let scene = Scene::new(&[OPEN, ("a.md", "the walrus sleeps\n"), ("b.md", "other\n")]);
    scene.sync();
    let token = scene.token("cy", "walrus");
    scene.remove("a.md");
    assert_eq!(scene.sync().deleted, 1);
    assert!(scene.found("cy", "walrus").is_empty() && scene.document("cy", "a.md").is_none());
    assert_eq!(scene.opened("cy", &token), (None, Freshness::Deleted));
    scene.write("a.md", "the walrus returns\n");
    assert_eq!(scene.sync().created, 1);
    assert_eq!(scene.opened("cy", &token).1, Freshness::Superseded);
}

#[test]
fn a_changed_manifest_holds_at_once_and_makes_no_version() {
    let scene = Scene::new(&[OPEN, ("a.md", "walrus\n"), ("x/b.md", "walrus\n")]);
    scene.sync();
    scene.write(".sightline.toml", "[acl]\nallow = ['user:ana']\n[files.'a.md']\nacl = { deny = ['user:ana'] }\n");
    let report = scene.sync();
    assert_eq!((report.updated, report.unchanged, report.bytes), (0, 2, 0));
    assert!(scene.versions().into_values().all(|version| version == 1));
    assert_eq!(scene.found("ana", "walrus"), ["x/b.md"]);
    assert!(scene.found("cy", "walrus").is_empty());
}

#[test]
fn rules_change_together_and_before_any_content() {
    let scene = Scene::new(&[
        (".sightline.toml", "[acl]\nallow = ['user:ana']\n"),
        ("a.md", "walrus\n"),
        ("m.md", MINUTES),
        ("old/b.md", "walrus\n"),
    ]);
    scene.sync();
    // The folder is opened, and what must stay hidden is narrowed in the same edit.
    let manifest = "[acl]\nallow = ['everyone']\n[files.'a.md']\nacl = { inherit = false, allow = ['user:ana'] }\n\
                    [[files.'m.md'.sections]]\nheading = 'Pay'\nacl = { allow = ['user:ana'] }\n";
    scene.write(".sightline.toml", manifest);
    std::fs::create_dir_all(scene.path("new")).unwrap();
    scene.write("new/.sightline.toml", "[acl]\ninherit = false\nallow = ['user:dora']\n");
    std::fs::rename(scene.path("old/b.md"), scene.path("new/b.md")).unwrap();
    scene.write("z.md", "walrus\n");
    let seen = std::cell::Cell::new(0);
    scene
        .sync_watched(|_| {
            seen.set(seen.get() + 1);
            assert!(scene.found("cy", "raise").is_empty(), "a section is not shown before it is narrowed");
            assert!(!scene.found("cy", "walrus").contains(&"a.md".to_owned()), "a file is not shown before it is narrowed");
            assert!(!scene.found("cy", "walrus").contains(&"old/b.md".to_owned()), "a moved file is not shown where it was");
        })
        .unwrap();
    assert!(seen.get() > 1);
    assert_eq!(scene.found("cy", "walrus"), ["z.md"]);
    assert_eq!(scene.found("cy", "cake"), ["m.md"]);
    assert_eq!(scene.found("ana", "raise"), ["m.md"]);
    assert_eq!(scene.found("dora", "walrus"), ["new/b.md", "z.md"]);
}

#[test]
fn a_moved_folder_is_found_where_it_is_now() {
    let scene = Scene::new(&[
        (".sightline.toml", "[acl]\nallow = ['group:staff', 'user:ana']\n"),
        ("one/.sightline.toml", "[acl]\nallow = ['user:cy']\n"),
        ("one/a.md", "walrus\n"),
        ("one/deep/b.md", "walrus\n"),
        ("two/.sightline.toml", "[acl]\ninherit = false\nallow = ['user:dora']\n"),
        ("two/c.md", "walrus\n"),
    ]);
    scene.sync();
    assert_eq!(scene.found("cy", "walrus"), ["one/a.md", "one/deep/b.md"]);
    std::fs::rename(scene.path("one"), scene.path("two/one")).unwrap();
    scene.remove("two/one/.sightline.toml");
    let report = scene.sync();
    assert_eq!((report.created, report.deleted, report.unchanged), (2, 2, 1));
    assert_eq!(scene.ids(), ["two/c.md", "two/one/a.md", "two/one/deep/b.md"]);
    assert!(scene.found("cy", "walrus").is_empty() && scene.found("ana", "walrus").is_empty());
    assert_eq!(scene.found("dora", "walrus"), ["two/c.md", "two/one/a.md", "two/one/deep/b.md"]);
    assert!(!scene.engine().containers(SOURCE).unwrap().iter().any(|id| id.starts_with("one")));
}

/// Thirty documents, twenty of them in a folder with a narrower rule.
fn crowd() -> Scene {
    let scene = Scene::new(&[OPEN, ("shut/.sightline.toml", "[acl]\ninherit = false\nallow = ['user:ana']\n")]);
    for number in 0..10 {
        scene.write(&format!("open/{number}.md"), "walrus\n");
    }
    for number in 0..20 {
        scene.write(&format!("shut/{number}.md"), "penguin\n");
    }
    scene.sync();
    scene
}

#[test]
fn a_mass_deletion_must_be_allowed() {
    let mut scene = crowd();
    // As when the file system that was mounted there is gone: an empty folder is left.
    std::fs::remove_dir_all(scene.path("shut")).unwrap();
    std::fs::create_dir(scene.path("shut")).unwrap();
    let error = scene.try_sync().unwrap_err();
    assert!(matches!(error, IngestError::MassDelete { missing: 20, known: 30, .. }), "{error}");
    assert!(error.to_string().contains("--allow-mass-delete"), "{error}");
    assert_eq!((error.code(), scene.ids().len()), ("mass_delete", 30));
    assert_eq!(scene.found("ana", "penguin").len(), 20);
    assert!(scene.found("cy", "penguin").is_empty(), "a rule that is gone with its files must not open them");
    scene.options.allow_mass_delete = true;
    assert_eq!(scene.sync().deleted, 20);
    assert_eq!(scene.ids().len(), 10);
    assert!(scene.found("ana", "penguin").is_empty());
    assert_eq!(scene.found("cy", "walrus").len(), 10);
}

#[test]
fn an_emptied_or_unreadable_folder_deletes_nothing() {
    let mut scene = Scene::new(&[OPEN, ("a.md", "walrus\n"), ("b/c.md", "walrus\n")]);
    scene.sync();
    let aside = scene._data.path().join("aside");
    let top = scene.folder.path().to_owned();
    std::fs::rename(&top, &aside).unwrap();
    let error = scene.try_sync().unwrap_err();
    assert!(error.to_string().contains(&top.display().to_string()), "{error}");
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "b/c.md"]);
    std::fs::create_dir(&top).unwrap();
    assert!(matches!(scene.try_sync().unwrap_err(), IngestError::MassDelete { missing: 2, known: 2, .. }));
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "b/c.md"]);
    scene.options.allow_mass_delete = true;
    assert_eq!(scene.sync().deleted, 2);
    assert!(scene.ids().is_empty());
}

/// A folder that holds more folders than are followed stands for one that cannot be listed, which root always can.
#[test]
fn what_cannot_be_listed_is_kept_and_withheld() {
    let mut scene = Scene::new(&[("a.md", "walrus\n"), ("b/c.md", "walrus\n")]);
    let list = scene._data.path().join("acl.jsonl");
    let line = |id: &str| format!("{{\"_id\": \"{id}\", \"acl\": {{\"allow\": [\"everyone\"]}}}}\n");
    std::fs::write(&list, line("a.md") + &line("b/c.md")).unwrap();
    scene.options.acls = AclOrigin::List(list);
    scene.sync();
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "b/c.md"]);
    // A link is no document: what stood there is gone, and not merely out of sight.
    let aside = scene._data.path().join("aside");
    std::fs::rename(scene.path("b"), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, scene.path("b")).unwrap();
    let report = scene.try_sync().unwrap();
    assert_eq!((codes(&report), report.deleted), (vec![("b", "symlink")], 1));
    assert_eq!(scene.found("cy", "walrus"), ["a.md"]);
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(scene.path("a.md")).unwrap()) == 0 {
        eprintln!("skipped: root can list every folder");
        return;
    }
    std::fs::remove_file(scene.path("b")).unwrap();
    std::fs::rename(&aside, scene.path("b")).unwrap();
    scene.sync();
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "b/c.md"]);
    let mode = |mode: u32| std::fs::set_permissions(scene.path("b"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let report = scene.try_sync().unwrap();
    mode(0o755);
    assert_eq!((codes(&report), report.deleted), (vec![("b", "unreadable")], 0));
    assert_eq!(scene.ids(), ["a.md", "b/c.md"]);
    assert_eq!(scene.found("cy", "walrus"), ["a.md"], "a rule that cannot be checked withholds");
    scene.sync();
    assert_eq!(scene.found("cy", "walrus"), ["a.md", "b/c.md"]);
}

#[test]
fn the_top_is_named_in_errors() {
    let mut scene = Scene::new(&[]);
    scene.options.root = Path::new("/nonexistent/walrus").to_owned();
    assert!(scene.try_sync().unwrap_err().to_string().contains("/nonexistent/walrus"));
}

#[test]
fn a_link_that_takes_the_place_of_a_listed_file_is_not_read() {
    let scene = Scene::new(&[OPEN]);
    for number in 100..200 {
        scene.write(&format!("{number}.md"), "walrus\n");
    }
    let secret = scene._data.path().join("secret.md");
    std::fs::write(&secret, "penguin\n").unwrap();
    let swapped = std::cell::Cell::new(false);
    // Of a hundred files the last is not yet read when the first is told of.
    let watch = |_: &Progress| {
        if !swapped.replace(true) {
            scene.remove("199.md");
            std::os::unix::fs::symlink(&secret, scene.path("199.md")).unwrap();
        }
    };
    let report = scene.sync_watched(watch).unwrap();
    assert_eq!(codes(&report), [("199.md", "unreadable")]);
    assert!(scene.found("cy", "penguin").is_empty());
    assert_eq!(report.created, 99);
}
