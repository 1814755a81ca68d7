#!/usr/bin/env bash
# What there is to know of a GPU, and a checkpoint that a CPU cannot train, in one command on a machine lent for minutes.
#   tools/gpu_day.sh [--rehearse] [tests|bench|train|all] [--seconds N] [--config FILE]
# docs/gpu_day.md says what to bring and what comes back. --rehearse does the same on a CPU, at toy size.
#   OUT       what comes back, at most 8 files (out/gpu_day)
#   PACK      parts of a data pack, see `trajforecast pack` (out/pack)
#   OFFICIAL  folder with the official code's nn_latte.py and nn_latte_vae.py (out/official)
#   WHEELS    packages that the machine lacks (out/wheels)
#   WORK      what is unpacked and trained; stays on the machine (runs/gpu_day)
#   PYTHON    a Python that has PyTorch (python3)
set -uo pipefail

usage() { echo "usage: tools/gpu_day.sh [--rehearse] [tests|bench|train|all] [--seconds N] [--config FILE]" >&2; exit 2; }

what='' rehearse='' seconds=180 config=config/train/libero_object_gpu.yaml
while [ $# -gt 0 ]; do
    case $1 in
    tests | bench | train | all) [ -z "$what" ] || usage; what=$1 ;;
    --rehearse) rehearse=--rehearse ;;
    --seconds) seconds=${2-}; [[ $seconds =~ ^[1-9][0-9]*$ ]] || usage; shift ;;
    --config) config=${2-}; [ -n "$config" ] || usage; shift ;;
    *) usage ;;
    esac
    shift
done
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
out=${OUT:-out/gpu_day}
export PACK=${PACK:-out/pack} OFFICIAL=${OFFICIAL:-out/official} WORK=${WORK:-runs/gpu_day}
export PYTHONPATH=$PWD:$PWD/tools${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export TQDM_MININTERVAL=20 # the log is read, not watched
mkdir -p "$out" "$WORK" || exit 2

install_wheels() {
    compgen -G "${WHEELS:=out/wheels}/*.whl" >/dev/null || return 0
    local site
    site=$(mktemp -d) || return 1
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" \
        "$WHEELS"/*.whl && export PYTHONPATH=$site:$PYTHONPATH
}

# Runs a part within its seconds and says how long it took. What it wrote until then stays.
run_part() {
    local part=$1 limit=$2 began=$SECONDS code=0
    shift 2
    echo "== $part"
    timeout --kill-after=10 "$limit" "$@" || code=$?
    [ "$code" != 124 ] || echo "$part: stopped after its $limit seconds"
    echo "== $part: $((SECONDS - began)) s, exit code $code"
    [ "$code" = 0 ] || failed="$failed $part"
}

main() {
    install_wheels && "$python" -m gpu_day.machine $rehearse || return 2
    failed=''
    local slack=1
    [ -z "$rehearse" ] || slack=10 # a CPU may be busy with other things
    case ${what:=all} in tests | all)
        run_part tests $((170 * slack)) ${rehearse:+env TRAJFORECAST_REHEARSAL=1} "$python" -m pytest -q -ra -m cuda \
            --durations=5 -p no:cacheprovider test/model/cuda ;;
    esac
    case $what in bench | all)
        run_part bench $((200 * slack)) "$python" -m gpu_day.bench $rehearse --out "$out" ;;
    esac
    case $what in train | all)
        run_part train $(((seconds + 30) * slack)) "$python" -m gpu_day.train $rehearse --config "$config" \
            --seconds "$seconds" --out "$out" ;;
    esac
    echo "== $what: $SECONDS s; $(find "$out" -type f | wc -l) files, $(du -sk "$out" | cut -f1) kB in $out"
    [ -z "$failed" ] || { echo "failed:$failed"; return 1; }
}

main 2>&1 | tee "$out/log.txt"
exit "${PIPESTATUS[0]}"
