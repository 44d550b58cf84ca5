#!/bin/sh
# Drives workflows of use-cases/ with a built pyro, on real guests: on this host's KVM if it boots them, else in
# the lab. USE_CASE_HOST_COMPAT=1 takes namespaces of this host instead. The environment is made from the tests'
# image, or is the one that USE_CASE_ENVIRONMENT names, which is pulled if it is not installed.
# usage: tests/smoke/run.sh CASE...
set -eu
cd "$(dirname "$0")/../.."
export PYRO="${PYRO:-$(realpath "${CARGO_TARGET_DIR:-target}")/release/pyro}"
# The guest kernel that `make setup` fetched, where the system has none.
firmware=$PWD/target/lib/libkrunfw.so.5
[ ! -e "$firmware" ] || export PYRO_LIBKRUNFW="${PYRO_LIBKRUNFW:-$firmware}"
tests/smoke/sdk.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "${USE_CASE_ENVIRONMENT:-}" ]; then
	# The lab has no way to a registry: the image is taken along as a file.
	USE_CASE_IMAGE=$work/image.tar
	"$PYRO" env inspect "$USE_CASE_ENVIRONMENT" > /dev/null 2>&1 || "$PYRO" env pull "$USE_CASE_ENVIRONMENT"
	"$PYRO" env export "$USE_CASE_ENVIRONMENT" "$USE_CASE_IMAGE"
else
	make -s --no-print-directory image
	USE_CASE_IMAGE=$PWD/target/images/debian-12.oci.tar
fi
export USE_CASE_IMAGE

case ${USE_CASE_HOST_COMPAT:-0} in
0 | '') where=${PYRO_GUEST_RUNNER:-$(tests/guest/where.sh "$PYRO")} ;;
*) where=namespaces ;;
esac
echo "smoke: machines are on: $where" >&2
set -- /usr/bin/python3 -B "$PWD/tests/smoke/main.py" "$@"
if [ "$where" = lab ]; then
	make -s --no-print-directory lab
	# A copy: wherever pyro is, and whatever is built meanwhile.
	cp "$PYRO" "$(dirname "$PYRO")/pyro-machine" "$work/"
	PYRO=$work/pyro
	set -- tests/lab/lab.sh --share "$PWD:ro" --share "$work:ro" \
		--env PYRO --env PYRO_LIBKRUNFW --env 'USE_CASE_*' -- "$@"
fi
"$@"
