//! Honest answers over real sentences, and what a dishonest one does to them. Sentences are found here by other rules than the
//! engine's.

use crate::oracle::dice::Dice;

/// A passage that can be cited.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) text: String,
    pub(crate) token: String,
}

/// An answer, and which passages its markers `[1]`, `[2]`, … stand for.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) answer: String,
    pub(crate) cited: Vec<usize>,
}

/// Sentences that can be told apart from any others: one line, no marks of Markdown, no quotes, no brackets.
fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.split('\n') {
        let mut sentence = String::new();
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            sentence.push(c);
            let ends = c == '。' || (matches!(c, '.' | '!') && chars.peek().is_none_or(|next| *next == ' '));
            if ends {
                found.push(std::mem::take(&mut sentence).trim().to_owned());
            }
        }
    }
    found.retain(|sentence| {
        let chars = sentence.chars().count();
        let last = sentence.trim_end_matches(['.', '。', '!']).rsplit(' ').next().unwrap_or_default().chars().count();
        let cjk = is_cjk(sentence);
        let clean = !sentence
            .contains(['"', '“', '”', '„', '«', '»', '「', '」', '[', ']', '*', '_', '#', '|', '`', '<', '>', '?', '？', '…'])
            && !sentence.contains("...")
            && sentence.chars().next().is_some_and(|c| c.is_uppercase() || cjk);
        // A short last word may be an abbreviation.
        clean && (cjk || last > 3) && (if cjk { (14..120).contains(&chars) } else { (45..260).contains(&chars) })
    });
    found
}

fn is_cjk(text: &str) -> bool {
    text.chars().filter(|c| matches!(c, '\u{3040}'..='\u{9fff}')).count() * 2 > text.chars().count()
}

fn is_german(text: &str) -> bool {
    [" der ", " die ", " und ", " das ", " ist ", " den ", " von "].iter().filter(|word| text.contains(*word)).count() >= 2
}

/// A sentence without its full stop.
fn bare(sentence: &str) -> &str {
    sentence.trim_end_matches(['.', '。', '!'])
}

fn stop(sentence: &str) -> &'static str {
    if is_cjk(sentence) { "。" } else { "." }
}

/// A random passage and one of its sentences.
fn draw(dice: &mut Dice, passages: &[Passage]) -> Option<(usize, String)> {
    for _ in 0..50 {
        let at = dice.below(passages.len());
        let sentences = sentences(&passages[at].text);
        if !sentences.is_empty() {
            return Some((at, dice.pick(&sentences).clone()));
        }
    }
    None
}

/// Two passages of one language, each with a sentence that the other passage does not have.
fn draw_two(dice: &mut Dice, passages: &[Passage]) -> Option<[(usize, String); 2]> {
    for _ in 0..200 {
        let (one, other) = (draw(dice, passages)?, draw(dice, passages)?);
        let apart = one.0 != other.0 && !passages[one.0].text.contains(&other.1) && !passages[other.0].text.contains(&one.1);
        if apart && is_cjk(&one.1) == is_cjk(&other.1) && is_german(&one.1) == is_german(&other.1) {
            return Some([one, other]);
        }
    }
    None
}

const HONEST: [&str; 14] = [
    "verbatim",
    "quoted",
    "quoted in part",
    "quoted with an elision",
    "after a prefix",
    "other function words",
    "clauses in another order",
    "two sentences",
    "a list",
    "Markdown",
    "two sentences in one",
    "other number formats",
    "without an aside",
    "marker before",
];

