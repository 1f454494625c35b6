#!/usr/bin/env python3
"""Host the Python SDK's runtime as agents of our server, over standard input and output.

    python3 tests/interop/stdio.py target/debug/arcp

`arcp serve --agent NAME='python stdio_agents.py'` starts it, and `arcp submit` gives it jobs; then
`arcp submit --command` talks to it without a server of ours. Uses the virtual environment of run.py.
"""
from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

from run import HERE, PYTHON, environment, url_of

AGENTS = ["kinds", "spender", "chunks", "slow", "fails", "prints", "dies"]
KINDS = ["log", "thought", "status", "metric", "tool_call", "tool_result", "artifact_ref", "progress",
         "x-vendor.acme.note"]
TOKEN = {**os.environ, "ARCP_TOKEN": "secret"}
PROGRAM = shlex.join([str(PYTHON), str(HERE / "stdio_agents.py")])

failed: list[str] = []
passed = 0


def check(name: str, holds: bool, said: object) -> None:
    global passed
    print(f"{'PASS' if holds else 'FAIL'}  {name}", flush=True)
    if holds:
        passed += 1
    else:
        failed.append(name)
        print(f"      {said}")


def submit(binary: str, where: list[str], agent: str, given: object, *more: str) -> tuple[int, list[dict]]:
    """A job's exit code, its events, and its end as the last of them."""
    command = [binary, "submit", *where, "--agent", agent, "--input", json.dumps(given), "--json", "--stream", *more]
    done = subprocess.run(command, env=TOKEN, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def jobs(binary: str, where: list[str]) -> None:
    code, said = submit(binary, where, "kinds", {"a": [1, "é"]})
    check("every kind of event arrives, in order", [e.get("kind") for e in said[:-1]] == KINDS, said)
    check("the result is the agent's", code == 0 and said[-1]["result"] == {"given": {"a": [1, "é"]}}, said)
    code, said = submit(binary, where, "fails", None)
    check("an error is the job's error", code == 10 and "not today" in said[-1]["error"]["message"], said)


def hosted(binary: str, where: list[str], log) -> None:
    lease = json.dumps({"tool.call": ["search"], "cost.budget": ["USD:1.00"]})
    code, said = submit(binary, where, "spender", {"step": "0.4"}, "--lease", lease)
    left = [e["body"]["value"] for e in said if e.get("body", {}).get("name") == "cost.budget.remaining"]
    check("its costs are charged to the job", code == 0 and left == [0.6, 0.2, -0.2], said)
    check("its lease ends where the job's does", said[-1]["result"] == {"calls": 3, "ended": "BUDGET_EXHAUSTED"}, said)
    code, said = submit(binary, where, "kinds", None, "--lease", '{"fs.read": ["/a/**"]}')
    check("grants are passed on", code == 0, said)

    wanted = "".join(f"piece {n}\n" for n in range(5))
    done = subprocess.run([binary, "submit", *where, "--agent", "chunks", "--input", '{"count": 5}'],
                          env=TOKEN, capture_output=True, text=True, timeout=120, check=False)
    check("a streamed result is streamed", done.stdout.strip() == wanted.strip() and "result_chunk" in done.stderr, done)

    running = subprocess.Popen([binary, "submit", *where, "--agent", "slow", "--json", "--stream"],
                               env=TOKEN, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    first = json.loads(running.stdout.readline())
    running.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, _ = running.communicate(timeout=60)
    check("a cancellation reaches it", running.returncode == 11 and time.monotonic() - begun < 20, [first, out])

    code, said = submit(binary, where, "prints", None)
    log.seek(0)
    logged = log.read().decode(errors="replace")
    lines = ["a line that is no frame", "JSON that is no frame", "and one for standard error"]
    check("what is no frame is logged, and ends nothing",
          code == 0 and said[-1]["result"] == "printed" and all(line in logged for line in lines), logged)

    for which in ["one that dies ends its job", "and the next one is another"]:
        code, said = submit(binary, where, "dies", None)
        held = code == 10 and said[0]["body"]["message"] == "the last words" and said[-1]["error"]["retryable"]
        check(which, held, said)


def main() -> int:
    binary = os.path.abspath(sys.argv[1])
    environment()
    with tempfile.TemporaryFile() as log:
        agents = [word for name in AGENTS for word in ("--agent", f"{name}={PROGRAM}")]
        command = [binary, "serve", "--port", "0", "--store", "memory", "--token", "secret", *agents]
        serve = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            import queue

            lines: queue.Queue[str | None] = queue.Queue()
            lines.put(serve.stdout.readline())
            where = ["--url", url_of(lines, log)]
            jobs(binary, where)
            hosted(binary, where, log)
        finally:
            serve.terminate()
            code = serve.wait(30)
        check("the server ends, and its programs with it", code == 0, code)
    print("# without a server of ours")
    jobs(binary, ["--command", PROGRAM])
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
