#!/bin/sh
# Runs the tests with nextest. Real guests boot on this host's KVM if it can, else in the lab.
# usage: tests/run.sh [NEXTEST ARGUMENT...]
set -eu
cd "$(dirname "$0")/.."
profile="--locked --workspace --release"
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tests/runner"
# The guest kernel that `make setup` fetched, where the system has none.
firmware=$PWD/target/lib/libkrunfw.so.5
[ ! -e "$firmware" ] || export PYRO_LIBKRUNFW="${PYRO_LIBKRUNFW:-$firmware}"

# The images are made while cargo compiles: that waits for the network, this for the processor.
{ make --no-print-directory image lab && tests/smoke/sdk.sh; } &
made=$!
# shellcheck disable=SC2086
cargo nextest run $profile --no-run "$@"
wait "$made" || { echo "make test: the test image, the lab or the MCP SDK could not be had" >&2; exit 1; }

# Some thousand hostile inputs each, when everything is tested.
[ $# -gt 0 ] || RUNS=20000 tests/fuzz/run.sh

# `doctor` boots a tiny guest: that alone tells whether this host's KVM can.
target=${CARGO_TARGET_DIR:-target}
: "${PYRO_GUEST_RUNNER:=$(tests/guest/where.sh "$target/release/pyro")}"
export PYRO_GUEST_RUNNER
echo "make test: guests boot on: $PYRO_GUEST_RUNNER" >&2
if [ "$PYRO_GUEST_RUNNER" = lab ]; then
	set -- tests/lab/lab.sh serve --share "$PWD:ro" --share "$(realpath "$target"):ro" -- cargo nextest run $profile "$@"
else
	set -- cargo nextest run $profile "$@"
fi
exec "$@"
