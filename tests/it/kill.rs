//! Killed at any moment: an ingest that is run again ends where an undisturbed one ends, and what a server acknowledged
//! is there when the data is opened again.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{Caller, Engine, KeyRing, Mode, NewKey, Options, Principal, Query, Scope, Timestamp};
use tempfile::TempDir;

use crate::program::{self, Running, sightline};

const FILES: usize = 400;
const TEAMS: usize = 8;
const KILLS: usize = 6;
const SEED: u64 = 0x5eed_0001;

/// A word that stands in every passage of one file and nowhere else.
fn word(number: usize) -> String {
    format!("quagga{number:04}")
}

/// Teams are nested: what a team may read, the teams above it may too, but for the last, which inherits nothing.
fn place(number: usize) -> (usize, String) {
    let team = number % TEAMS;
    let folders: String = (0..=team).map(|team| format!("team{team}/")).collect();
    (team, format!("{folders}file{number:04}.md"))
}

fn generate(top: &Path) {
    for number in 0..FILES {
        let path = top.join(place(number).1);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = format!("# File {number}\n");
        for part in 0..10 {
            text += &format!("\n## Part {part}\n\n");
            for sentence in 0..14 {
                text += &format!("The {} of part {part} said sentence {sentence} about the harbour and its boats. ", word(number));
            }
            text += "\n";
        }
        std::fs::write(path, text).unwrap();
    }
    let mut folder = top.to_owned();
    for team in 0..TEAMS {
        folder.push(format!("team{team}"));
        let cut = if team + 1 == TEAMS { "inherit = false\n" } else { "" };
        std::fs::write(folder.join(".sightline.toml"), format!("[acl]\n{cut}allow = ['user:reader{team}']\n")).unwrap();
    }
}

fn reader(team: usize) -> Caller {
    Caller::user(Principal::parse(&format!("user:reader{team}")).unwrap()).unwrap()
}

fn may_read(reader: usize, team: usize) -> bool {
    reader == team || (reader < team && team + 1 != TEAMS)
}

