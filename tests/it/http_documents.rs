//! Documents, ACLs, containers and groups, written and read back.

use serde_json::{Value, json};
use sightline_index::{Guard, Scope};

use crate::http::{Answer, Scene, Server};

impl Scene {
    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.server.call(method, path).key(&self.key).json(body).send()
    }

    fn read(&self, path: &str, user: &str) -> Answer {
        self.server.call("GET", &format!("/v1/documents/{path}")).key(&self.key).header("sightline-user", user).send()
    }

    fn found(&self, user: &str) -> Vec<String> {
        self.server.found(&self.key, Some(user), "mooring")
    }
}

#[test]
fn a_document_goes_in_changes_and_goes() {
    let scene = Scene::new();
    let document = json!({
        "title": "Harbour", "text": "# Harbour\n\nThe mooring plan.", "mime": "text/markdown", "uri": "https://wiki.example/h",
        "acl": { "allow": ["user:ana"] }, "version": "etag-1", "modified_at": "2026-01-02T03:04:05Z", "labels": { "dept": "ops" }
    });
    let first = scene.server.put(&scene.key, "wiki/harbour", document.clone());
    assert_eq!((&first["outcome"], &first["version"], &first["acl_state"]), (&json!("created"), &json!(1), &json!("known")));
    assert!(first["seq"].as_u64().unwrap() > 0 && first["epoch"].as_u64().unwrap() > 0);
    assert!(first.get("acl_problem").is_none());
    let again = scene.server.put(&scene.key, "wiki/harbour", document.clone());
    assert_eq!((&again["outcome"], &again["version"], &again["epoch"]), (&json!("unchanged"), &json!(1), &first["epoch"]));

    let read = scene.read("wiki/harbour", "user:ana").value();
    assert_eq!(read["text"], document["text"]);
    for member in ["title", "uri", "mime", "labels", "modified_at"] {
        assert_eq!(read[member], document[member], "{member}");
    }
    assert_eq!((&read["source"], &read["id"], &read["source_version"]), (&json!("wiki"), &json!("harbour"), &json!("etag-1")));

    let mut changed = document;
    changed["text"] = json!("The anchor plan.");
    assert_eq!(scene.server.put(&scene.key, "wiki/harbour", changed)["version"], 2);
    assert_eq!(scene.found("user:ana"), [""; 0]);
    assert_eq!(scene.read("wiki/harbour?version=1", "user:ana").value()["freshness"], "superseded");
    scene.read("wiki/harbour?version=3", "user:ana").is_problem(404, "not_found");

    let gone = scene.send("DELETE", "/v1/documents/wiki/harbour", &json!(null));
    assert_eq!((gone.status, &gone.value()["outcome"]), (200, &json!("deleted")));
    scene.read("wiki/harbour", "user:ana").is_problem(404, "not_found");
    scene.send("DELETE", "/v1/documents/wiki/harbour", &json!(null)).is_problem(404, "not_found");
    scene.send("PUT", "/v1/documents/wiki/harbour/acl", &json!({})).is_problem(404, "not_found");
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let server = Server::start();
    let key = server.master();
    server.put(&key, "wiki/a", json!({ "text": "mooring plan", "acl": { "allow": ["public"] } }));
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.found(&key, None, "mooring"), ["a"]);
}

