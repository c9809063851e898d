#!/usr/bin/env bash
# Train in several processes on one or more machines; without GPUs they compute on CPUs.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]

Starts GPUS processes on this machine, one per GPU (or on CPUs where there is no GPU). With
--modules K each trains one of K local modules; GPUS / K such pipelines work in data parallel.

environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (29500), PYTHON (python)

example: tools/dist_train.sh configs/infopro_deeplabv3_cityscapes.py 2 --work-dir work_dirs/first
    tools/dist_train.sh configs/infopro_deeplabv3_cityscapes.py 8 --modules 4
TEXT
}

case "${1:-}" in
    -h | --help)
        usage
        exit 0
        ;;
esac
if [[ $# -lt 2 ]]; then
    usage >&2
    exit 2
fi

config=$1
gpus=$2
if ! [[ $gpus =~ ^[1-9][0-9]*$ ]]; then
    echo "error: GPUS must be a number of processes, got '$gpus'" >&2
    exit 2
fi
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"

exec "${PYTHON:-python}" "$here/launch.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" \
    "$here/train.py" "$config" --launcher pytorch "$@"
