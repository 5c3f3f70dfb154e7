#!/usr/bin/env bash
# Runs frcopy with one argument per line. No shell interprets the lines.
set -euo pipefail

arguments=()
while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$'\r'}
    [ -z "$line" ] || arguments+=("$line")
done <<<"$FRCOPY_ARGUMENTS"
exec frcopy "${arguments[@]}"
