#!/usr/bin/env bash
# Every shell script of the project is clean for shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v shellcheck > /dev/null || { echo "FAIL: shellcheck is missing: apt-get install shellcheck (./dev setup does)" >&2; exit 1; }
mapfile -t scripts < <(find slurm tests -name node_modules -prune -o \( -name '*.sh' -o -name '*.sbatch' \) -print | sort)
scripts+=(dev .ci/run bench/run bench/scale/run bench/levels/run bench/protection/run bench/quality/run)
shellcheck "${scripts[@]}"
echo "${#scripts[@]} scripts are clean"
