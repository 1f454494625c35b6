#!/usr/bin/env bash
# What is looked at before a release, and takes too long for every change: tests/release.sh [step...]
#
# Each step says which tool it needs; one that is missing is a failure here, and not skipped.
#
#   features   every feature by itself, and none           cargo install cargo-hack
#   msrv       the oldest toolchain that is promised       rustup toolchain install 1.89
#   minimal    the oldest versions of direct dependencies  rustup toolchain install nightly
#   deny       licences, advisories, doubled crates        cargo install cargo-deny
#   semver     what the last release promised              cargo install cargo-semver-checks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

features() {
    cargo hack check --locked --workspace --each-feature
}

msrv() {
    local oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    cargo "+$oldest" check --locked --workspace --all-features
}

# In a copy: the lock file is for the newest versions.
minimal() {
    local copy
    copy=$(mktemp -d)
    git ls-files -z | xargs -0 cp --parents -t "$copy"
    (
        cd "$copy"
        cargo +nightly update -Z direct-minimal-versions
        cargo check --workspace --all-features --target-dir target
    )
    rm -rf "$copy"
}

deny() {
    cargo deny --locked --all-features check
}

# There is nothing to compare with before the first release.
semver() {
    local last
    last=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
    if [ -z "$last" ]; then
        echo 'no release yet: nothing is promised'
        return
    fi
    cargo semver-checks --workspace --baseline-rev "$last"
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(features msrv minimal deny semver)
for step in "${steps[@]}"; do
    case $step in
    features | msrv | minimal | deny | semver)
        printf '\n== %s\n' "$step"
        "$step"
        ;;
    *)
        sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'
        exit 2
        ;;
    esac
done
