//! One spelling for what readers take for one word: case, accents and compatibility forms. Also which scripts are
//! indexed in pairs of characters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Lower case without accents. Compatibility forms (full width, ligatures) become the plain ones. Marks that are letters
/// in their script (vowel signs of Indic scripts, for instance) stay.
pub(crate) fn fold(word: &str) -> String {
    let mut folded = String::new();
    fold_into(word, &mut folded);
    folded
}

/// Folds a word in place of what is in `folded`.
pub(super) fn fold_into(word: &str, folded: &mut String) {
    folded.clear();
    if word.is_ascii() {
        folded.extend(word.chars().filter(|c| *c != '\'').map(|c| c.to_ascii_lowercase()));
        return;
    }
    let mut base = ' ';
    for c in word.nfkd() {
        if is_combining_mark(c) && is_accent(base, c) || matches!(c, '\'' | '’') {
            continue;
        }
        base = c;
        for c in c.to_lowercase() {
            match c {
                'ß' => folded.push_str("ss"),
                'ø' => folded.push('o'),
                'ł' => folded.push('l'),
                'æ' => folded.push_str("ae"),
                'œ' => folded.push_str("oe"),
                c => folded.push(c),
            }
        }
    }
    *folded = folded.nfc().collect();
}

/// True for a mark that changes how a letter sounds and not which letter it is.
fn is_accent(base: char, mark: char) -> bool {
    // й is a letter of its own.
    let short_i = mark == '\u{306}' && matches!(base, 'и' | 'И');
    !short_i
        && matches!(u32::from(mark),
        0x0300..=0x036F | 0x0483..=0x0487 | 0x20D0..=0x20FF // Latin, Greek, Cyrillic
        | 0x0591..=0x05C7 | 0x0610..=0x061A | 0x064B..=0x065F | 0x0670 | 0x06D6..=0x06ED) // Hebrew, Arabic
}

/// True for scripts of which neighbouring characters are indexed in pairs: those without spaces between words, and
/// Korean, whose words carry their particles.
pub(crate) fn is_paired(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF // Thai, Lao, Myanmar, Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9F // kana
        | 0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7AF // Hangul
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x323AF) // Han
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_what_readers_take_for_one_word() {
        for (word, folded) in [
            ("Café", "cafe"),
            ("ÅNGSTRÖM", "angstrom"),
            ("Straße", "strasse"),
            ("İstanbul", "istanbul"),
            ("ﬁle", "file"),
            ("Ｔｏｋｙｏ", "tokyo"),
            ("don’t", "dont"),
            ("Ёлка", "елка"),
            ("мой", "мой"),
            ("मुंबई", "मुंबई"),
            ("مُحَمَّد", "محمد"),
            ("Ἀθῆναι", "αθηναι"),
        ] {
            assert_eq!(fold(word), folded.nfc().collect::<String>(), "{word}");
        }
    }
}
