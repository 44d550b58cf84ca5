#!/bin/sh
# Runs every fuzz target, or those named, for SECONDS_EACH (60 if not set).
#   tests/fuzz/run.sh            SECONDS_EACH=3600 tests/fuzz/run.sh tar_ingest
# Coverage comes from LLVM flags that stable Rust has; there is no sanitizer, since there is no unsafe code.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- frame tar_ingest index

passes="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    passes="$passes -Cllvm-args=-sanitizer-coverage-$option"
done
host=$(rustc -vV | sed -n 's/^host: //p')
build=${CARGO_TARGET_DIR:-target}/fuzz
# With a target named, build scripts and macros are built without the flags.
RUSTFLAGS="--cfg fuzzing $passes -Ccodegen-units=1" \
    cargo build --locked --release --target "$host" --target-dir "$build"

# Tars to start from: this directory in every format.
mkdir -p corpus/tar_ingest
for format in v7 ustar gnu pax; do
    tar -cf "corpus/tar_ingest/$format.tar" --format="$format" fuzz_targets run.sh
done

for name in "$@"; do
    mkdir -p "corpus/$name" artifacts
    "$build/$host/release/$name" -max_total_time="${SECONDS_EACH:-60}" -max_len=16384 -timeout=10 \
        -rss_limit_mb=2048 -artifact_prefix="artifacts/$name-" -print_final_stats=1 "corpus/$name"
done