#[test]
fn ids_hold_slashes_and_any_script() {
    let scene = Scene::new();
    for (number, (written, read, id)) in [
        ("wiki/a%2Fb.md", "wiki/a/b.md", "a/b.md"),
        ("wiki/c/d.md", "wiki/c%2Fd.md", "c/d.md"),
        ("wiki/%E6%97%A5%E6%9C%AC%E8%AA%9E.md", "wiki/%e6%97%a5%e6%9c%ac%e8%aa%9e.md", "日本語.md"),
        ("wiki/100%25%20sure%3F%23", "wiki/100%25%20sure%3F%23", "100% sure?#"),
        ("wiki/acl", "wiki/%61cl", "acl"),
        ("wiki/x%2Facl", "wiki/x%2Facl", "x/acl"),
        ("wiki/a+b", "wiki/a%2Bb", "a+b"),
        ("wi%20ki/batch", "wi%20ki/batch", "batch"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("mooring number {number}");
        scene.server.put(&scene.key, written, json!({ "text": text, "acl": { "allow": ["user:ana"] } }));
        let document = scene.read(read, "user:ana").value();
        assert_eq!((&document["id"], &document["text"]), (&json!(id), &json!(text)), "{written}");
        let acl = scene.send("PUT", &format!("/v1/documents/{read}/acl"), &json!({ "allow": ["user:bo"] }));
        assert_eq!((acl.status, &acl.value()["outcome"]), (200, &json!("updated")), "{read}");
        scene.read(read, "user:ana").is_problem(404, "not_found");
        assert_eq!(scene.read(read, "user:bo").status, 200);
        assert_eq!(scene.send("DELETE", &format!("/v1/documents/{read}"), &json!(null)).status, 200);
    }
    for wrong in ["/v1/documents/wiki/%FF", "/v1/documents/wiki/%zz"] {
        scene.send("PUT", wrong, &json!({ "text": "a" })).is_problem(400, "bad_path");
    }
    for wrong in ["/v1/documents/wiki/%00", "/v1/documents/wi%2Fki/a"] {
        scene.send("PUT", wrong, &json!({ "text": "a" })).is_problem(400, "invalid_field");
    }
    scene
        .send("PUT", &format!("/v1/documents/wiki/{}", "x".repeat(1025)), &json!({ "text": "a" }))
        .is_problem(400, "invalid_field");
}

#[test]
fn a_wrong_acl_withholds_and_is_no_error() {
    let scene = Scene::new();
    let many: Vec<String> = (0..10_001).map(|number| format!("user:{number}")).collect();
    for (acl, state) in [
        (json!(null), "unknown"),
        (json!("everyone"), "invalid"),
        (json!(["public"]), "invalid"),
        (json!(true), "invalid"),
        (json!(7), "invalid"),
        (json!({ "allow": ["public"], "alow": [] }), "invalid"),
        (json!({ "allow": "public" }), "invalid"),
        (json!({ "allow": ["Public"] }), "invalid"),
        (json!({ "allow": many }), "overflow"),
    ] {
        let receipt = scene.server.put(&scene.key, "wiki/a", json!({ "text": "mooring", "acl": acl }));
        assert_eq!(receipt["acl_state"], state, "{receipt}");
        assert!(receipt["acl_problem"].as_str().is_some_and(|problem| !problem.is_empty()));
        scene.read("wiki/a", "user:ana").is_problem(404, "not_found");
        assert_eq!(scene.found("user:ana"), [""; 0]);
        for body in [acl.clone(), json!({ "acl": acl })] {
            let receipt = scene.send("PUT", "/v1/documents/wiki/a/acl", &body);
            assert_eq!((receipt.status, &receipt.value()["acl_state"]), (200, &json!(state)), "{}", receipt.body);
        }
    }
    let receipt = scene.server.put(&scene.key, "wiki/b", json!({ "text": "mooring" }));
    assert_eq!(receipt["acl_state"], "unknown");
    assert_eq!(scene.send("GET", "/v1/stats", &json!(null)).value()["withheld"], json!({ "overflow": 1, "unknown": 1 }));
}

#[test]
fn a_missing_parent_withholds_until_the_container_comes() {
    let scene = Scene::new();
    scene.server.put(&scene.key, "wiki/a", json!({ "text": "mooring", "acl": { "allow": ["user:bo"], "parent": "sub/folder" } }));
    assert_eq!(scene.found("user:ana"), [""; 0]);
    assert_eq!(scene.found("user:bo"), [""; 0], "a missing parent withholds");
    let made = scene.send("PUT", "/v1/containers/wiki/sub%2Ffolder", &json!({ "acl": { "allow": ["user:ana"] } }));
    assert_eq!((made.status, &made.value()["outcome"]), (200, &json!("created")));
    assert_eq!((scene.found("user:ana").len(), scene.found("user:bo").len()), (1, 1));
    let changed = scene.send("PUT", "/v1/containers/wiki/sub/folder", &json!({ "deny": ["user:bo"] })).value();
    assert_eq!((&changed["outcome"], &changed["acl_state"]), (&json!("updated"), &json!("known")));
    assert_eq!((scene.found("user:ana").len(), scene.found("user:bo").len()), (0, 0));
    assert_eq!(scene.send("DELETE", "/v1/containers/wiki/sub/folder", &json!(null)).status, 200);
    scene.send("DELETE", "/v1/containers/wiki/sub/folder", &json!(null)).is_problem(404, "not_found");
    scene.server.call("GET", "/v1/containers/wiki/a").key(&scene.key).send().is_problem(405, "method_not_allowed");
}

#[test]
fn groups_open_and_close_documents() {
    let scene = Scene::new();
    scene.server.put(&scene.key, "wiki/a", json!({ "text": "mooring", "acl": { "allow": ["group:confluence/eng"] } }));
    scene.send("GET", "/v1/groups/confluence/eng", &json!(null)).is_problem(404, "not_found");
    let made = scene.send("PUT", "/v1/groups/confluence%2Feng", &json!({ "members": ["group:platform", "user:bo"] }));
    assert_eq!((made.status, &made.value()["outcome"]), (200, &json!("created")));
    assert_eq!((scene.found("user:ana").len(), scene.found("user:bo").len()), (0, 1));
    let add = scene.send("POST", "/v1/groups/group:platform/members", &json!({ "add": ["user:ana"] }));
    assert!(add.status == 200 && add.value()["epoch"].as_u64() > made.value()["epoch"].as_u64());
    assert_eq!(scene.found("user:ana").len(), 1);
    let group = scene.send("GET", "/v1/groups/group%3Aconfluence%2Feng", &json!(null)).value();
    assert_eq!(group, json!({ "id": "group:confluence/eng", "members": ["group:platform", "user:bo"] }));
    assert_eq!(scene.send("POST", "/v1/groups/confluence/eng/members", &json!({ "remove": ["user:bo"] })).status, 200);
    assert_eq!(scene.found("user:bo").len(), 0);
    assert_eq!(scene.send("DELETE", "/v1/groups/platform", &json!(null)).status, 200);
    assert_eq!(scene.found("user:ana").len(), 0);
    scene.send("DELETE", "/v1/groups/platform", &json!(null)).is_problem(404, "not_found");
    for wrong in [json!({ "members": ["everyone"] }), json!({ "members": ["ana"] }), json!({ "members": 7 }), json!({})] {
        scene.send("PUT", "/v1/groups/x", &wrong).is_problem(400, "invalid_field");
    }
    scene.send("PUT", "/v1/groups/x", &json!({ "members": [], "more": 1 })).is_problem(400, "unknown_field");
    let wrong = scene.send("POST", "/v1/groups/x", &json!({}));
    wrong.is_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD,PUT,DELETE"));
}

#[test]
fn absent_and_forbidden_are_one_answer() {
    let scene = Scene::new();
    let document = json!({ "text": "mooring", "acl": { "allow": ["user:ana"] } });
    scene.server.put(&scene.key, "wiki/hidden", document.clone());
    scene.server.put(&scene.key, "wiki/hidden", json!({ "text": "mooring two", "acl": { "allow": ["user:ana"] } }));
    scene.server.put(&scene.key, "wiki/withheld", json!({ "text": "mooring" }));
    scene.server.put(&scene.key, "wiki/deleted", document);
    scene.send("DELETE", "/v1/documents/wiki/deleted", &json!(null));
    let absent = scene.read("wiki/absent", "user:bo");
    absent.is_problem(404, "not_found");
    for path in ["wiki/hidden", "wiki/hidden?version=1", "wiki/hidden?version=9", "wiki/withheld", "wiki/deleted", "none/x"] {
        assert_eq!(scene.read(path, "user:bo").observable(), absent.observable(), "{path}");
    }
    let guard = Guard { sources: Some(vec!["crm".to_owned()]), labels: Default::default() };
    let (_, narrow) = scene.server.narrow_key(&[Scope::Search, Scope::AssertUser], guard);
    let call = scene.server.call("GET", "/v1/documents/wiki/hidden").key(&narrow).header("sightline-user", "user:ana");
    assert_eq!(call.send().observable(), absent.observable());

    let token = |user: &str| {
        let search = scene.server.call("POST", "/v1/search").key(&scene.key).header("sightline-user", user);
        let hits = search.json(&json!({ "query": "mooring", "mode": "keyword" })).send().value();
        hits["hits"][0]["citation"]["token"].as_str().unwrap().to_owned()
    };
    let token = token("user:ana");
    let open = |token: &str, user: &str| {
        scene.server.call("GET", &format!("/v1/citations/{token}")).key(&scene.key).header("sightline-user", user).send()
    };
    assert_eq!(open(&token, "user:ana").status, 200);
    assert_eq!(open(&token, "user:bo").observable(), open("AAAA", "user:bo").observable());
    assert_eq!(open(&token, "user:bo").observable(), absent.observable());
}

#[test]
fn a_section_narrows_its_document() {
    let scene = Scene::new();
    let document = json!({ "text": "mooring plan", "acl": { "allow": ["group:staff"] }, "sections": [
        { "name": "salary", "text": "mooring salary", "acl": { "allow": ["user:ana"] } },
        { "name": "unknown", "text": "mooring mystery", "acl": null }] });
    scene.send("PUT", "/v1/groups/staff", &json!({ "members": ["user:ana", "user:bo"] }));
    scene.server.put(&scene.key, "crm/a", document);
    let text = |user: &str| scene.read("crm/a", user).value()["text"].as_str().unwrap().to_owned();
    assert!(text("user:ana").contains("salary") && !text("user:bo").contains("salary"));
    assert!(!text("user:ana").contains("mystery"), "a section without a known acl is withheld");
}

#[test]
fn a_raw_body_is_the_document() {
    let scene = Scene::new();
    let put = |media_type: &str, body: &[u8]| {
        scene.server.call("PUT", "/v1/documents/wiki/raw").key(&scene.key).body(media_type, body).send()
    };
    let receipt = put("text/markdown; charset=utf-8", "# Mooring\n\nAhoi über alles".as_bytes());
    assert_eq!((receipt.status, &receipt.value()["acl_state"]), (200, &json!("unknown")));
    scene.send("PUT", "/v1/documents/wiki/raw/acl", &json!({ "allow": ["user:ana"] }));
    let read = scene.read("wiki/raw", "user:ana").value();
    assert_eq!((&read["mime"], &read["title"]), (&json!("text/markdown"), &json!("Mooring")));
    put("image/png", b"\x89PNG").is_problem(415, "unsupported");
    put("application/x-www-form-urlencoded", b"a=b").is_problem(415, "unsupported_media_type");
    put("text/plain", b"").is_problem(400, "empty");
    put("text/plain", b"\xff\xfe\xff").is_problem(422, "not_utf8");
    let encoded =
        json!({ "content_base64": "PGgxPk1vb3Jpbmc8L2gxPjxwPkFob2k8L3A+", "mime": "text/html", "acl": { "allow": ["user:ana"] } });
    scene.server.put(&scene.key, "wiki/html", encoded);
    let read = scene.read("wiki/html", "user:ana").value();
    assert!(read["text"].as_str().unwrap().contains("Ahoi"), "{read}");
}
