//! Near-duplicates: passages whose words are nearly the same.
//!
//! Two passages are alike when at least 0.8 of their runs of four words are common (Jaccard, as in Broder 1997, without
//! sampling: candidates are few). Shorter passages are alike when their words are the same.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::keyword;

/// How many words make a run.
const RUN_WORDS: usize = 4;
/// The least share of common runs.
const MIN_COMMON: f64 = 0.8;

/// The runs of words of a passage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Runs(HashSet<u64>);

impl Runs {
    pub(super) fn of(text: &str) -> Runs {
        let words = keyword::words(text);
        let hash = |run: &[String]| {
            let mut hasher = DefaultHasher::new();
            run.hash(&mut hasher);
            hasher.finish()
        };
        if words.len() < RUN_WORDS * 2 {
            return Runs([hash(&words)].into());
        }
        Runs(words.windows(RUN_WORDS).map(hash).collect())
    }

    pub(super) fn alike(&self, other: &Runs) -> bool {
        let common = self.0.intersection(&other.0).count() as f64;
        common >= MIN_COMMON * (self.0.len() + other.0.len()) as f64 - MIN_COMMON * common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_alike_and_other_texts_are_not() {
        let alike = |a: &str, b: &str| Runs::of(a).alike(&Runs::of(b));
        let text = "The daily allowance for trips abroad is paid for each full day of absence, on the day after the return, \
                    to everyone who travels on the company's behalf and sends in a claim before the end of the month.";
        assert!(alike(text, text) && alike(text, &text.to_uppercase()));
        assert!(alike(text, &text.replace("on the day after", "on the second day after")));
        assert!(!alike(text, &text[..text.len() / 2]));
        assert!(!alike(text, "Nothing of this is about the daily allowance for trips abroad, which is paid for each full day."));
        assert!(alike("Yes.", "yes") && !alike("Yes.", "No.") && !alike("", "No."));
        let chinese = "每日津贴按出差的完整天数计算，在返回后的第二天支付给所有代表公司出差并在月底之前提交申请的人员。";
        assert!(alike(chinese, &chinese.replace('，', "、")) && !alike(chinese, "公司每年组织两次活动。"));
    }
}
