#!/usr/bin/env bash
# Two hosts of the test's own: network, mount, host name and shared memory of their own, joined by one cable. Nothing
# may assume one node: same bytes as on one machine, also where the hosts share no directory (--assemble gather).
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] && unshare --net --mount --uts --ipc true 2> /dev/null ||
  { echo "SKIP: making hosts needs root and namespaces"; exit 77; }

hosts=()
make_host() {   # make_host NAME ADDRESS: its process is the last of ${hosts[@]}
  unshare --net --mount --uts --ipc sleep 600 &
  hosts+=($!)
  for _ in $(seq 100); do [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break; sleep 0.02; done
}
in_host() { local pid=${hosts[$1]}; shift; nsenter -t "$pid" --net --mount --uts --ipc "$@"; }
trap 'kill "${hosts[@]}" 2> /dev/null; rm -rf "$work"' EXIT

make_host; make_host
ip link add "lq$$a" type veth peer name "lq$$b"
ip link set "lq$$a" netns "${hosts[0]}"
ip link set "lq$$b" netns "${hosts[1]}"
mkdir private
for host in 0 1; do
  in_host $host sh -ec "
    hostname llmq-host-$host
    ip link set lo up
    ip link set lq$$$([ $host = 0 ] && echo a || echo b) name cable up
    ip addr add 10.77.0.$((host + 1))/24 dev cable
    mount -t tmpfs tmpfs /dev/shm
    mount -t tmpfs tmpfs $work/private
    cp -r $model $text $work/private/"
done
for _ in $(seq 100); do in_host 0 ip link show cable | grep 'state UP' > /dev/null && break; sleep 0.05; done

# The launcher's way to another host: no ssh, the namespaces are at hand.
cat > agent.sh <<AGENT
#!/bin/sh
case \$1 in *.1) pid=${hosts[0]} ;; *) pid=${hosts[1]} ;; esac
shift
exec nsenter -t \$pid --net --mount --uts --ipc sh -c "cd $work && \$*"
AGENT
chmod +x agent.sh
on_hosts() {   # on_hosts RANKS_A_HOST ARGS...
  local ranks=$1; shift
  in_host 0 mpirun --host "10.77.0.1:$ranks,10.77.0.2:$ranks" -n $((2 * ranks)) --map-by slot --wdir "$work" \
    --mca plm_rsh_agent "$work/agent.sh" --mca plm_rsh_no_tree_spawn 1 \
    --mca btl self,vader,tcp --mca btl_tcp_if_include cable --mca oob_tcp_if_include cable \
    "$LLMQ_BIN" --threads 1 --verbosity quiet "$@"
}

on 1 --threads 1 analyze "$model" -o one.imatrix "${few[@]}" > /dev/null
on 1 --threads 1 quantize "$model" gguf -q Q4_K_M --imatrix one.imatrix -n one > /dev/null

# Directories shared, nothing else.
on_hosts 1 --format json analyze "$model" -o two.imatrix "${few[@]}" --checkpoint-interval 0 > two.json
grep -q '"node": 1' two.json || { cat two.json; fail "the ranks were not on two nodes"; }
same one.imatrix two.imatrix
on_hosts 1 analyze "$model" -o layers.imatrix "${few[@]}" --layer-groups 2 > /dev/null
same one.imatrix layers.imatrix
on_hosts 2 quantize "$model" gguf -q Q4_K_M --imatrix one.imatrix -n two > /dev/null
same one.gguf two.gguf
on_hosts 1 --format json quality report "$model" two.gguf --text "$text" --ctx 64 > two-quality.json
on 1 --format json quality report "$model" one.gguf --text "$text" --ctx 64 > one-quality.json
[ "$(grep kld_mean one-quality.json)" = "$(grep kld_mean two-quality.json)" ] || fail "quality depends on the hosts"

