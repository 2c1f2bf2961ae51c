#!/bin/sh
# Run the tests of the vector kernels for aarch64 on another machine, under QEMU: `scripts/neon.sh`.
#
# They run as two processors: one without the dot product instructions, and one with all that QEMU knows. The names of the
# loops that were compared are printed. Where a tool is missing this says so and what to install, and runs nothing.
set -eu
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
library="$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target/lib"

skip() {
    echo "skipped: no $1; $2" >&2
    exit 0
}
command -v aarch64-linux-gnu-gcc >/dev/null ||
    skip "C compiler for aarch64" "on Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
command -v qemu-aarch64 >/dev/null || skip "QEMU for programs of aarch64" "on Debian: apt-get install qemu-user"
test -d "$library" || skip "Rust library for $target" "rustup target add $target"

# Linked statically, so that no library of aarch64 has to be found when the tests run.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
for cpu in cortex-a53 max; do
    echo "as $cpu:"
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $cpu" \
        cargo test --release --target $target --package sightline-index --lib -- --nocapture --test-threads=1 vector::kernels
done
