#!/usr/bin/env bash
# Train on a Slurm cluster, one task per GPU; when the time is up, save, and go on in a new job.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]

With --modules K each task trains one of K local modules; GPUS / K such pipelines work in data
parallel.

In a batch job Slurm warns only if the job asks for it: `#SBATCH --signal=USR1@120 --requeue`.

environment: GPUS (4 tasks in all), GPUS_PER_NODE (4), CPUS_PER_TASK (5), SRUN_ARGS (more
    arguments of srun), SIGNAL (USR1@120: what Slurm sends how many seconds before the time is up;
    set it to nothing for none), REQUEUE (1; 0: no new start then), GRES (gpu:GPUS_PER_NODE; set it
    to nothing on nodes without GPU), PYTHON (python)

example: GPUS=2 GPUS_PER_NODE=2 tools/slurm_train.sh gpu first \
    configs/infopro_deeplabv3_cityscapes.py work_dirs/first
TEXT
}

case "${1:-}" in
    -h | --help)
        usage
        exit 0
        ;;
esac
if [[ $# -lt 4 ]]; then
    usage >&2
    exit 2
fi

partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4
gpus_per_node=${GPUS_PER_NODE:-4}
gres=${GRES-gpu:$gpus_per_node}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"

srun_args=(
    --partition="$partition"
    --job-name="$job_name"
    --ntasks="${GPUS:-4}"
    --ntasks-per-node="$gpus_per_node"
    --cpus-per-task="${CPUS_PER_TASK:-5}"
    --kill-on-bad-exit=0  # at once it would end tasks that are about to end themselves,
    --wait=60             # with the status that says why
)
if [[ -n $gres ]]; then
    srun_args+=(--gres="$gres")
fi
signal=${SIGNAL-USR1@120}
if [[ -n $signal ]]; then
    srun_args+=(--signal="$signal")
fi
read -r -a more <<<"${SRUN_ARGS:-}"

# Slurm's warning goes to the processes, which save and end with the status 128 + 10.
warned=138
saved() { cat "$work_dir/last_checkpoint" 2>/dev/null || true; }
train() {
    srun "${srun_args[@]}" ${more[@]+"${more[@]}"} "${PYTHON:-python}" -u "$here/train.py" \
        "$config" --work-dir "$work_dir" --launcher slurm ${resume:+"$resume"} "$@"
}

# A batch job that was requeued runs its script again.
resume=
before=none
if [[ ${SLURM_RESTART_COUNT:-0} -gt 0 && -n $(saved) ]]; then
    resume=--resume
    before=$(saved)
fi
while true; do
    status=0
    train "$@" || status=$?
    if [[ $status -ne $warned || ${REQUEUE:-1} -ne 1 || $(saved) == "$before" ]]; then
        exit "$status"
    fi
    before=$(saved)
    if [[ -n ${SLURM_JOB_ID:-} ]]; then
        exec scontrol requeue "$SLURM_JOB_ID"
    fi
    echo 'the time was up: a new job resumes the run' >&2
    if [[ -n $before ]]; then
        resume=--resume
    fi
done