/// An answer that its passages support.
pub(crate) fn honest(dice: &mut Dice, passages: &[Passage]) -> Option<Case> {
    let kind = *dice.pick(&HONEST);
    let (at, sentence) = draw(dice, passages)?;
    let (text, dot) = (bare(&sentence), stop(&sentence));
    let single = |answer: String| Some(Case { kind, answer, cited: vec![at] });
    match kind {
        "verbatim" => single(format!("{text} [1]{dot}")),
        "quoted" => single(match (is_cjk(text), is_german(text)) {
            (true, _) => format!("「{text}」[1]。"),
            (_, true) => format!("Im Text heißt es: „{text}.“ [1]"),
            _ => format!("The document states: “{text}.” [1]"),
        }),
        "quoted in part" => {
            let words: Vec<&str> = text.split(' ').collect();
            if words.len() < 8 {
                return None;
            }
            let from = dice.below(words.len() - 6);
            let length = 4 + dice.below(words.len() - from - 4);
            let part = words[from..from + length].join(" ");
            single(format!("The text says \"{}\" [1].", part.trim_end_matches([',', ';', ':'])))
        }
        "quoted with an elision" => {
            let words: Vec<&str> = text.split(' ').collect();
            if words.len() < 12 || has_negation(text) {
                return None;
            }
            let cut = 4 + dice.below(words.len() - 10);
            let elision = *dice.pick(&["...", "…", "[...]", "[…]"]);
            single(format!("\"{} {elision} {}\" [1].", words[..cut].join(" "), words[cut + 2..].join(" ")))
        }
        "after a prefix" => {
            let prefix = match (is_cjk(text), is_german(text)) {
                (true, _) => return None,
                (_, true) => *dice.pick(&["Laut Dokument gilt: ", "Im Dokument steht: ", "Gemäß den Quellen gilt: "]),
                _ => *dice.pick(&["According to the document, ", "Based on the sources, ", "In short: ", "The text states that "]),
            };
            single(format!("{prefix}{text} [1]."))
        }
        "other function words" => {
            let changed = [
                (" and ", " as well as "),
                (" must ", " have to "),
                (" because ", " since "),
                (" can ", " may "),
                (" but ", " while "),
                (" which ", " that "),
                (" also ", " "),
                (" und ", " sowie "),
                (" aber ", " jedoch "),
                (" auch ", " "),
                (" the ", " this "),
                (" should ", " shall "),
                (" kann ", " könnte "),
                (" was ", " had been "),
                ("和", "与"),
                ("但", "而"),
                ("也", ""),
            ];
            let mut answer = text.to_owned();
            for (from, to) in changed {
                answer = answer.replacen(from, to, 1);
            }
            if answer == text || (is_cjk(text) && ["和平", "也门", "和尚", "但丁", "总和"].iter().any(|word| text.contains(word)))
            {
                return None;
            }
            single(format!("{answer} [1]{dot}"))
        }
        "clauses in another order" => {
            let comma = if is_cjk(text) { "，" } else { ", " };
            let (head, tail) = text.split_once(comma)?;
            // Digits around the comma would become one number.
            if tail.contains(comma) || tail.len() < 15 || head.len() < 15 || has_negation(text) {
                return None;
            }
            single(format!("{tail}{comma}{head} [1]{dot}"))
        }
        "two sentences" | "a list" | "Markdown" | "two sentences in one" => {
            let [(one, first), (other, second)] = draw_two(dice, passages)?;
            let (a, b, dot) = (bare(&first), bare(&second), stop(&first));
            let answer = match kind {
                "two sentences" => format!("{a} [1]{dot} {b}{dot} [2]"),
                "a list" => format!("Here is what the documents say:\n\n- {a} [1]\n- {b} [2]\n"),
                "Markdown" => {
                    let bold =
                        |text: &str| text.rsplit_once(' ').map_or(text.to_owned(), |(head, last)| format!("{head} **{last}**"));
                    format!("## Summary\n\n1. {} [^1]\n2. {} 【2】\n\nI hope this helps!", bold(a), bold(b))
                }
                _ if is_cjk(a) => format!("{a}，{b} [1, 2]。"),
                _ => format!("{a}, and {b} [1][2]."),
            };
            Some(Case { kind, answer, cited: vec![one, other] })
        }
        "other number formats" => {
            let words = [
                (" two ", " 2 "),
                (" three ", " 3 "),
                (" four ", " 4 "),
                (" five ", " 5 "),
                (" ten ", " 10 "),
                (" zwei ", " 2 "),
                (" drei ", " 3 "),
            ];
            let mut answer = text.to_owned();
            for (word, digits) in words {
                answer = answer.replace(word, digits);
            }
            let bytes = answer.as_bytes();
            let commas: Vec<usize> = (1..bytes.len().saturating_sub(3))
                .filter(|at| {
                    bytes[*at] == b',' && bytes[at - 1].is_ascii_digit() && bytes[at + 1..at + 4].iter().all(u8::is_ascii_digit)
                })
                .collect();
            commas.into_iter().rev().for_each(|at| answer.replace_range(at..at + 1, ""));
            if answer == text { None } else { single(format!("{answer} [1]{dot}")) }
        }
        "without an aside" => {
            let start = text.find(" (")?;
            let end = start + text[start..].find(')')?;
            single(format!("{}{} [1]{dot}", &text[..start], &text[end + 1..]))
        }
        _ => {
            let [(one, first), (other, second)] = draw_two(dice, passages)?;
            Some(Case { kind, answer: format!("[1] {first} [2] {second}"), cited: vec![one, other] })
        }
    }
}

