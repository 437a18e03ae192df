# Sourced by the batch scripts: one command as this job's step, and what SLURM's limits ask for around it.
# The variables LLM_QUANTIZE, LAUNCH, MAX_RESTARTS and CONTINUE are described in README.md.
# shellcheck shell=bash
interrupted=75   # the program's code: stopped by USR1 with a checkpoint
program=${LLM_QUANTIZE:-llm-quantize}
launcher=${LAUNCH:-mpirun}
max_restarts=${MAX_RESTARTS:-20}
restarts=${SLURM_RESTART_COUNT:-0}
go_on='submit it again'
# The program's threads are its own. Where a site binds OpenMP, they would all inherit the one core of the first.
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK OMP_PROC_BIND=false

say() { printf '[slurm] %s\n' "$*" >&2; }

case $launcher in
  # A mapping in the environment wins over "each rank its cores".
  mpirun)
    export OMPI_MCA_rmaps_base_mapping_policy=${OMPI_MCA_rmaps_base_mapping_policy:-slot:PE=$SLURM_CPUS_PER_TASK}
    launch=(mpirun -n "$SLURM_NTASKS") ;;
  # Since 22.05 srun does not take --cpus-per-task from sbatch. --wait: when a rank was killed, the others may wait for
  # it no longer than this.
  srun) launch=(srun --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK" --wait=60) ;;
  *) say "LAUNCH=$launcher is neither mpirun nor srun"; exit 2 ;;
esac

# What --mem gives a rank; the program itself sees the node's memory only. 80 %: it counts its arrays, not MPI's buffers.
memory=()
ranks_here=${SLURM_TASKS_PER_NODE%%[^0-9]*}   # "8(x2)" on two nodes
if [ -n "${SLURM_MEM_PER_NODE:-}" ] && [[ " $* " != *' --mem-per-rank'* ]]; then
  memory=(--mem-per-rank "$((SLURM_MEM_PER_NODE * 8 / 10 / ranks_here))MiB")
fi

# SLURM signals this shell (--signal=B:USR1@...), the ranks must hear it. mpirun and srun lose a signal that comes before
# their ranks are up, so it is repeated until the step ends; to the program, twice is the same as once.
asked='' woken='' step=''
forward() { while kill -USR1 "$step" 2> /dev/null; do sleep 10; done & }
on_usr1() {
  [ -n "$asked" ] || say "USR1: time is nearly up, asking for a checkpoint"
  [ -n "$asked" ] || [ -z "$step" ] || forward
  asked=yes woken=yes
}
trap on_usr1 USR1

# run_job ARGS...: the program on all ranks. Ends this script with the program's code, or requeues the job.
run_job() {
  local code
  say "job $SLURM_JOB_ID, restart $restarts: $launcher, $SLURM_NTASKS ranks x $SLURM_CPUS_PER_TASK threads on $SLURM_JOB_NODELIST"
  "${launch[@]}" "$program" "${memory[@]}" "$@" &
  step=$!
  [ -z "$asked" ] || forward
  # A trap ends `wait` early; the step's code is what `wait` gives undisturbed.
  while woken='' code=0; wait "$step" || code=$?; [ -n "$woken" ]; do :; done
  # A rank that does not listen yet dies of the signal (128 + 10); the last checkpoint stands.
  [ -z "$asked" ] || [ $code != 138 ] || code=$interrupted
  [ $code = $interrupted ] || exit $code
  if [ "$restarts" -lt "$max_restarts" ]; then
    say "interrupted, requeue: restart $((restarts + 1)) of at most $max_restarts"
    scontrol requeue "$SLURM_JOB_ID" && exit $interrupted
  else
    say "interrupted, and $restarts restarts were enough (MAX_RESTARTS)"
    scontrol hold "$SLURM_JOB_ID" || true   # where slurm.conf has RequeueExit=75 the job stays held, elsewhere it ends
  fi
  say "to go on: $go_on"
  exit $interrupted
}

# run_resumable ARGS...: the same, continuing from this job's checkpoint if there is one. A requeued job keeps its id: it
# finds its own checkpoint again and nobody else's.
run_resumable() {
  local owner=${CONTINUE:-$SLURM_JOB_ID} resume=()
  if [[ " $* " == *' --resume'* || " $* " == *' --checkpoint-dir'* ]]; then
    say "a requeued job could not find that checkpoint: use LLM_QUANTIZE_CHECKPOINT_DIR or CONTINUE=JOB"
    exit 2
  fi
  export LLM_QUANTIZE_CHECKPOINT_DIR=${LLM_QUANTIZE_CHECKPOINT_DIR:-.checkpoint}-slurm-$owner
  ! compgen -G "$LLM_QUANTIZE_CHECKPOINT_DIR/*/job.json" > /dev/null || resume=(--resume "$LLM_QUANTIZE_CHECKPOINT_DIR")
  go_on="CONTINUE=$owner sbatch ..."
  run_job "$@" "${resume[@]}"
}
