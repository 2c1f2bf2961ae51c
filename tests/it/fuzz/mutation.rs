//! Mutations of inputs: seeded, of bytes and of the pieces that texts are made of.
//!
//! There is no coverage to follow. What leads deeper is a dictionary of each target, and a pool of mutated inputs that the
//! target took for whole, from which the next ones are made.

use crate::oracle::dice::Dice;

/// How many accepted inputs are kept beside the seeds.
const POOL_INPUTS: usize = 256;
const NUMBERS: [i64; 18] = [
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 53,
    i64::MAX,
    i64::MIN,
];
const CHARACTERS: [&str; 14] =
    ["\0", "\n", "\r\n", "\t", " ", "\u{feff}", "\u{301}", "\u{200d}", "\u{202e}", "ß", "İ", "日", "😀", "\u{10ffff}"];

/// Makes inputs of one target.
pub(crate) struct Mutator {
    dice: Dice,
    seeds: Vec<Vec<u8>>,
    pool: Vec<Vec<u8>>,
    words: &'static [&'static str],
    max_bytes: usize,
}

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: Vec<Vec<u8>>, words: &'static [&'static str], max_bytes: usize) -> Mutator {
        Mutator { dice: Dice(seed), seeds, pool: Vec::new(), words, max_bytes }
    }

    /// The inputs to begin with.
    pub(crate) fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.parent();
        for _ in 0..1 << self.dice.below(5) {
            self.mutate(&mut input);
            input.truncate(self.max_bytes);
        }
        input
    }

    /// Keeps an input that was taken for whole, to make others of it.
    pub(crate) fn keep(&mut self, input: Vec<u8>) {
        // Else they grow from one to the next, and every input takes long.
        let longest = self.seeds.iter().map(Vec::len).max().unwrap_or_default();
        if input.len() > longest * 4 {
            return;
        }
        if self.pool.len() < POOL_INPUTS {
            self.pool.push(input);
        } else {
            let at = self.dice.below(POOL_INPUTS * 16);
            if let Some(place) = self.pool.get_mut(at) {
                *place = input;
            }
        }
    }

    fn parent(&mut self) -> Vec<u8> {
        let from = if self.pool.is_empty() || self.dice.chance(50) { &self.seeds } else { &self.pool };
        self.dice.pick(from).clone()
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let dice = &mut self.dice;
        let at = dice.below(input.len() + 1);
        match dice.below(18) {
            0 | 1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 if at < input.len() => input[at] = dice.below(256) as u8,
            3 if dice.chance(30) => input.truncate(at),
            4 => {
                input.drain(slice(dice, input.len(), 64));
            }
            5 => {
                let copy = input[slice(dice, input.len(), 256)].to_vec();
                insert(input, at, &copy);
            }
            6 => {
                let random: Vec<u8> = (0..1 + dice.below(16)).map(|_| dice.below(256) as u8).collect();
                insert(input, at, &random);
            }
            7 => {
                let other = self.parent();
                let from = self.dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            8 => {
                let other = self.parent();
                let part = other[slice(&mut self.dice, other.len(), 256)].to_vec();
                insert(input, at, &part);
            }
            9 => {
                let bytes = dice.pick(&NUMBERS).to_le_bytes();
                let width = 1 << dice.below(4);
                let end = input.len().min(at + width);
                let part = &bytes[..end - at];
                input[at..end].copy_from_slice(part);
            }
            10 => {
                let number = dice.pick(&NUMBERS).to_string();
                replace_run(dice, input, |byte| byte.is_ascii_digit(), number.as_bytes());
            }
            11 | 12 if !self.words.is_empty() => {
                let word = *dice.pick(self.words);
                insert(input, at, word.as_bytes());
            }
            13 | 14 if !self.words.is_empty() => {
                let word = *dice.pick(self.words);
                replace_run(dice, input, |byte| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte), word.as_bytes());
            }
            15 if dice.chance(20) => {
                let part = input[slice(dice, input.len(), 24)].to_vec();
                let times = 1 << dice.below(10);
                insert(input, at, &part.repeat(times));
            }
            16 => {
                let character = *dice.pick(&CHARACTERS);
                insert(input, at, character.as_bytes());
            }
            17 => {
                let cut = slice(dice, input.len(), 64);
                let part: Vec<u8> = input.drain(cut).collect();
                let at = dice.below(input.len() + 1);
                insert(input, at, &part);
            }
            _ => {}
        }
    }
}

/// A slice of at most `longest` bytes.
fn slice(dice: &mut Dice, len: usize, longest: usize) -> std::ops::Range<usize> {
    let start = dice.below(len + 1);
    start..len.min(start + 1 + dice.below(longest))
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}

/// Replaces one run of such bytes.
fn replace_run(dice: &mut Dice, input: &mut Vec<u8>, belongs: impl Fn(u8) -> bool, with: &[u8]) {
    let from = dice.below(input.len() + 1);
    let Some(start) = (from..input.len()).find(|at| belongs(input[*at])) else { return };
    let end = (start..input.len()).find(|at| !belongs(input[*at])).unwrap_or(input.len());
    input.splice(start..end, with.iter().copied());
}

/// Damage to a file, as an input says it: six bytes an edit, so that an input means the same for files that differ in the
/// secrets of their data directory.
pub(crate) fn damage(file: &[u8], edits: &[u8], words: &[&str]) -> Vec<u8> {
    let mut file = file.to_vec();
    for edit in edits.chunks_exact(6).take(16) {
        let wide = u64::from(edit[1]) << 24 | u64::from(edit[2]) << 16 | u64::from(edit[3]) << 8 | u64::from(edit[4]);
        // Half of them near the beginning, where files say what they are.
        let reach = if edit[0] & 0x80 == 0 { file.len() + 1 } else { file.len().min(160) + 1 };
        let at = wide as usize % reach;
        let end = file.len().min(at + 1 + edit[4] as usize % 32);
        match edit[0] % 9 {
            0 | 1 if at < file.len() => file[at] ^= 1 << (edit[5] % 8),
            2 if at < file.len() => file[at] = edit[5],
            3 if edit[5] < 64 => file.truncate(at),
            4 => drop(file.drain(at..end)),
            5 => {
                let copy = file[at..end].to_vec();
                let to = edit[5] as usize * file.len() / 256;
                file.splice(to..to, copy);
            }
            6 => {
                let bytes = NUMBERS[edit[5] as usize % NUMBERS.len()].to_le_bytes();
                let end = file.len().min(at + 8);
                file[at..end].copy_from_slice(&bytes[..end - at]);
            }
            7 => {
                let number = NUMBERS[edit[5] as usize % NUMBERS.len()].to_string();
                if let Some(start) = (at..file.len()).find(|at| file[*at].is_ascii_digit()) {
                    let end = (start..file.len()).find(|at| !file[*at].is_ascii_digit()).unwrap_or(file.len());
                    file.splice(start..end, number.into_bytes());
                }
            }
            8 if !words.is_empty() => {
                file.splice(at..at, words[edit[5] as usize % words.len()].bytes());
            }
            _ => {}
        }
    }
    file
}

/// Inputs for [`damage`] to begin with.
pub(crate) fn edits() -> Vec<Vec<u8>> {
    (0..=8u8).flat_map(|kind| [vec![kind, 0, 0, 0, 9, 3], vec![kind | 0x80, 1, 2, 3, 40, 17]]).collect()
}
