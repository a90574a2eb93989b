#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM CORPUS: fuzz for FUZZ_SECONDS (default 10). What it finds is kept beside the program:
# PROGRAM.new/ (inputs that reach more), PROGRAM.crash-* (inputs that fail: fix, then into the corpus).
set -eu
mkdir -p "$1.new"
exec "$1" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=5 -max_len=4096 -print_final_stats=1 \
	-artifact_prefix="$1.crash-" "$1.new" "$2"
