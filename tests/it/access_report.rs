//! What the access report tells an admin, against what callers are shown.

use serde_json::{Value, json};
use sightline_index::{AccessReport, Caller, Documents, Engine, NewDocument, Options, Principal, Timestamp, Write};

use crate::permissions::scratch;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SOON: Timestamp = Timestamp(NOW.0 + 86_400_000);
/// How many documents the report names of each kind.
const NAMED: usize = 20;
/// So many of the first documents are deleted.
const DELETED: usize = 16;

/// The ACLs of the documents, in turn.
fn acls() -> [Value; 8] {
    let grant = |until: Timestamp| json!([{ "principal": "user:ana", "until": until.to_string() }]);
    [
        json!({ "allow": ["public"] }),
        json!({ "allow": ["everyone"] }),
        json!({ "allow": ["group:staff"], "grants": grant(Timestamp(NOW.0 + 60_000)) }),
        json!({ "allow": ["group:staff"], "grants": grant(Timestamp(SOON.0 + 60_000)) }),
        Value::Null,
        json!({ "allow": ["user:ana"], "parent": "nowhere" }),
        json!({ "allow": [], "parent": "ring" }),
        json!({ "allow": [], "parent": "shelf" }),
    ]
}

fn put(source: &str, number: usize) -> Write {
    let acl = Some(acls()[number % 8].clone()).filter(|acl| !acl.is_null());
    Write::Put(Box::new(NewDocument {
        source: source.to_owned(),
        id: format!("d{number:03}"),
        text: format!("mooring {number}"),
        acl,
        ..NewDocument::default()
    }))
}

/// The documents that are left, whose ACL is one of these.
fn left(acls: &[usize]) -> Vec<String> {
    let all = (0..8).map(|number| ("aged", number)).chain((DELETED..200).map(|number| ("wiki", number)));
    all.filter(|(_, number)| acls.contains(&(number % 8))).map(|(source, number)| format!("{source}/d{number:03}")).collect()
}

/// The report counts these and names the first.
fn tells(told: &Documents, expected: &[String]) -> bool {
    told.count == expected.len() as u64 && told.examples == expected[..expected.len().min(NAMED)]
}

fn report(engine: &Engine, now: Timestamp) -> AccessReport {
    engine.access_report(now, SOON).unwrap()
}

#[test]
fn the_report_counts_and_names_what_callers_are_shown() {
    let data = scratch();
    let engine = Engine::open(data.path(), &Options::default()).unwrap();
    let empty = report(&engine, NOW);
    assert!(empty.withheld.is_empty() && empty.visible_to_public.count == 0 && empty.grants_ending.is_empty());
    let group = |name: &str| Principal::parse(&format!("group:{name}")).unwrap();
    let mut writes = vec![
        Write::SetContainer {
            source: "wiki".to_owned(),
            id: "ring".to_owned(),
            acl: Some(json!({ "allow": [], "parent": "ring" })),
        },
        Write::SetContainer { source: "wiki".to_owned(), id: "shelf".to_owned(), acl: Some(acls()[2].clone()) },
        Write::SetGroup { group: group("staff"), members: vec![group("crew")] },
        Write::SetGroup { group: group("crew"), members: vec![] },
        Write::SetGroup { group: group("idle"), members: vec![] },
    ];
    writes.extend((0..200).map(|number| put("wiki", number)));
    writes.extend((0..8).map(|number| put("aged", number)));
    writes.push(Write::SetAclMaxAge { source: "aged".to_owned(), seconds: Some(3_600) });
    engine.write(writes, NOW).unwrap();
    let delete = |number: usize| Write::Delete { source: "wiki".to_owned(), id: format!("d{number:03}") };
    engine.write((0..DELETED).map(delete).collect(), NOW).unwrap();

    let told = report(&engine, NOW);
    assert!(tells(&told.visible_to_public, &left(&[0])) && tells(&told.visible_to_everyone, &left(&[0, 1])), "{told:?}");
    let shown = |caller: &Caller| {
        let all = left(&[0, 1, 2, 3, 4, 5, 6, 7]).into_iter();
        let is_shown =
            |name: &String| name.split_once('/').is_some_and(|(source, id)| engine.document(caller, source, id, None, NOW).is_ok());
        all.filter(is_shown).collect::<Vec<String>>()
    };
    let anybody = Caller::user(Principal::parse("user:nobody-special").unwrap()).unwrap();
    assert_eq!((shown(&anybody), shown(&Caller::public())), (left(&[0, 1]), left(&[0])));
    // The source `aged` has no containers.
    let of = |source: &str, acls: &[usize]| left(acls).into_iter().filter(|name| name.starts_with(source)).collect::<Vec<_>>();
    let withheld = [
        ("container_cycle", of("wiki", &[6])),
        ("missing_parent", [of("aged", &[5, 6, 7]), of("wiki", &[5])].concat()),
        ("unknown", left(&[4])),
    ];
    assert_eq!(told.withheld.len(), withheld.len(), "{told:?}");
    withheld.iter().for_each(|(problem, expected)| assert!(tells(&told.withheld[*problem], expected), "{problem}: {told:?}"));
    assert_eq!(told.groups_granting_nothing, ["group:idle"]);
    let [ending] = told.grants_ending.as_slice() else { panic!("{told:?}") };
    assert_eq!((ending.principal.as_str(), &ending.containers), ("user:ana", &vec!["wiki/shelf".to_owned()]));
    assert!(tells(&ending.documents, &left(&[2])) && told.stale_sources.is_empty(), "{told:?}");

    let later = report(&engine, Timestamp(NOW.0 + 3_600_000));
    let [stale] = later.stale_sources.as_slice() else { panic!("{later:?}") };
    assert_eq!((stale.source.as_str(), stale.acl_max_age_seconds), ("aged", 3_600));
    let aged = of("aged", &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(tells(&stale.documents, &aged) && tells(&later.withheld["stale"], &aged), "{later:?}");
    assert!(tells(&later.visible_to_public, &of("wiki", &[0])), "{later:?}");
}
