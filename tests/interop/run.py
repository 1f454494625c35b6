#!/usr/bin/env python3
"""Drive our server with the Python SDK's client and with a plain WebSocket client.

    python3 tests/interop/run.py target/debug/arcp
    python3 tests/interop/run.py target/debug/arcp --also-not-yet
    python3 tests/interop/run.py target/debug/arcp --server actix

Starts the given binary twice, with the agents of CONTRACT.md: once with its own heartbeat interval,
once with one of a second for the scenarios that wait for heartbeats. Runs every scenario of
drive_foreign_runtime.py that not-yet.txt does not list, and fails unless each of them passes: a
scenario that was skipped, or of which there is no line, has not passed.

Makes a virtual environment in .venv beside this file when there is none. Needs Python 3.11 or later.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
DRIVER = HERE / "drive_foreign_runtime.py"
REQUIREMENTS = HERE / "requirements.txt"

# These wait for the server's pings, so the server has to send them often.
HEARTBEATS = ["heartbeat_server", "heartbeat_lost"]
# Credentials are given to clients only where a store outlives the process.
DURABLE = ["credentials", "credential_rotated"]
SERVE = ["serve", "--demo-agents", "--port", "0", "--token", "secret", "--token", "secret-b"]
URL = re.compile(r"ws://[^\s\"']+/arcp")
RESULT = re.compile(r"(PASS|FAIL|SKIP|XFAIL|XPASS)\s+\w+/(\w+)\s")

START_S = 30
DRIVER_S = 900


def environment() -> None:
    """Makes the virtual environment and installs the requirements, once."""
    done = VENV / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if PYTHON.exists() and done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    if VENV.exists():
        shutil.rmtree(VENV)
    make = [sys.executable, "-m", "venv", str(VENV)]
    if subprocess.run(make, check=False).returncode != 0:
        # Debian keeps ensurepip, which `venv` needs, in a package of its own.
        if os.geteuid() != 0:
            sys.exit("python -m venv failed; install the package python3-venv")
        shutil.rmtree(VENV, ignore_errors=True)
        apt = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=apt)
        subprocess.run(["apt-get", "install", "-qy", "python3-venv"], check=True, env=apt)
        subprocess.run(make, check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=True)
    done.write_text(wanted, encoding="utf-8")


@contextlib.contextmanager
def server(binary: str, *more: str) -> Iterator[str]:
    """A running server, by its URL. It is stopped whatever happens."""
    with tempfile.TemporaryFile() as log:
        proc = subprocess.Popen([binary, *SERVE, *more], stdout=subprocess.PIPE, stderr=log, text=True)
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            # To the end, so that the server never waits for us to read.
            for line in proc.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            yield url_of(lines, log)
        finally:
            proc.terminate()
            try:
                proc.wait(10)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()


def url_of(lines: queue.Queue[str | None], log) -> str:
    """The URL in the first line that has one."""
    end = time.monotonic() + START_S
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            sys.exit("the server printed no line with ws://.../arcp")
        if found := URL.search(line):
            return found[0]


def drive(url: str, names: list[str]) -> dict[str, str]:
    """Runs scenarios, prints the driver's lines, and returns each one's outcome."""
    if not names:
        return {}
    command = [str(PYTHON), str(DRIVER), "--url", url, "--token", "secret", "--only", ",".join(names)]
    proc = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    late = threading.Timer(DRIVER_S, proc.kill)
    late.start()
    outcomes = {}
    try:
        for line in proc.stdout:
            print(line, end="", flush=True)
            if found := RESULT.match(line):
                outcomes[found[2]] = found[1]
        proc.wait()
    finally:
        late.cancel()
        proc.kill()
        proc.wait()
    return outcomes


def scenarios() -> list[str]:
    """Every scenario that the driver knows."""
    out = subprocess.run([str(PYTHON), str(DRIVER), "--list"], check=True, stdout=subprocess.PIPE, text=True)
    return [line.split()[1] for line in out.stdout.splitlines()]


def not_yet(known: list[str]) -> list[str]:
    """The scenarios that are not expected to pass; each must exist."""
    lines = (HERE / "not-yet.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if strange := sorted(set(names) - set(known)):
        sys.exit(f"not-yet.txt lists unknown scenarios: {', '.join(strange)}")
    return names


def over(binary: str, host: str, store: str, names: list[str]) -> dict[str, str]:
    """Runs scenarios against servers with a store: the heartbeat ones against one of their own."""
    print(f"# --server {host} --store {store.split(':')[0]}")
    beating = [name for name in names if name in HEARTBEATS]
    with server(binary, "--server", host, "--store", store) as url:
        outcomes = drive(url, [name for name in names if name not in HEARTBEATS])
    if beating:
        with server(binary, "--server", host, "--store", store, "--heartbeat", "1") as url:
            outcomes |= drive(url, beating)
    return outcomes


def main() -> int:
    ap = argparse.ArgumentParser(description="Drive our server with the Python SDK's client.")
    ap.add_argument("binary", help="the arcp binary")
    ap.add_argument("--also-not-yet", action="store_true",
                    help="also run the scenarios of not-yet.txt; they fail nothing")
    ap.add_argument("--server", default="axum", choices=["axum", "actix", "hyper"],
                    help="the host; what is not axum is driven with the store that lasts only")
    a = ap.parse_args()
    # Leave through `finally`, where the children are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environment()

    known = scenarios()
    later = not_yet(known)
    expected = [name for name in known if name not in later]
    hopeful: dict[str, str] = {}
    failed = []
    tried = 0
    with tempfile.TemporaryDirectory() as folder:
        lasting = f"sqlite:{folder}/arcp.db"
        for store in ["memory", lasting] if a.server == "axum" else [lasting]:
            here = [name for name in expected if store != "memory" or name not in DURABLE]
            outcomes = over(a.binary, a.server, store, here)
            tried += len(here)
            failed += [(name, store, outcomes.get(name, "no line"))
                       for name in here if outcomes.get(name) != "PASS"]
        if a.also_not_yet:
            print("# not expected to pass yet")
            hopeful = over(a.binary, a.server, f"sqlite:{folder}/later.db", later)

    if now := [name for name, outcome in hopeful.items() if outcome == "PASS"]:
        print(f"# not expected to pass, and did: {' '.join(now)}")
    for name, store, outcome in failed:
        print(f"# did not pass: {name} with {store.split(':')[0]} ({outcome})")
    print(f"{tried - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
