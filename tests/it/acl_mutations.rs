//! ACLs gone wrong: valid ACLs are damaged at random, and no damage may open anything.
//!
//! Beside the engine stands a reading of the definition that is as strict as can be and shares no code with it. Whatever
//! the engine lets a caller see, that reading must let them see too; and what it does not understand, nobody sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sightline_index::{
    AclState, Caller, Engine, MAX_LIMIT, Mode, NewChunk, NewDocument, Options, Principal, Query, Timestamp, Write,
};

use crate::permissions::scratch;

use crate::oracle::dice::Dice;

const DOCUMENTS: usize = 900;
const CONTAINERS: usize = 40;
const ROUNDS: u64 = 30;
const SOURCE: &str = "wiki";
const NOW: &str = "2026-01-01T00:00:00Z";

/// The directory, which stays as it is.
const GROUPS: [(&str, &[&str]); 4] = [
    ("group:eng", &["group:platform", "user:bo"]),
    ("group:platform", &["user:ana", "group:eng"]),
    ("group:Eng", &["user:cy"]),
    ("group:dépt", &["user:zo\u{e9}"]),
];

/// Callers, some of whom look alike; "" is the public.
const CALLERS: [&str; 14] = [
    "",
    "user:ana",
    "user:Ana",
    "user:\u{430}na",
    "user:ana ",
    "user:ana/",
    "user:bo",
    "user:cy",
    "user:zo\u{e9}",
    "user:zoe\u{301}",
    "user:everyone",
    "user:group:eng",
    "user:*",
    "user:never-named",
];

#[test]
fn damaged_acls_admit_nobody_whom_the_definition_does_not_admit() {
    let mut world = World::new();
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        world.round(round, &mut tally);
    }
    let mutations = ROUNDS * (DOCUMENTS + CONTAINERS) as u64;
    println!("{mutations} mutated ACLs, {tally:?}");
    assert!(mutations >= 20_000);
    // Neither all broken nor all whole, and seen by some.
    assert!(tally.understood > mutations / 10 && tally.withheld > mutations / 10, "{tally:?}");
    assert!(tally.seen > 10_000, "{tally:?}");
    // Fail closed, and not more than that: what the definition admits is seen.
    assert_eq!(tally.admitted, tally.seen, "{tally:?}");
}

/// The strict reading on texts whose meaning is beyond doubt.
#[test]
fn the_strict_reading_is_strict() {
    for text in [
        r#"{}"#,
        r#"{"allow":["user:a","group:b","everyone","public"],"deny":[],"inherit":false,"parent":"x"}"#,
        r#"{"grants":[{"principal":"user:a","until":"2026-01-01T00:00:00.5+01:00"}]}"#,
    ] {
        assert!(Acl::read(&serde_json::from_str(text).unwrap()).is_some(), "{text}");
    }
    for text in [
        r#"null"#,
        r#"[]"#,
        r#"[["everyone"]]"#,
        r#"{"Allow":["everyone"]}"#,
        r#"{"allow":"everyone"}"#,
        r#"{"allow":["Everyone"]}"#,
        r#"{"allow":["user:"]}"#,
        r#"{"allow":[],"parent":null}"#,
        r#"{"allow":[],"inherit":1}"#,
        r#"{"grants":[["user:a","2026-01-01T00:00:00Z"]]}"#,
        r#"{"grants":[{"principal":"user:a","until":"2026-01-01"}]}"#,
        r#"{"grants":[{"principal":"user:a","until":"2026-02-30T00:00:00Z"}]}"#,
    ] {
        assert!(Acl::read(&serde_json::from_str(text).unwrap()).is_none(), "{text}");
    }
}

#[derive(Debug, Default)]
struct Tally {
    understood: u64,
    withheld: u64,
    /// Pairs of caller and document that the engine showed.
    seen: u64,
    /// Pairs that the definition admits.
    admitted: u64,
}

struct World {
    engine: Engine,
    _dir: tempfile::TempDir,
    now: Timestamp,
    callers: Vec<(Caller, BTreeSet<String>)>,
}

