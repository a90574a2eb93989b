#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM CORPUS: fuzz for FUZZ_SECONDS (default 10) of CPU time, however busy the machine is. What it finds is kept
# beside the program: PROGRAM.new/ (inputs that reach more), PROGRAM.crash-* (inputs that fail: fix, then into the corpus).
# An input is too slow at 10 s, which are wall time: scripts/test runs this beside other tests, and they go first.
set -eu
mkdir -p "$1.new"
left=${FUZZ_SECONDS:-10}
end=$left
rounds=0
while [ "$left" -gt 0 ] && [ "$rounds" -lt 5 ]; do
	rounds=$((rounds + 1))
	"$1" -max_total_time="$left" -timeout=10 -max_len=4096 -print_final_stats=1 -artifact_prefix="$1.crash-" "$1.new" "$2"
	# The second line is what the children took, like "0m9.870000s 0m0.120000s". A second is less than a start takes.
	times >"$1.times"
	left=$(awk -v end="$end" 'NR == 2 { gsub(/[ms]/, " "); print int(end - 60 * ($1 + $3) - $2 - $4) }' "$1.times")
done
