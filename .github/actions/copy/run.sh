#!/usr/bin/env bash
# Runs frcopy with one argument a line. What the lines contain is never read by a shell.
set -euo pipefail

arguments=()
while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$'\r'}
    [ -z "$line" ] || arguments+=("$line")
done <<<"$FRCOPY_ARGUMENTS"
exec frcopy "${arguments[@]}"