/// What a caller finds by a word: document, span and the bits of the score.
fn found(engine: &Engine, caller: &Caller, text: &str) -> Vec<(String, usize, usize, u32)> {
    let query = Query { text: text.to_owned(), mode: Mode::Keyword, limit: 100, ..Query::default() };
    let hits = engine.search(caller, &query, Timestamp::now()).unwrap().hits;
    let line = |hit: sightline_index::Hit| {
        let citation = hit.citation;
        assert_eq!(hit.text.len(), citation.span.end - citation.span.start);
        (citation.document, citation.span.start, citation.span.end, hit.score.to_bits())
    };
    hits.into_iter().map(line).collect()
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_killed_ingest_ends_where_an_undisturbed_one_does() {
    let (folder, whole, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    generate(folder.path());
    let ingest = ["ingest", folder.path().to_str().unwrap(), "--source", "s", "--json"];
    let started = Instant::now();
    assert_eq!(program::json(whole.path(), &ingest)["created"], FILES);
    let takes = started.elapsed();

    let mut state = SEED;
    let mut cut_off = 0;
    for _ in 0..KILLS {
        let mut run = Running(sightline(killed.path(), &ingest).spawn().unwrap());
        std::thread::sleep(takes.mul_f64((random(&mut state) % 1000) as f64 / 4000.0));
        cut_off += usize::from(run.0.try_wait().unwrap().is_none());
        run.0.kill().unwrap();
        run.0.wait().unwrap();
    }
    assert!(cut_off >= KILLS / 2, "only {cut_off} runs were cut off");
    let last = program::json(killed.path(), &ingest);
    eprintln!("a whole ingest takes {takes:?}; {cut_off} were cut off; the last one: {last}");
    assert_eq!(last["failures"], json!([]));
    assert_eq!(last["created"].as_u64().unwrap() + last["unchanged"].as_u64().unwrap(), FILES as u64);
    assert_eq!(program::json(killed.path(), &ingest)["unchanged"], FILES);

    let doctor = program::json(killed.path(), &["doctor", "--json"]);
    assert_eq!((&doctor["ok"], &doctor["stats"]["documents"]), (&json!(true), &json!(FILES)), "{doctor}");
    let open = |dir: &TempDir| Engine::open(dir.path(), &Options::default()).unwrap();
    let (whole, killed) = (open(&whole), open(&killed));
    assert_eq!(killed.stats().unwrap().chunks, whole.stats().unwrap().chunks);
    assert!(killed.stats().unwrap().chunks > FILES as u64 * 8);
    let heads = killed.heads("s", "", 10_000).unwrap();
    assert_eq!(heads.len(), FILES);
    assert!(heads.iter().all(|head| head.version == 1));
    for number in 0..FILES {
        let (team, path) = place(number);
        for reader_of in 0..TEAMS {
            let hits = found(&killed, &reader(reader_of), &word(number));
            assert_eq!(!hits.is_empty(), may_read(reader_of, team), "{path} for reader {reader_of}");
            assert!(hits.iter().all(|(document, ..)| *document == path), "{path}: {hits:?}");
            if reader_of == team {
                assert_eq!(hits, found(&whole, &reader(reader_of), &word(number)), "{path}");
            }
        }
        assert!(found(&killed, &Caller::public(), &word(number)).is_empty());
    }
}

/// What version `version` of document `number` says; long enough for several passages, each with the same word.
fn said(number: usize, version: usize) -> String {
    let sentence = format!("The okapi{number}v{version} stood at the pier and counted boats until the evening came. ");
    (0..6).map(|part| format!("## Part {part}\n\n{}\n\n", sentence.repeat(14).trim_end())).collect()
}

/// Puts documents in the name of an app, each in one version after the other, until the server is gone; returns the
/// highest acknowledged version of each.
fn put_until_gone(address: &str, key: &str, numbers: std::ops::Range<usize>, acknowledged: &AtomicUsize) -> BTreeMap<usize, usize> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build().into();
    let mut taken = BTreeMap::new();
    for version in 1.. {
        for number in numbers.clone() {
            let acl = json!({ "allow": [format!("user:reader{}", number % TEAMS)] });
            let document = json!({ "text": said(number, version), "mime": "text/markdown", "acl": acl });
            let url = format!("{address}/v1/documents/pushed/doc{number}");
            let answer = agent.put(url).header("authorization", format!("Bearer {key}")).send_json(&document);
            let receipt: Value = match answer.and_then(|mut answer| {
                assert_eq!(answer.status(), 200);
                answer.body_mut().read_json()
            }) {
                Ok(receipt) => receipt,
                // The server is gone, perhaps in the middle of its answer.
                Err(_) => return taken,
            };
            assert_eq!(receipt["version"], version, "{receipt}");
            taken.insert(number, version);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }
    taken
}

#[test]
fn what_a_killed_server_acknowledged_is_there() {
    const CLIENTS: usize = 3;
    const EACH: usize = 12;
    let data = TempDir::new().unwrap();
    let key = NewKey {
        owner: "tests".to_owned(),
        purpose: "a test".to_owned(),
        scopes: [Scope::Ingest].into(),
        guard: sightline_index::Guard::default(),
        expires_at: None,
    };
    let (_, key) = KeyRing::open(data.path()).unwrap().create(&key, Timestamp::now()).unwrap();
    let mut server = Running(sightline(data.path(), &["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let acknowledged = AtomicUsize::new(0);
    let taken: BTreeMap<usize, usize> = std::thread::scope(|scope| {
        let put = |client: usize| {
            let (address, key, acknowledged) = (&address, &key, &acknowledged);
            scope.spawn(move || put_until_gone(address, key, client * EACH..(client + 1) * EACH, acknowledged))
        };
        let clients: Vec<_> = (0..CLIENTS).map(put).collect();
        let started = Instant::now();
        // In the middle of the third version of some documents.
        while acknowledged.load(Ordering::SeqCst) < CLIENTS * EACH * 5 / 2 {
            assert!(started.elapsed() < Duration::from_secs(30), "{acknowledged:?} puts were acknowledged in 30 s");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.0.kill().unwrap();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    server.0.wait().unwrap();
    assert_eq!(taken.len(), CLIENTS * EACH);

    let engine = Engine::open(data.path(), &Options::default()).unwrap();
    assert_eq!(engine.heads("pushed", "", 1000).unwrap().len(), taken.len());
    for (number, version) in taken {
        let (right, wrong) = (reader(number % TEAMS), reader((number + 1) % TEAMS));
        let id = format!("doc{number}");
        let document = engine.document(&right, "pushed", &id, None, Timestamp::now()).unwrap();
        let stored = document.version as usize;
        // The next version may have been stored and not yet answered.
        assert!(stored == version || stored == version + 1, "{id} is in version {stored}, acknowledged is {version}");
        assert_eq!(document.text, said(number, stored), "{id}");
        let hits = found(&engine, &right, &format!("okapi{number}v{stored}"));
        assert!(hits.len() > 4 && hits.iter().all(|(document, ..)| *document == id), "{id}: {hits:?}");
        let mut covered: Vec<_> = hits.iter().map(|(_, start, end, _)| &document.text[*start..*end]).collect();
        covered.sort_by_key(|passage| passage.as_ptr());
        let without_space = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(without_space(&covered.concat()), without_space(&document.text), "{id}");
        for other in (1..=version + 1).filter(|other| *other != stored) {
            assert!(found(&engine, &right, &format!("okapi{number}v{other}")).is_empty(), "{id} v{other}");
        }
        assert!(found(&engine, &wrong, &format!("okapi{number}v{stored}")).is_empty());
        assert!(engine.document(&wrong, "pushed", &id, None, Timestamp::now()).is_err());
    }
}