impl World {
    fn new() -> World {
        let dir = scratch();
        let engine = Engine::open(dir.path(), &Options::default()).unwrap();
        let now = Timestamp::parse(NOW).unwrap();
        let mut writes: Vec<Write> = GROUPS
            .iter()
            .map(|(group, members)| Write::SetGroup {
                group: principal(group),
                members: members.iter().map(|member| principal(member)).collect(),
            })
            .collect();
        writes.extend((0..DOCUMENTS).map(|number| {
            let text = format!("harbour {number}");
            Write::Put(Box::new(NewDocument {
                source: SOURCE.to_owned(),
                id: document(number),
                mime: "text/plain".to_owned(),
                chunks: vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }],
                text,
                ..NewDocument::default()
            }))
        }));
        engine.write(writes, now).unwrap();
        let callers = CALLERS.iter().map(|name| (caller(name), principals_of(name))).collect();
        World { engine, _dir: dir, now, callers }
    }

    fn round(&mut self, seed: u64, tally: &mut Tally) {
        let mut dice = Dice(seed);
        let containers: BTreeMap<String, Value> =
            (0..CONTAINERS).map(|number| (format!("folder{number}"), mutated(&mut dice, number % 2 == 0))).collect();
        let documents: Vec<Value> = (0..DOCUMENTS).map(|_| mutated(&mut dice, true)).collect();
        let own = |id: &String, acl: &Value| (SOURCE.to_owned(), id.clone(), Some(acl.clone()));
        let mut writes = Vec::new();
        for (id, acl) in &containers {
            let (source, id, acl) = own(id, acl);
            writes.push(Write::SetContainer { source, id, acl });
        }
        for (number, acl) in documents.iter().enumerate() {
            let (source, id, acl) = own(&document(number), acl);
            writes.push(Write::SetAcl { source, id, acl });
        }
        let receipts = self.engine.write(writes, self.now).unwrap();
        let written = containers.values().chain(&documents).zip(&receipts);
        for (acl, receipt) in written {
            let known = receipt.acl.as_ref().is_some_and(|(state, _)| *state == AclState::Known);
            let understood = Acl::read(acl).is_some();
            assert!(understood || !known, "round {seed}: the engine understands what it must not: {acl}");
            match known {
                true => tally.understood += 1,
                false => tally.withheld += 1,
            }
        }
        let read: BTreeMap<&String, Option<Acl>> = containers.iter().map(|(id, acl)| (id, Acl::read(acl))).collect();
        for (caller, mine) in &self.callers {
            let seen = self.seen(caller);
            for (number, acl) in documents.iter().enumerate() {
                let admitted = Acl::read(acl).is_some_and(|acl| admits(&acl, &read, mine, self.now.0));
                let shown = seen.contains(&document(number));
                let chain = || acl.get("parent").and_then(|parent| containers.get(parent.as_str()?));
                assert!(admitted || !shown, "round {seed}: {caller:?} sees {acl} under {:?}", chain());
                tally.seen += u64::from(shown);
                tally.admitted += u64::from(admitted);
            }
        }
    }

    fn seen(&self, caller: &Caller) -> BTreeSet<String> {
        let query = Query { text: "harbour".to_owned(), mode: Mode::Keyword, limit: MAX_LIMIT, ..Query::default() };
        let ranked = self.engine.rank_documents(caller, &query, MAX_LIMIT, self.now).unwrap();
        ranked.into_iter().map(|document| document.id).collect()
    }
}

fn document(number: usize) -> String {
    format!("doc{number}")
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}

fn caller(name: &str) -> Caller {
    if name.is_empty() { Caller::public() } else { Caller::user(principal(name)).unwrap() }
}

