# A SLURM of one node in a scratch directory: munged, slurmctld and slurmd of this script alone, with their own key,
# sockets, ports and state; nothing in /etc, /var or /run is read or written. Then jobs, and what became of them.
# shellcheck shell=bash disable=SC2034  # variables for the tests that source it
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../slurm" && pwd)
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"
cluster=$work/cluster
cluster_cpus=16   # what the node claims to have (config_overrides): several jobs of 4 ranks at once on any machine

PATH=$PATH:/usr/sbin:/sbin

skip() { echo "SKIPPED: $*"; exit 77; }
[ -z "${LLMQ_NO_SLURM:-}" ] || skip "LLMQ_NO_SLURM is set"
[ "$(id -u)" = 0 ] || skip "only root can bring up a SLURM here: nothing about SLURM was tested"
for program in munged slurmctld slurmd sbatch srun; do
  command -v $program > /dev/null ||
    fail "$program is missing: apt-get install slurm-wlm munge (./dev setup does), or set LLMQ_NO_SLURM=1 to go without"
done

# free_ports COUNT: a run of ports nobody listens on. Other clusters of this kind may run on this machine.
free_ports() {
  local base port busy
  for _ in $(seq 50); do
    base=$((20000 + RANDOM % 20000)) busy=
    for port in $(seq $base $((base + $1 - 1))); do
      if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then busy=1; break; fi
    done
    [ -n "$busy" ] || { echo $base; return 0; }
  done
  fail "no free ports"
}

# A daemon's process, from the file it wrote; empty when it has gone.
daemon_pid() { [ -s "$cluster/$1.pid" ] && kill -0 "$(cat "$cluster/$1.pid")" 2> /dev/null && cat "$cluster/$1.pid"; }
end_daemon() {
  local pid
  pid=$(daemon_pid "$1") || return 0
  kill "$pid" 2> /dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid" 2> /dev/null || true
}
stop_cluster() {
  [ -d "$cluster" ] || return 0
  # Jobs first: their step daemons would outlive slurmd.
  if daemon_pid slurmctld > /dev/null; then
    timeout 10 scancel --quiet --state=PENDING --user=root || true
    timeout 10 scancel --quiet --signal=KILL --full --user=root || true
    for _ in $(seq 50); do [ -n "$(timeout 10 squeue --noheader --states=RUNNING,COMPLETING 2> /dev/null)" ] || break; sleep 0.2; done
  fi
  local daemon
  for daemon in slurmd slurmctld munged; do end_daemon $daemon; done
}

# A killed script, as at a test's timeout, runs no trap: the daemons and stopped ranks would stay for good.
watch_over() {
  trap '' INT TERM HUP
  trap - EXIT
  while kill -0 $$ 2> /dev/null; do
    [ -d "$cluster" ] || return 0
    sleep 1
  done
  stop_cluster
  rm -rf "$work"
}

write_configuration() {
  local ports node
  ports=$(free_ports 120)
  node=$(hostname -s)
  cat > "$cluster/slurm.conf" << CONF
ClusterName=scratch
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$ports
SlurmdPort=$((ports + 1))
SrunPortRange=$((ports + 2))-$((ports + 59))
MpiDefault=pmix
MpiParams=ports=$((ports + 60))-$((ports + 119))
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits as long as a credential lives: two minutes by default.
AuthInfo=socket=$cluster/munge.socket,cred_expire=6
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cluster_cpus RealMemory=1000000 State=UNKNOWN
PartitionName=batch Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
  printf 'CgroupAutomount=no\n' > "$cluster/cgroup.conf"
}

# Returns when the node is idle.
start_cluster() {
  mkdir -p "$cluster/state" "$cluster/spool"
  export SLURM_CONF=$cluster/slurm.conf
  chmod 755 "$work"   # munged wants its socket reachable
  trap 'code=$?; stop_cluster; rm -rf "$work"; exit $code' EXIT
  trap 'exit 1' INT TERM HUP
  (watch_over > /dev/null 2>&1 &)   # nobody's child: not killed together with this script
  write_configuration
  (umask 077; head -c 1024 /dev/urandom > "$cluster/munge.key")
  # --force: a scratch directory may lie below one that others can write, which munged refuses for its log.
  munged --force --key-file="$cluster/munge.key" --socket="$cluster/munge.socket" --pid-file="$cluster/munged.pid" \
    --log-file="$cluster/munged.log" --seed-file="$cluster/munged.seed" > "$cluster/munged.out" 2>&1 ||
    { cat "$cluster/munged.out"; fail "munged does not start"; }
  slurmctld -f "$SLURM_CONF" || { cat "$cluster/slurmctld.log"; fail "slurmctld does not start"; }
  slurmd -f "$SLURM_CONF" -N "$(hostname -s)" || { cat "$cluster/slurmd.log"; fail "slurmd does not start"; }
  for _ in $(seq 600); do
    [ "$(timeout 10 sinfo --noheader --format=%T 2> /dev/null)" = idle ] && return 0
    sleep 0.1
  done
  cat "$cluster/slurmctld.log" "$cluster/slurmd.log"
  fail "the node never became idle"
}

# --- jobs
export LLM_QUANTIZE=$LLMQ_BIN

# submit NAME SBATCH_OPTION... -- SCRIPT ARGS...: 4 ranks in the directory ./NAME, log NAME/log; $job is the id.
submit() {
  local name=$1 options=() script; shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  script=$2; shift 2
  mkdir -p "$name"
  job=$(sbatch --parsable --chdir="$PWD/$name" --output=log --ntasks=4 --cpus-per-task=1 --mem=4G "${options[@]}" \
    "$scripts/$script.sbatch" "$@") || fail "sbatch refused $name"
}
# field JOB KEY: of scontrol's description of a job
field() { timeout 60 scontrol -o show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }
# wait_for_log NAME PATTERN
wait_for_log() { until grep -qs -e "$2" "$1/log"; do sleep 0.05; done; }
wait_for_end() {
  while :; do
    case $(field "$1" JobState) in
      COMPLETED|FAILED|TIMEOUT|CANCELLED|NODE_FAIL|OUT_OF_MEMORY|BOOT_FAIL) return 0 ;;
    esac
    sleep 0.2
  done
}
# ended NAME JOB STATE CODE RESTARTS: how a job must end; RESTARTS is a number or "some"
ended() {
  local state code restarts
  wait_for_end "$2"
  state=$(field "$2" JobState) code=$(field "$2" ExitCode) restarts=$(field "$2" Restarts)
  if [ "$5" = some ] && [ "$restarts" -gt 0 ]; then restarts=some; fi
  [ "$state $code $restarts" = "$3 $4 $5" ] ||
    { cat "$1/log"; fail "$1: state $state, code $code, restarts $restarts; wanted $3 $4 $5"; }
}
logged() { grep -q -e "$2" "$1/log" || { cat "$1/log"; fail "$1: the log lacks \"$2\""; }; }

# ranks_in NAME: processes of the program in a job's directory
ranks_in() {
  local pid
  for pid in $(pgrep -x "$(basename "$LLMQ_BIN")"); do
    if [ "$(readlink "/proc/$pid/cwd")" = "$PWD/$1" ]; then echo "$pid"; fi
  done
}
# freeze NAME, thaw NAME: a job that stands still cannot end before its signal comes, however fast the machine.
freeze() { ranks_in "$1" | xargs -r kill -STOP; }
thaw() { ranks_in "$1" | xargs -r kill -CONT; }
