#!/usr/bin/env python3
"""Put faults into the product, one at a time, and see that the model test finds each, or the test named below.

    python3 tests/faults/run.py             every patch beside this file, in a copy of the tree
    python3 tests/faults/run.py 3 7         only those whose name begins so
    python3 tests/faults/run.py --check     only see that they still apply

A fault that is found prints the shortest history that shows it; one that is not is a fault of the test.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Seconds that one fault may take, with what has to be built for it.
PATIENCE = 3600
# How many histories the model test may look through for one fault.
CASES = "4000"
# Those that show only when the store does several things at given moments, and what finds them instead.
ELSEWHERE = {
    "9-": (
        "durability",
        "store_faults::the_number_of_a_lost_event_that_is_kept_late_is_the_ends_and_sends_nothing_else",
    ),
}


def patches(wanted: list[str]) -> list[Path]:
    found = sorted(HERE.glob("*.patch"))
    return [p for p in found if not wanted or any(p.name.startswith(f"{w}-") for w in wanted)]


def apply(patch: Path, tree: Path, *more: str) -> bool:
    """Whether a patch applies; `tree` need not be a repository."""
    # Inside a repository, paths are seen from its root; outside there is none to find.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(["git", "apply", *more, str(patch)], cwd=tree, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{patch.name} does not apply:\n{done.stderr}", file=sys.stderr)
    return done.returncode == 0


def copied(to: Path) -> Path:
    tree = to / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def history(output: str) -> str:
    found = re.search(r"Test failed: (.*?)\n.*?minimal failing input: (.*?)\n\tsuccesses", output, re.S)
    if not found:
        return ""
    steps = " ".join(found[2].split())
    return f"{found[1].strip()}\n    {steps}"


def failure(output: str, name: str) -> str:
    """The line in which a test that is no model test says that it failed."""
    said = re.search(rf"^thread '{name}'.*\n(.+)$", output, re.M)
    return f"{name}: {said[1].strip()}" if said else ""


def found(patch: Path, tree: Path, target: Path) -> bool:
    if not apply(patch, tree):
        return False
    file, name = next((test for number, test in ELSEWHERE.items() if patch.name.startswith(number)), ("model", ""))
    command = ["cargo", "test", "--locked", "-p", "arcp-tests", "--test", file, *filter(None, [name])]
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "RUST_BACKTRACE": "0"}
    # More histories than in every run: some faults show in one of several hundred only.
    env.setdefault("PROPTEST_CASES", CASES)
    # A group of its own, so that a test that does not end goes with what started it.
    running = subprocess.Popen(
        command, cwd=tree, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = running.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        print(f"{patch.stem}: NOT FOUND, the test does not end", flush=True)
        return False
    finally:
        apply(patch, tree, "--reverse")
    shortest = failure(output, name) if name else history(output)
    if running.returncode != 0 and shortest:
        print(f"{patch.stem}: found\n    {shortest}", flush=True)
        return True
    print(f"{patch.stem}: NOT FOUND", flush=True)
    if running.returncode != 0:
        print(output[-2000:], file=sys.stderr)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help="the numbers of some of them")
    parser.add_argument("--check", action="store_true", help="only see that they apply")
    args = parser.parse_args()
    chosen = patches(args.faults)
    if not chosen:
        parser.error("there is no such fault")
    if args.check:
        applied = [apply(patch, ROOT, "--check") for patch in chosen]
        return 0 if all(applied) else 1
    # A folder of its own: cargo takes what was built from a copy for what it would build from here.
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "faults"
    with tempfile.TemporaryDirectory(prefix="arcp-faults-") as folder:
        tree = copied(Path(folder))
        outcomes = [found(patch, tree, target) for patch in chosen]
    print(f"{sum(outcomes)} of {len(outcomes)} faults found")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
