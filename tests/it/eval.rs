//! `sightline eval` over collections that the tests write: measures, saved runs, and callers who may read a part.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sightline_ingest::Embedder;
use tempfile::TempDir;

use crate::permissions::scratch;
use crate::program::{json as printed, run, sightline};

/// A collection in a folder, and a place for what is made of it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn lines(&self, name: &str, lines: &[Value]) {
        self.write(name, &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }

    fn judge(&self, collection: &str, judged: &[(&str, &str, i64)]) {
        let lines = judged.iter().map(|(query, document, score)| format!("{query}\t{document}\t{score}\n"));
        self.write(
            &format!("{collection}/qrels/test.tsv"),
            &(String::from("query-id\tcorpus-id\tscore\n") + &lines.collect::<String>()),
        );
    }

    /// Rankings are plain: a shorter text with the same word stands higher.
    fn boats(&self, name: &str) {
        let document = |id: &str, text: &str| json!({ "_id": id, "title": format!("About {id}"), "text": text });
        self.lines(
            &format!("{name}/corpus.jsonl"),
            &[
                document("d1", "harbour with 42\n boats"),
                document("d2", "harbour of another town, further away, with ferries and a long pier to walk on"),
                document("d3", "mountain"),
                document("d4", "mountain with snow on its northern side, seen by everyone who comes from the valley"),
                document("d5", "valley"),
            ],
        );
        self.lines(
            &format!("{name}/queries.jsonl"),
            &[
                json!({ "_id": "q1", "text": "harbour", "metadata": { "answers": [{ "text": "４２ boats", "start": 13 }] } }),
                json!({ "_id": "q2", "text": "mountain", "metadata": { "answers": [{ "text": "glacier", "start": 0 }] } }),
                json!({ "_id": "q3", "text": "valley" }),
                json!({ "_id": "unjudged", "text": "snow" }),
                json!({ "_id": "irrelevant", "text": "snow" }),
            ],
        );
        self.judge(name, &[("q1", "d1", 1), ("q2", "d4", 2), ("q2", "d5", 0), ("q3", "d3", 1), ("irrelevant", "d3", 0)]);
    }

    /// Runs it over the data directory `data` and expects a failure with this code; returns what was told.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = sightline(&self.path("data"), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

fn close(value: &Value, expected: f64) {
    assert!((value.as_f64().unwrap() - expected).abs() < 1e-9, "{value} is not {expected}");
}

fn mode<'a>(report: &'a Value, mode: &str) -> &'a Value {
    report["modes"].as_array().unwrap().iter().find(|it| it["mode"] == mode).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_measures_are_those_of_the_rankings() {
    let place = Place::new();
    place.boats("boats");
    let all = printed(&place.path("data"), &["eval", &place.text("boats"), "--json"]);
    let report = &all["collections"][0];
    assert_eq!((&report["collection"], &report["documents"], &report["queries"]), (&json!("boats"), &json!(5), &json!(3)));
    // Without a model keywords alone are measured, and not called anything else.
    assert_eq!(report["modes"].as_array().unwrap().len(), 1);
    let keyword = mode(report, "keyword");
    // q1 finds its document first, q2 second, q3 not at all.
    close(&keyword["ndcg_10"], (1.0 + 1.0 / 3f64.log2()) / 3.0);
    close(&keyword["mrr_10"], 0.5);
    close(&keyword["recall_10"], 2.0 / 3.0);
    close(&keyword["recall_100"], 2.0 / 3.0);
    // Of the two queries with an answer, the passage of the first holds it.
    close(&keyword["answer_1"], 0.5);
    let text = String::from_utf8(run(&place.path("data"), &["eval", &place.text("boats")]).stdout).unwrap();
    assert!(text.contains("answer@1") && text.contains("0.5436"), "{text}");

    place.lines("boats/queries.jsonl", &["q1", "q2", "q3", "irrelevant"].map(|id| json!({ "_id": id, "text": "harbour" })));
    let text = String::from_utf8(run(&place.path("data"), &["eval", &place.text("boats")]).stdout).unwrap();
    assert!(!text.contains("answer@1"), "{text}");
}

