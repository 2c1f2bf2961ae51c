//! Interned strings: principals and labels as small numbers.

use std::collections::HashMap;
use std::sync::Arc;

/// A string pool; a number is never reused.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_text: HashMap<Arc<str>, u32>,
    by_number: Vec<Arc<str>>,
}

impl Names {
    /// The number of `text`, given one when it has none.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.by_text.get(text) {
            return number;
        }
        let number = u32::try_from(self.by_number.len()).expect("INVARIANT: fewer than 2^32 names");
        let text: Arc<str> = text.into();
        self.by_number.push(text.clone());
        self.by_text.insert(text, number);
        number
    }

    /// The number of `text`, when it has one.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// The text of a number.
    pub(crate) fn text(&self, number: u32) -> &str {
        self.by_number.get(number as usize).map_or("", |text| text)
    }
}