const HOSTILE: [&str; 18] = [
    "quote: a letter",
    "quote: a digit",
    "quote: a sign",
    "quote: a case",
    "quote: an accent",
    "quote: a word left out",
    "quote of two passages",
    "quote in another order",
    "number",
    "negation added",
    "negation taken away",
    "name",
    "markers swapped",
    "citation moved",
    "undefined marker",
    "nothing of it",
    "nothing cited",
    "quote of another passage",
];

/// An answer that looks as if its passages supported it, and they do not.
pub(crate) fn hostile(dice: &mut Dice, passages: &[Passage]) -> Option<Case> {
    let kind = *dice.pick(&HOSTILE);
    let (at, sentence) = draw(dice, passages)?;
    let (text, dot) = (bare(&sentence), stop(&sentence));
    let passage = &passages[at].text;
    let single = |answer: String| Some(Case { kind, answer, cited: vec![at] });
    let quote = |quoted: String| {
        let quoted = if passage.contains(&quoted) { None } else { Some(quoted) };
        quoted.and_then(|quoted| {
            single(if is_cjk(text) { format!("「{quoted}」[1]。") } else { format!("The text says \"{quoted}\" [1].") })
        })
    };
    let change = |dice: &mut Dice, which: fn(char) -> bool, to: fn(char) -> char| {
        let places: Vec<usize> = text.char_indices().filter(|(_, c)| which(*c)).map(|(at, _)| at).collect();
        let at = *places.get(dice.below(places.len().max(1)))?;
        let c = text[at..].chars().next()?;
        Some(format!("{}{}{}", &text[..at], to(c), &text[at + c.len_utf8()..]))
    };
    match kind {
        "quote: a letter" => {
            let next = |c: char| if c == 'z' || c == 'Z' { 'a' } else { char::from_u32(u32::from(c) + 1).unwrap_or('x') };
            quote(change(dice, char::is_alphabetic, next)?)
        }
        "quote: a digit" => quote(change(dice, |c| c.is_ascii_digit(), |c| if c == '9' { '1' } else { char::from(c as u8 + 1) })?),
        "quote: a sign" => {
            quote(change(dice, |c| matches!(c, ',' | ';' | ':' | '(' | '，' | '、'), |c| if c == ';' { ',' } else { ';' })?)
        }
        "quote: a case" => quote(change(
            dice,
            |c| c.is_ascii_alphabetic(),
            |c| {
                if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }
            },
        )?),
        "quote: an accent" => quote(change(
            dice,
            |c| "aeiouAEIOUäöüé".contains(c),
            |c| match c {
                'a' => 'á',
                'e' => 'é',
                'i' => 'í',
                'o' => 'ó',
                'u' => 'ú',
                'A' => 'Á',
                'E' => 'É',
                'I' => 'Í',
                'O' => 'Ó',
                'U' => 'Ú',
                'ä' => 'a',
                'ö' => 'o',
                'ü' => 'u',
                _ => 'e',
            },
        )?),
        "quote: a word left out" => {
            let words: Vec<&str> = text.split(' ').collect();
            if words.len() < 6 {
                return None;
            }
            let out = 1 + dice.below(words.len() - 2);
            quote([&words[..out], &words[out + 1..]].concat().join(" "))
        }
        "quote of two passages" => {
            let [(one, first), (other, second)] = draw_two(dice, passages)?;
            let (a, b) = (bare(&first), bare(&second));
            let middle = |text: &str| text.floor_char_boundary(text.len() / 2);
            let join = if dice.chance(50) { " " } else { " ... " };
            let quote = format!("{}{join}{}", &a[..middle(a)], &b[middle(b)..]);
            Some(Case { kind, answer: format!("It says “{}” [1][2].", quote.trim()), cited: vec![one, other] })
        }
        "quote in another order" => {
            let words: Vec<&str> = text.split(' ').collect();
            if words.len() < 10 {
                return None;
            }
            let (head, tail) = words.split_at(words.len() / 2);
            quote(format!("{} ... {}", tail.join(" "), head.join(" ")))
        }
        "number" => {
            let next = |c: char| if c == '9' { '2' } else { char::from(c as u8 + 1) };
            let changed = change(dice, |c| c.is_ascii_digit(), next)?;
            // The other number must not stand in the passage.
            let at = changed.bytes().zip(text.bytes()).position(|(one, other)| one != other)?;
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
            let start =
                changed[..at].rfind(|c| !is_part(c)).map_or(0, |at| at + changed[at..].chars().next().map_or(1, char::len_utf8));
            let number: String = changed[start..].chars().take_while(|c| is_part(*c)).collect();
            if passage.contains(number.trim_end_matches(['.', ','])) { None } else { single(format!("{changed} [1]{dot}")) }
        }
        "negation added" => {
            if has_negation(text) {
                return None;
            }
            let pairs = [
                (" is ", " is not "),
                (" are ", " are not "),
                (" was ", " was not "),
                (" were ", " were never "),
                (" can ", " cannot "),
                (" will ", " will not "),
                (" must ", " must not "),
                (" has ", " has no "),
                (" ist ", " ist nicht "),
                (" wird ", " wird nicht "),
                (" sind ", " sind keine "),
                (" wurde ", " wurde nie "),
                (" war ", " war nicht "),
                (" with ", " without "),
                (" mit ", " ohne "),
                ("是", "不是"),
                ("可以", "不可以"),
                ("有", "没有"),
                ("会", "不会"),
            ];
            let fitting: Vec<_> = pairs.iter().filter(|(from, _)| text.contains(from)).collect();
            let (from, to) = fitting.get(dice.below(fitting.len().max(1)))?;
            single(format!("{} [1]{dot}", text.replacen(from, to, 1)))
        }
        "negation taken away" => {
            let words = [" not ", " never ", " nicht ", " no ", " keine ", " kein ", "不", "没有"];
            let fitting: Vec<_> = words.iter().filter(|word| text.contains(*word)).collect();
            let word = fitting.get(dice.below(fitting.len().max(1)))?;
            if ["not only", "nicht nur", "no longer", "不同", "不仅", "不断", "不过", "不少"].iter().any(|word| text.contains(word))
                || text.matches(**word).count() > 1
            {
                return None;
            }
            single(format!("{} [1]{dot}", text.replacen(**word, if is_cjk(text) { "" } else { " " }, 1)))
        }
        "name" => {
            let names = |text: &str| -> Vec<String> {
                let words: Vec<&str> = text.split(' ').skip(1).collect();
                let is_name =
                    |word: &&&str| word.len() > 4 && word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphabetic);
                words.iter().filter(is_name).map(|word| (*word).to_owned()).collect()
            };
            let ours = names(text);
            let (_, other) = draw(dice, passages)?;
            let theirs: Vec<String> =
                names(&other).into_iter().filter(|name| !passage.to_lowercase().contains(&name.to_lowercase())).collect();
            let (one, another) = (ours.get(dice.below(ours.len().max(1)))?, theirs.get(dice.below(theirs.len().max(1)))?);
            single(format!("{} [1]{dot}", text.replace(one.as_str(), another)))
        }
        "markers swapped" => {
            let [(one, first), (other, second)] = draw_two(dice, passages)?;
            Some(Case { kind, answer: format!("{} [2]{dot} {} [1]{dot}", bare(&first), bare(&second)), cited: vec![one, other] })
        }
        "citation moved" => {
            let [(one, first), (other, second)] = draw_two(dice, passages)?;
            Some(Case { kind, answer: format!("{} [1]{dot} {} [1]{dot}", bare(&first), bare(&second)), cited: vec![one, other] })
        }
        "undefined marker" => single(format!("{text} [1][2]{dot}")),
        "nothing of it" => {
            let [(one, _), (_, second)] = draw_two(dice, passages)?;
            Some(Case { kind, answer: format!("{} [1]{dot}", bare(&second)), cited: vec![one] })
        }
        "nothing cited" => single(format!("{text}{dot}")),
        _ => {
            let [(one, first), (_, second)] = draw_two(dice, passages)?;
            Some(Case {
                kind,
                answer: format!("{} [1]{dot} It also says “{}” [1].", bare(&first), bare(&second)),
                cited: vec![one],
            })
        }
    }
}

fn has_negation(text: &str) -> bool {
    let words = [
        "not", "no", "never", "without", "none", "nor", "neither", "cannot", "nicht", "kein", "nie", "ohne", "weder", "nothing",
        "nichts",
    ];
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word) || word.starts_with("kein"))
        || ["n't", "n’t", "不", "没", "无", "未", "非"].iter().any(|sign| lower.contains(sign))
}