#[test]
fn a_run_is_compared_with_a_saved_one() {
    let place = Place::new();
    place.boats("boats");
    let (boats, data, saved) = (place.text("boats"), place.path("data"), place.text("run.json"));
    run(&data, &["eval", &boats, "--save", &saved, "--trec", &place.text("trec")]);
    let trec = std::fs::read_to_string(place.path("trec/boats.keyword.trec")).unwrap();
    let fields: Vec<Vec<&str>> = trec.lines().map(|line| line.split(' ').collect()).collect();
    let q2: Vec<_> = fields.iter().filter(|line| line[0] == "q2").map(|line| (line[1], line[2], line[3], line[5])).collect();
    assert_eq!(q2, [("Q0", "d3", "1", "sightline-keyword"), ("Q0", "d4", "2", "sightline-keyword")]);

    let same = printed(&data, &["eval", &boats, "--against", &saved, "--diff", "3", "--json"]);
    let comparison = &same["collections"][0]["against"][0];
    for measure in comparison["measures"].as_array().unwrap() {
        assert_eq!((&measure["difference"], &measure["p_value"], &measure["wins"]), (&json!(0.0), &json!(1.0), &json!(0)));
    }
    assert_eq!(comparison["measures"].as_array().unwrap().len(), 5);
    assert_eq!(comparison["changed"], json!([]));

    // As if an earlier release had not found q1's document and had found q2's first.
    let mut run_before = read(&place.path("run.json"));
    assert_eq!((&run_before["format"], &run_before["model"]), (&json!("sightline-run/1"), &Value::Null));
    let queries = &mut run_before["collections"][0]["modes"][0]["queries"];
    assert_eq!(queries["q2"]["ranking"][1][0], "d4");
    queries["q1"] = json!({ "measures": { "ndcg_10": 0.0, "recall_10": 0.0, "recall_100": 0.0, "mrr_10": 0.0, "answer_1": 0.0 },
        "ranking": [["d2", 1.0]] });
    queries["q2"]["ranking"] = json!([["d4", 2.0], ["d3", 1.0]]);
    queries["q2"]["measures"]["ndcg_10"] = json!(1.0);
    place.write("before.json", &run_before.to_string());
    let before = place.text("before.json");
    let changed = printed(&data, &["eval", &boats, "--against", &before, "--diff", "1", "--json"]);
    let comparison = &changed["collections"][0]["against"][0];
    let ndcg = &comparison["measures"][0];
    assert_eq!(
        (&ndcg["measure"], &ndcg["wins"], &ndcg["ties"], &ndcg["losses"]),
        (&json!("nDCG@10"), &json!(1), &json!(1), &json!(1))
    );
    close(&ndcg["before"], 1.0 / 3.0);
    close(&ndcg["difference"], 1.0 / 3f64.log2() / 3.0);
    // Of +1 and -0.37 every combination of signs is as large.
    close(&ndcg["p_value"], 1.0);
    assert_eq!(
        comparison["changed"],
        json!([{ "query": "q1", "text": "harbour", "before": 0.0, "now": 1.0,
            "relevant": [{ "document": "d1", "before": null, "now": 1 }],
            "top": [{ "document": "d1", "title": "About d1" }, { "document": "d2", "title": "About d2" }] }])
    );
    let text = run(&data, &["eval", &boats, "--against", &before, "--diff", "9"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("1.0000 \u{2192} 0.6309  q2: mountain\n    relevant: d4 1 \u{2192} 2\n    first now: d3 (About d3)"),
        "{text}"
    );
}

#[test]
fn a_run_of_something_else_is_refused_before_anything_is_done() {
    let place = Place::new();
    place.boats("boats");
    let (boats, saved) = (place.text("boats"), place.text("run.json"));
    run(&place.path("elsewhere"), &["eval", &boats, "--save", &saved]);
    let whole = read(&place.path("run.json"));
    place.judge("boats", &[("q1", "d1", 1), ("q2", "d4", 1)]);
    let told = place.refused(&["eval", &boats, "--against", &saved], 1);
    assert!(told.contains("run.json is a run of `boats`, and not of `boats` as it is now"), "{told}");
    assert!(!place.path("data").exists(), "it was refused after it was begun");

    place.boats("boats");
    let refused = |text: &str| {
        place.write("bad.json", text);
        place.refused(&["eval", &boats, "--against", &place.text("bad.json")], 1)
    };
    let told = refused("{");
    assert!(told.contains("bad.json is no saved run: EOF"), "{told}");
    let told = refused("{}");
    assert!(told.contains("does not say that its format is `sightline-run/1`"), "{told}");
    let told = refused(r#"{"format": "sightline-run/9"}"#);
    assert!(told.contains("its format is `sightline-run/9`, this program reads `sightline-run/1`"), "{told}");
    let mut bad = whole.clone();
    bad["collections"][0]["modes"][0]["queries"]["q1"]["ranking"] = json!("d1");
    let told = refused(&bad.to_string());
    assert!(told.contains("no saved run: invalid type: string"), "{told}");
    let mut bad = whole;
    bad["collections"][0]["modes"][0]["queries"].as_object_mut().unwrap().remove("q1").unwrap();
    let told = refused(&bad.to_string());
    assert!(told.contains("mode keyword has no query `q1`"), "{told}");
    let told = place.refused(&["eval", &boats, "--against", &place.text("absent.json")], 1);
    assert!(told.contains("absent.json"), "{told}");
    place.refused(&["eval", &boats, "--diff", "3"], 2);
}

#[test]
fn a_collection_that_would_be_measured_wrongly_is_refused() {
    let place = Place::new();
    place.boats("boats");
    place.judge("boats", &[("q1", "d1", 1), ("q9", "d1", 1)]);
    let told = place.refused(&["eval", &place.text("boats")], 1);
    assert!(told.contains("query `q9` is judged and not in queries.jsonl"), "{told}");
    place.boats("boats");
    let twice = json!({ "_id": "d1", "text": "one" });
    place.lines("boats/corpus.jsonl", &[twice.clone(), twice]);
    let told = place.refused(&["eval", &place.text("boats")], 1);
    assert!(told.contains("corpus.jsonl:2: `_id` `d1` comes twice"), "{told}");
}

#[test]
fn several_collections_are_kept_apart_and_averaged() {
    let place = Place::new();
    place.boats("boats");
    place.boats("more/boats");
    place.judge("more/boats", &[("q1", "d1", 1)]);
    let (one, other) = (place.text("boats"), place.text("more/boats"));
    let all = printed(&place.path("data"), &["eval", &one, &other, "--json", "--save", &place.text("run.json")]);
    let names: Vec<&Value> = all["collections"].as_array().unwrap().iter().map(|report| &report["collection"]).collect();
    assert_eq!(names, ["boats", "more/boats"]);
    let average = &all["average"][0];
    assert_eq!((&average["mode"], &average["collections"]), (&json!("keyword"), &json!(2)));
    close(&average["ndcg_10"], ((1.0 + 1.0 / 3f64.log2()) / 3.0 + 1.0) / 2.0);
    assert!(place.path("data/boats/catalog.sqlite").is_file() && place.path("data/more/boats/catalog.sqlite").is_file());
    let text = run(&place.path("data"), &["eval", &one, &other, "--against", &place.text("run.json")]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("average of 2") && text.contains("more/boats  keyword  MRR@10"), "{text}");
}

const WORDS: [&str; 12] =
    ["harbour", "pier", "ferry", "snow", "valley", "bridge", "copper", "signal", "ledger", "orchard", "quarry", "tunnel"];

/// A collection in which many documents share words, so that hidden ones would move scores.
fn crowd(place: &Place, name: &str, documents: usize) {
    let word = |number: usize| WORDS[number % WORDS.len()];
    let text = |number: usize| -> String {
        let length = 4 + number * 7 % 23;
        let words = (0..length).map(|at| word(number * (at + 1) + at * at / 3 + number / 12));
        words.collect::<Vec<_>>().join(" ")
    };
    let id = |number: usize| format!("d{number}");
    let corpus: Vec<Value> = (0..documents).map(|number| json!({ "_id": id(number), "text": text(number) })).collect();
    place.lines(&format!("{name}/corpus.jsonl"), &corpus);
    let queries = 24;
    let query =
        |number: usize| json!({ "_id": format!("q{number}"), "text": format!("{} {}", word(number), word(number * 5 + 3)) });
    place.lines(&format!("{name}/queries.jsonl"), &(0..queries).map(query).collect::<Vec<_>>());
    let judged: Vec<(String, String)> = (0..queries).map(|number| (format!("q{number}"), id(number * 7 % documents))).collect();
    let judged: Vec<(&str, &str, i64)> = judged.iter().map(|(query, document)| (query.as_str(), document.as_str(), 1)).collect();
    place.judge(name, &judged);
}

fn equal(caller: &Value) {
    for mode in caller["modes"].as_array().unwrap() {
        assert_eq!((&mode["asked"], &mode["equal"], mode.get("differs")), (&json!(24), &json!(24), None), "{caller}");
        assert_eq!(mode["ndcg_10"], mode["private_ndcg_10"], "{caller}");
    }
    assert_eq!(caller["judged"].as_u64().unwrap() + caller["skipped"].as_u64().unwrap(), 24);
}

#[test]
fn callers_get_what_an_engine_gives_that_holds_only_what_they_may_read() {
    let place = Place::new();
    crowd(&place, "crowd", 300);
    let arguments = ["eval", &place.text("crowd"), "--callers", "6", "--json"];
    let all = printed(&place.path("data"), &arguments);
    let report = &all["collections"][0];
    let callers = report["callers"].as_array().unwrap();
    callers.iter().for_each(equal);
    let named: Vec<&str> = callers.iter().map(|caller| caller["caller"].as_str().unwrap()).collect();
    let kinds = ["everything", "50 % at random #1", "10 % at random #2", "1 % at random #3", "negative #4", "50 % at random #5"];
    assert_eq!(named, kinds);
    let readable: Vec<u64> = callers.iter().map(|caller| caller["readable"].as_u64().unwrap()).collect();
    assert_eq!(readable[0], 300);
    assert!((120..180).contains(&readable[1]) && (15..50).contains(&readable[2]) && readable[3] < 12, "{readable:?}");
    assert!((270..300).contains(&readable[4]), "{readable:?}");
    // Who reads everything is measured like the public over the whole; who may not read what is relevant is not.
    assert_eq!(callers[0]["modes"][0]["ndcg_10"], mode(report, "keyword")["ndcg_10"]);
    assert_eq!(callers[4]["skipped"].as_u64().unwrap(), 300 - readable[4]);
    let text = String::from_utf8(run(&place.path("data"), &arguments[..4]).stdout).unwrap();
    assert!(text.contains("equal rankings") && text.contains("24 of 24") && !text.contains("DIFFERS"), "{text}");
    // A second run finds the same, in the same directory.
    let again = printed(&place.path("data"), &arguments);
    assert_eq!(again["collections"][0]["callers"], report["callers"]);
}

#[test]
fn a_collection_with_acls_is_asked_by_its_own_users() {
    let place = Place::new();
    crowd(&place, "crowd", 60);
    // The documents by their number modulo five: a group, a group within it, all but one user, one user, nobody.
    let acl = |number: usize| match number % 5 {
        0 => json!({ "allow": ["group:staff"] }),
        1 => json!({ "allow": ["group:eng"] }),
        2 => json!({ "allow": ["everyone"], "deny": ["user:bo"] }),
        3 => json!({ "allow": ["user:cy"] }),
        _ => Value::Null,
    };
    let lines: Vec<Value> = (0..60).map(|number| json!({ "_id": format!("d{number}"), "acl": acl(number) })).collect();
    place.lines("crowd/acl.jsonl", &lines);
    place.write("crowd/directory.json", r#"{"group:staff": ["user:bo", "group:eng"], "group:eng": ["user:ana", "user:abe"]}"#);
    let all = printed(&place.path("data"), &["eval", &place.text("crowd"), "--callers", "9", "--json"]);
    let callers = all["collections"][0]["callers"].as_array().unwrap();
    callers.iter().for_each(equal);
    let mut readable: Vec<(&str, u64)> =
        callers.iter().map(|caller| (caller["caller"].as_str().unwrap(), caller["readable"].as_u64().unwrap())).collect();
    readable.sort_unstable();
    // Abe and Ana read the same, so one of them is asked.
    assert!(readable[0].0 == "user:ana" || readable[0].0 == "user:abe", "{readable:?}");
    assert_eq!((readable[0].1, &readable[1..]), (36, [("user:bo", 12), ("user:cy", 24)].as_slice()));
    place.lines("crowd/acl.jsonl", &[json!({ "_id": "d1" })]);
    place.write("crowd/directory.json", r#"{"staff": []}"#);
    let told = place.refused(&["eval", &place.text("crowd"), "--callers", "2"], 1);
    assert!(told.contains("directory.json") && told.contains("staff"), "{told}");
}

#[test]
fn with_a_model_every_mode_is_equal_for_every_caller() {
    let Some(model) = Embedder::find(None) else {
        eprintln!("skipped: no model");
        return;
    };
    let place = Place::new();
    crowd(&place, "crowd", 120);
    let mut command = sightline(&place.path("data"), &["eval", &place.text("crowd"), "--callers", "5", "--json"]);
    let output = command.env("SIGHTLINE_EMBEDDER_INSTANCES", "2").env("SIGHTLINE_MODEL", model).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &all["collections"][0];
    let modes = |of: &Value| -> Vec<String> { of["modes"].as_array().unwrap().iter().map(|it| it["mode"].to_string()).collect() };
    assert_eq!(modes(report), ["\"keyword\"", "\"vector\"", "\"hybrid\""]);
    for caller in report["callers"].as_array().unwrap() {
        equal(caller);
        assert_eq!(modes(caller).len(), 3);
        assert!(caller["vector_recall_10"].as_f64().is_none_or(|recall| recall >= 0.98), "{caller}");
    }
}
