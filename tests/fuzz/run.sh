#!/bin/sh
# Runs every fuzz target, or those named, for SECONDS_EACH (60 if not set); with RUNS, for so many inputs.
#   tests/fuzz/run.sh            SECONDS_EACH=3600 tests/fuzz/run.sh tar_ingest            RUNS=10000 tests/fuzz/run.sh
# Coverage comes from LLVM flags that stable Rust has; there is no sanitizer, since there is no unsafe code.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- frame tar_ingest index

passes="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    passes="$passes -Cllvm-args=-sanitizer-coverage-$option"
done
host=$(rustc -vV | sed -n 's/^host: //p')
build=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/fuzz
# With a target named, build scripts and macros are built without the flags.
RUSTFLAGS="--cfg fuzzing $passes -Ccodegen-units=1" \
    cargo build --locked --release --target "$host" --target-dir "$build"

# The same inputs each time where their number is given; else what was found before is gone on from.
corpus=$build/corpus
limit="-max_total_time=${SECONDS_EACH:-60}"
if [ -n "${RUNS:-}" ]; then
    limit="-runs=$RUNS -seed=1"
    corpus=$(mktemp -d)
    trap 'rm -rf "$corpus"' EXIT
fi

# Tars to start from: this directory in every format.
mkdir -p "$corpus/tar_ingest"
for format in v7 ustar gnu pax; do
    tar -cf "$corpus/tar_ingest/$format.tar" --format="$format" --sort=name --mtime=@0 --owner=0 --group=0 \
        fuzz_targets run.sh
done

for name in "$@"; do
    mkdir -p "$corpus/$name" "$build/artifacts"
    # shellcheck disable=SC2086  # one word per flag
    set -- "$build/$host/release/$name" $limit -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$build/artifacts/$name-" -print_final_stats=1 "$corpus/$name"
    if [ -z "${RUNS:-}" ]; then
        "$@"
    elif "$@" > "$corpus/log" 2>&1; then
        echo "fuzz: $name took $RUNS inputs"
    else
        cat "$corpus/log" >&2
        echo "fuzz: $name failed; what it failed on is in $build/artifacts" >&2
        exit 1
    fi
done