/// What a caller is, by repeating the definition until nothing is added.
fn principals_of(name: &str) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ["public".to_owned()].into();
    if !name.is_empty() {
        all.extend([name.to_owned(), "everyone".to_owned()]);
    }
    loop {
        let before = all.len();
        for (group, members) in GROUPS {
            if members.iter().any(|member| all.contains(*member)) {
                all.insert(group.to_owned());
            }
        }
        if all.len() == before {
            return all;
        }
    }
}

// The strict reading.

struct Acl {
    allow: Vec<String>,
    deny: Vec<String>,
    /// Until when, in milliseconds.
    grants: Vec<(String, i64)>,
    parent: Option<String>,
    inherit: bool,
}

impl Acl {
    /// `None` unless every letter of it is understood.
    fn read(acl: &Value) -> Option<Acl> {
        let Value::Object(fields) = acl else { return None };
        let mut read = Acl { allow: vec![], deny: vec![], grants: vec![], parent: None, inherit: true };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("allow", Value::Array(list)) => read.allow = names(list)?,
                ("deny", Value::Array(list)) => read.deny = names(list)?,
                ("grants", Value::Array(list)) => read.grants = list.iter().map(grant).collect::<Option<_>>()?,
                ("parent", Value::String(id)) if !id.is_empty() => read.parent = Some(id.clone()),
                ("inherit", Value::Bool(inherit)) => read.inherit = *inherit,
                _ => return None,
            }
        }
        (read.allow.len() + read.deny.len() + read.grants.len() <= 10_000).then_some(read)
    }
}

fn grant(value: &Value) -> Option<(String, i64)> {
    let Value::Object(fields) = value else { return None };
    match (fields.len(), fields.get("principal")?, fields.get("until")?) {
        (2, principal, Value::String(until)) => Some((name(principal)?, time(until)?)),
        _ => None,
    }
}

fn names(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(name).collect()
}

fn name(value: &Value) -> Option<String> {
    let Value::String(text) = value else { return None };
    let id = match text.as_str() {
        "everyone" | "public" => return Some(text.clone()),
        _ => text.strip_prefix("user:").or(text.strip_prefix("group:"))?,
    };
    ((1..=256).contains(&id.len()) && !id.chars().any(char::is_control)).then(|| text.clone())
}

