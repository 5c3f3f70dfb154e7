#!/usr/bin/env bash
# Downloads a release of frcopy, verifies its checksum, and adds it to the PATH of the later steps.
set -euo pipefail

fail() {
    echo "::error title=frcopy::$1"
    exit 1
}

case "$RUNNER_OS-$RUNNER_ARCH" in
    Linux-X64) target=x86_64-unknown-linux-musl ;;
    Linux-ARM64) target=aarch64-unknown-linux-musl ;;
    macOS-X64) target=x86_64-apple-darwin ;;
    macOS-ARM64) target=aarch64-apple-darwin ;;
    Windows-X64) target=x86_64-pc-windows-msvc ;;
    Windows-ARM64) target=aarch64-pc-windows-msvc ;;
    *) fail "frcopy has no release for $RUNNER_OS on $RUNNER_ARCH" ;;
esac
[[ $FRCOPY_VERSION =~ ^[0-9A-Za-z.+-]+$ ]] || fail "$FRCOPY_VERSION is not a version: give one such as 0.1.0"
name=frcopy-${FRCOPY_VERSION#v}-$target
case "$target" in
    *windows*) archive=$name.zip ;;
    *) archive=$name.tar.gz ;;
esac

folder=$RUNNER_TEMP/$name
mkdir -p "$folder"
cd "$folder"
download() {
    curl --fail --silent --show-error --location --proto '=https' --retry 3 --output "$1" \
        "$FRCOPY_RELEASES/v${FRCOPY_VERSION#v}/$1" || fail "$1 of frcopy ${FRCOPY_VERSION#v} cannot be downloaded"
}
download "$archive"
if [ -n "$FRCOPY_SHA256" ]; then
    expected=$FRCOPY_SHA256
else
    download SHA256SUMS
    expected=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' SHA256SUMS)
fi
if command -v sha256sum >/dev/null; then
    actual=$(sha256sum "$archive" | cut -d ' ' -f 1)
else
    actual=$(shasum -a 256 "$archive" | cut -d ' ' -f 1)
fi
[ "$actual" = "$expected" ] || fail "$archive has the checksum $actual, expected ${expected:-one in SHA256SUMS}"

case "$archive" in
    *.zip) unzip -q -o "$archive" ;;
    *) tar -xzf "$archive" ;;
esac
echo "$folder/$name" >>"$GITHUB_PATH"
