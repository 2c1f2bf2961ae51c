//! The bounds of one extraction.

use serde::{Deserialize, Serialize};

/// The bounds of one extraction; each is a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractLimits {
    /// The largest file that is read, in bytes.
    pub max_file_bytes: u64,
    /// The longest text that is kept, in bytes.
    pub max_text_bytes: u64,
    /// The most that a compressed file may unpack to, in bytes, all its entries together.
    pub max_unpacked_bytes: u64,
    /// How many times its packed size an entry may unpack to, once it is over 1 MiB.
    pub max_expansion_ratio: u64,
    /// How long the child process may take, in seconds of wall time and of CPU time.
    pub child_seconds: u64,
    /// The child's address space, in bytes.
    pub child_memory_bytes: u64,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            max_file_bytes: 64 * MIB,
            max_text_bytes: 32 * MIB,
            max_unpacked_bytes: 256 * MIB,
            max_expansion_ratio: 200,
            child_seconds: 30,
            child_memory_bytes: 1024 * MIB,
        }
    }
}

impl ExtractLimits {
    /// The most bytes an entry of the given packed size may unpack to.
    pub(super) fn unpacked_bound(&self, packed_bytes: u64) -> u64 {
        packed_bytes.saturating_mul(self.max_expansion_ratio).max(1 << 20).min(self.max_unpacked_bytes)
    }
}