# Nothing shared: the model stands on both hosts, the output on rank 0's alone.
own=$work/private/pebble
own_text=(--calibration-data "$work/private/story.txt" "${few[@]:2}")
on_hosts 1 analyze "$own" -o "$work/private/own.imatrix" "${own_text[@]}" --no-checkpoints > /dev/null
code=0; on_hosts 1 analyze "$own" -o "$work/private/own.imatrix" "${own_text[@]}" --checkpoint-dir "$work/private/cp" > /dev/null 2> err.txt || code=$?
[ $code = 7 ] && grep -q 'does not see' err.txt || { cat err.txt; fail "a checkpoint directory that is not shared gave $code"; }
in_host 0 cat "$work/private/own.imatrix" > own.imatrix
same one.imatrix own.imatrix
in_host 1 sh -c "[ ! -e $work/private/own.imatrix ]" || fail "rank 1 wrote a file of its own"
in_host 0 cat "$work/private/own.imatrix" | in_host 1 sh -c "cat > $work/private/own.imatrix"
code=0; on_hosts 1 quantize "$own" gguf -q Q4_K_M --imatrix "$work/private/own.imatrix" -o "$work/private" --no-checkpoints > /dev/null 2> err.txt || code=$?
[ $code = 1 ] && grep -q -- '--assemble gather' err.txt || { cat err.txt; fail "an output that is not shared gave $code"; }
on_hosts 2 quantize "$own" gguf -q Q4_K_M --imatrix "$work/private/own.imatrix" -o "$work/private" -n own --assemble gather > /dev/null
in_host 0 cat "$work/private/own.gguf" > own.gguf
same one.gguf own.gguf
in_host 1 sh -c "[ ! -e $work/private/own.gguf ]" || fail "host 1 has a file"
dynamic=(quantize "$own" gguf -q dynamic --target-bpw 3 --imatrix "$work/private/own.imatrix" --calibration-data "$work/private/story.txt")
on_hosts 1 "${dynamic[@]}" -o "$work/private" -n own-dynamic --assemble gather --checkpoint-dir "$work/private/cp" > /dev/null
in_host 0 cat "$work/private/own-dynamic.gguf" > two-dynamic.gguf
on 1 quantize "$model" gguf -q dynamic --target-bpw 3 --imatrix own.imatrix --calibration-data "$text" -n one-dynamic > /dev/null
same one-dynamic.gguf two-dynamic.gguf

# A hub's cache on both hosts, then on rank 0's alone.
commit=0123456789abcdef0123456789abcdef01234567
export HF_HUB_CACHE=$work/private/hub HF_HUB_OFFLINE=1
for host in 0 1; do
  in_host $host sh -ec "cd $work/private && mkdir -p hub/models--acme--pebble/refs hub/models--acme--pebble/snapshots
    printf $commit > hub/models--acme--pebble/refs/main
    cp -r $model hub/models--acme--pebble/snapshots/$commit"
done
from_hub=(quantize acme/pebble gguf -q Q4_K_M --imatrix one.imatrix)
on_hosts 1 "${from_hub[@]}" -n from-hub > /dev/null
same one.gguf from-hub.gguf
in_host 1 rm -r "$work/private/hub"
code=0; on_hosts 1 "${from_hub[@]}" -n nowhere > /dev/null 2> err.txt || code=$?
[ $code = 3 ] && grep -q 'rank 1 does not see the files of acme/pebble' err.txt || { cat err.txt; fail "a cache that is not shared gave $code"; }
[ ! -e nowhere.gguf ] || fail "written without the model"
unset HF_HUB_CACHE HF_HUB_OFFLINE

# A node with other weights is found out before work starts.
in_host 1 sh -c "printf 'XX' | dd of=$own/model.safetensors bs=1 seek=$(header_bytes "$model/model.safetensors") conv=notrunc status=none"
code=0; on_hosts 1 quantize "$own" gguf -q Q8_0 -o "$work/private" -n other --assemble gather > /dev/null 2> err.txt || code=$?
[ $code = 6 ] && grep -q 'model differs' err.txt || { cat err.txt; fail "another model on one node gave $code"; }
echo "two hosts give the bytes of one"