/// RFC 3339: `YYYY-MM-DDThh:mm:ss`, a fraction or none, `Z` or an offset; section 5.6 lets a space stand for the `T`.
fn time(text: &str) -> Option<i64> {
    let digits = |at: std::ops::Range<usize>| {
        let part = text.get(at)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let marks = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    if marks.iter().any(|(at, allowed)| !text.get(*at..at + 1).is_some_and(|mark| allowed.contains(mark))) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if day < 1 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut milliseconds = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        let (digits, after) = fraction.split_at(end);
        if digits.is_empty() {
            return None;
        }
        milliseconds = format!("{digits:0<3}")[..3].parse::<i64>().ok()?;
        rest = after;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let (sign, clock) = (rest.get(..1)?, rest.get(1..)?);
            let sign = match sign {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = clock.split_once(':')?;
            let two = |part: &str| (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<i64>());
            let (hours, minutes) = (two(hours)?.ok()?, two(minutes)?.ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    // Days since 1970, counted one by one.
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |year| if leap(year) { 366 } else { 365 };
    let mut days = if year >= 1970 { (1970..year).map(length).sum::<i64>() } else { -(year..1970).map(length).sum::<i64>() };
    days += lengths.iter().take(usize::try_from(month).ok()? - 1).sum::<i64>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + milliseconds)
}

fn admits(acl: &Acl, containers: &BTreeMap<&String, Option<Acl>>, mine: &BTreeSet<String>, now: i64) -> bool {
    let mut allowed = false;
    let mut above = Vec::new();
    let mut at = acl;
    loop {
        if at.deny.iter().any(|name| mine.contains(name)) {
            return false;
        }
        allowed |= at.allow.iter().any(|name| mine.contains(name));
        allowed |= at.grants.iter().any(|(name, until)| mine.contains(name) && now < *until);
        let Some(parent) = &at.parent else { return allowed };
        let Some(Some(next)) = containers.get(parent) else {
            // A parent that is missing withholds, and so does one that is inherited from and not understood. What is
            // not inherited from must only exist.
            return allowed && !at.inherit && containers.contains_key(parent);
        };
        if !at.inherit {
            return allowed;
        }
        if above.contains(&parent) {
            return false;
        }
        above.push(parent);
        at = next;
    }
}

// The damage.

const PRINCIPALS: [&str; 14] = [
    "user:ana",
    "user:ana",
    "user:bo",
    "user:cy",
    "user:zo\u{e9}",
    "user:zoe\u{301}",
    "user:\u{430}na",
    "group:eng",
    "group:platform",
    "group:Eng",
    "group:dépt",
    "group:nobody",
    "everyone",
    "public",
];
const KEYS: [&str; 5] = ["allow", "deny", "grants", "parent", "inherit"];

/// A valid ACL, damaged up to four times; sometimes not at all.
fn mutated(dice: &mut Dice, nested: bool) -> Value {
    let mut acl = valid(dice, nested);
    for _ in 0..dice.below(5) {
        damage(dice, &mut acl);
    }
    // What reaches the engine came over a wire.
    serde_json::from_str(&acl.to_string()).unwrap()
}

fn valid(dice: &mut Dice, nested: bool) -> Value {
    let list = |dice: &mut Dice, most: usize| -> Vec<&str> { (0..dice.below(most + 1)).map(|_| *dice.pick(&PRINCIPALS)).collect() };
    let mut acl = json!({ "allow": list(dice, 4) });
    if dice.chance(40) {
        acl["deny"] = json!(list(dice, 2));
    }
    if dice.chance(40) {
        let until = *dice.pick(&["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z", "2027-01-01T00:00:00+05:30"]);
        acl["grants"] = json!([{ "principal": dice.pick(&PRINCIPALS), "until": until }]);
    }
    if nested && dice.chance(50) {
        acl["parent"] = json!(format!("folder{}", dice.below(CONTAINERS + 1)));
    }
    if dice.chance(30) {
        acl["inherit"] = json!(dice.chance(50));
    }
    acl
}

/// Damages one place: the whole, a field, or something deeper.
fn damage(dice: &mut Dice, acl: &mut Value) {
    if dice.chance(3) {
        let whole = acl.take();
        *acl = match dice.below(5) {
            0 => json!([whole]),
            1 => json!({ "acl": whole }),
            2 => Value::String(whole.to_string()),
            // The fields' values alone, in order.
            3 => whole.as_object().map_or(Value::Null, |fields| fields.values().cloned().collect()),
            _ => json!([whole.get("allow"), whole.get("deny"), whole.get("grants")]),
        };
        return;
    }
    let Value::Object(fields) = acl else { return };
    let name = (*dice.pick(&KEYS)).to_owned();
    match dice.below(9) {
        0 => drop(fields.remove(&name)),
        1 => rename(dice, fields, &name),
        2 => copy_under_another_name(dice, fields, &name),
        3 => {
            let value = junk(dice);
            fields.insert(name, value);
        }
        4 => {
            let name = *dice.pick(&["comment", "", "allows", "except", "denied", "$ref", "role", "public", "\u{0}"]);
            let value = junk(dice);
            fields.insert(name.to_owned(), value);
        }
        5 => {
            // One field's value under another field's name.
            if let Some(value) = fields.get(*dice.pick(&KEYS)).cloned() {
                fields.insert(name, value);
            }
        }
        _ => {
            if let Some(value) = fields.get_mut(&name) {
                damage_value(dice, value);
            }
        }
    }
}

fn rename(dice: &mut Dice, fields: &mut Map<String, Value>, name: &str) {
    if let Some(value) = fields.remove(name) {
        let renamed = misspelled(dice, name);
        fields.insert(renamed, value);
    }
}

fn copy_under_another_name(dice: &mut Dice, fields: &mut Map<String, Value>, name: &str) {
    if let Some(value) = fields.get(name).cloned() {
        let copy = misspelled(dice, name);
        fields.insert(copy, value);
    }
}

fn misspelled(dice: &mut Dice, name: &str) -> String {
    match dice.below(8) {
        0 => name.to_uppercase(),
        1 => name[..1].to_uppercase() + &name[1..],
        2 => format!(" {name}"),
        3 => format!("{name} "),
        4 => name[1..].to_owned(),
        5 => format!("{name}s"),
        6 => name.replace('a', "\u{430}").replace('e', "\u{435}"),
        _ => format!("{name}\u{0}"),
    }
}

fn damage_value(dice: &mut Dice, value: &mut Value) {
    if dice.chance(10) {
        *value = junk(dice);
        return;
    }
    if dice.chance(5) {
        *value = json!([value.take()]);
        return;
    }
    match value {
        Value::Array(items) if items.is_empty() || dice.chance(25) => damage_list(dice, items),
        Value::Array(items) => {
            let at = dice.below(items.len());
            damage_value(dice, &mut items[at]);
        }
        Value::Object(fields) => {
            let name = (*dice.pick(&["principal", "until"])).to_owned();
            match dice.below(5) {
                0 => drop(fields.remove(&name)),
                1 => rename(dice, fields, &name),
                2 => copy_under_another_name(dice, fields, &name),
                _ => {
                    if let Some(value) = fields.get_mut(&name) {
                        damage_value(dice, value);
                    }
                }
            }
        }
        Value::String(text) => *text = damaged_text(dice, text),
        other => *other = junk(dice),
    }
}

fn damage_list(dice: &mut Dice, items: &mut Vec<Value>) {
    match dice.below(6) {
        0 => items.clear(),
        1 => drop(items.pop()),
        2 => items.extend(items.clone()),
        // Lists beside the limit are dear; few are enough.
        3 if dice.chance(4) => {
            let count = *dice.pick(&[9_995, 9_999, 10_000, 10_001, 12_000]);
            items.extend((0..count).map(|number| json!(format!("user:n{number}"))));
        }
        4 => items.push(junk(dice)),
        _ => items.push(json!(dice.pick(&PRINCIPALS))),
    }
}

fn damaged_text(dice: &mut Dice, text: &str) -> String {
    let cut = text.floor_char_boundary(dice.below(text.len() + 1));
    match dice.below(20) {
        0 => text[..cut].to_owned(),
        1 => text[cut..].to_owned(),
        2 => text.to_uppercase(),
        3 => text.to_lowercase(),
        4 => format!(" {text}"),
        5 => format!("{text} "),
        6 => format!("{text}/"),
        7 => format!("{text}\n"),
        8 => format!("{text}\u{0}"),
        9 => text.replace('a', "\u{430}"),
        10 => text.replace('e', "\u{435}").replace('o', "\u{43e}"),
        11 => text.replace(':', "\u{ff1a}"),
        12 => text.replace("é", "e\u{301}"),
        13 => text.replace("e\u{301}", "é"),
        14 => format!("\u{feff}{text}"),
        15 => format!("{}\u{200b}{}", &text[..cut], &text[cut..]),
        16 => format!("{text}{}", "x".repeat(*dice.pick(&[200, 251, 256, 257, 5_000]))),
        17 => format!("{text},user:ana"),
        18 => format!("user:{text}"),
        _ => text.replace('T', " ").replace("user:", "group:"),
    }
}

fn junk(dice: &mut Dice) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("*"),
        json!("everyone"),
        json!("public"),
        json!("true"),
        json!([]),
        json!({}),
        json!(["everyone"]),
        json!(["public", null]),
        json!([["everyone"]]),
        json!({ "everyone": true }),
        json!({ "principal": "everyone", "until": "2027-01-01T00:00:00Z" }),
        json!([{ "principal": "public", "until": "9999-12-31T23:59:59Z" }]),
        json!(["user:ana", { "user": "bo" }]),
    ];
    dice.pick(&all).clone()
}
