#!/usr/bin/env python3
"""Write CONFORMANCE.md: what the tests show, by the sections of the specification.

    python3 tests/conformance.py            write the page
    python3 tests/conformance.py --check    fail if the page is not what would be written

Runs no test. The names of the Rust tests are read as sentences; a table below says which section the
tests of a file belong to. The scenarios of the interoperability driver are listed as well, those that
pass and those of tests/interop/not-yet.txt that do not yet.
"""
from __future__ import annotations

import argparse
import ast
import difflib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONFORMANCE.md"
DRIVER = ROOT / "tests/interop/drive_foreign_runtime.py"
NOT_YET = ROOT / "tests/interop/not-yet.txt"

# The load generator measures, and the crash test kills; what tests they have are their own.
CRATES = ["arcp-*", "examples", "tests"]
LEFT_OUT = ["tests/bench/", "tests/crash/", "tests/interop/"]

SECTIONS = {
    "4": "Transport",
    "5": "Wire format",
    "6.1": "Authentication",
    "6.2": "Hello and welcome",
    "6.3": "Resume",
    "6.4": "Heartbeats",
    "6.5": "Event acknowledgement",
    "6.6": "Job listing",
    "6.7": "Close",
    "6": "Sessions, as a whole",
    "7.1": "Submission and acceptance",
    "7.2": "Idempotency",
    "7.3": "Life cycle",
    "7.4": "Cancellation",
    "7.5": "Agent versions",
    "7.6": "Subscription",
    "7": "Jobs, as a whole",
    "8.2": "Event kinds",
    "8.3": "Order and sequence numbers",
    "8.4": "Streamed results",
    "8": "Job events, as a whole",
    "9": "Leases and budgets",
    "10": "Delegation",
    "11": "Trace propagation",
    "12": "Errors",
    "14": "Security considerations",
    "peers": "Peer profiles",
    "layers": "Layers and hosts",
    "other": "Other",
}

# The section of a file: the first entry whose text is in its path.
FILES = [
    ("arcp-core/src/wire/", "5"),
    ("arcp-core/src/transport", "4"),
    ("arcp-core/src/session/heartbeat", "6.4"),
    ("arcp-core/src/session/peer", "6.5"),
    ("arcp-core/src/session/outbox", "8.3"),
    ("arcp-core/src/session/rate", "14"),
    ("arcp-core/src/session", "6"),
    ("arcp-core/src/id", "5"),
    ("arcp-core/src/json", "5"),
    ("arcp-core/src/time", "5"),
    ("arcp-core/src/feature", "6.2"),
    ("arcp-core/src/agent", "7.5"),
    ("arcp-core/src/job", "7.3"),
    ("arcp-core/src/log", "8.3"),
    ("arcp-core/src/event", "8.3"),
    ("arcp-core/src/chunk", "8.4"),
    ("arcp-core/src/money", "9"),
    ("arcp-core/src/lease", "9"),
    ("arcp-core/src/error", "12"),
    ("arcp-core/tests/golden/session", "6"),
    ("arcp-core/tests/golden/job", "7"),
    ("arcp-core/tests/golden/event", "8.2"),
    ("arcp-core/tests/lease/delegation", "10"),
    ("arcp-core/tests/lease", "9"),
    ("arcp-core/tests/", "5"),
    ("arcp-client/src/ledger", "6.5"),
    ("arcp-client/src/outcome", "7.3"),
    ("arcp-client/src/program", "4"),
    ("arcp-client/src/pending", "12"),
    ("arcp-client/src/jobs", "8"),
    ("arcp-client/tests/behaviour/acks", "6.5"),
    ("arcp-client/tests/behaviour/connect", "6"),
    ("arcp-client/tests/behaviour/jobs", "7"),
    ("arcp-client/tests/behaviour/attempts", "6.3"),
    ("arcp-client/tests/behaviour/point", "6.3"),
    ("arcp-client/tests/behaviour/resent", "6.3"),
    ("arcp-client/tests/behaviour/streams", "6.3"),
    ("arcp-tower/src/auth", "6.1"),
    ("arcp-tower/src/layer/ack", "6.5"),
    ("arcp-tower/src/layer/auth", "6.1"),
    ("arcp-tower/src/layer/trace", "11"),
    ("arcp-tower/src/layer", "layers"),
    ("arcp-tower/src/operation", "9"),
    ("arcp-tower/tests/fetch", "14"),
    ("arcp-tower/tests/files", "14"),
    ("arcp-tower/src/profile", "peers"),
    ("arcp-tower/src/upgrade", "4"),
    ("arcp-axum/", "layers"),
    ("arcp-cli/src/serve/connections", "14"),
    ("arcp-cli/src/telemetry/lines", "14"),
    ("arcp-cli/", "other"),
    ("tests/tests/sessions/control_frames", "6"),
    ("tests/tests/sessions/not_negotiated", "6.2"),
    ("tests/tests/sessions/floods", "14"),
    ("tests/tests/jobs/privacy", "14"),
    ("tests/tests/auth/jwt_attacks", "6.1"),
    ("tests/tests/served/jwt", "6.1"),
    ("tests/tests/auth/jwks", "6.1"),
    ("tests/tests/auth/scopes", "6.1"),
    ("tests/tests/auth/host_session", "6.1"),
    ("tests/tests/served/tls", "4"),
    ("tests/tests/served/stdio", "4"),
    ("tests/tests/served/process_agents", "7.3"),
    ("tests/tests/served/process_budgets", "9.6"),
    ("tests/tests/served/strangers", "14"),
    ("tests/tests/served", "other"),
    ("tests/tests/jobs/control", "6.5"),
    ("tests/tests/jobs/observe", "7.6"),
    ("tests/tests/jobs/results", "8.4"),
    ("tests/tests/jobs/schemas", "7.1"),
    ("tests/tests/sessions/protection", "14"),
    ("tests/tests/telemetry/logs", "14"),
    ("tests/tests/telemetry", "11"),
    ("tests/tests/jobs/restartable", "7.3"),
    ("tests/tests/durability/unwritten", "6.3"),
    ("tests/tests/sessions/tokens", "6.3"),
    ("tests/tests/sessions/take_over", "6.3"),
    ("examples/", "other"),
]

# The section of a file that is not there: the first entry one of whose words is in its name.
WORDS = [
    ("profile profiles peer peers python draft superset", "peers"),
    ("idempotency idempotent", "7.2"),
    ("resume resumption reconnect replay durable restart forgetting", "6.3"),
    ("heartbeat heartbeats ping pong liveness", "6.4"),
    ("ack acks credit credits pressure backpressure gate", "6.5"),
    ("list listing", "6.6"),
    ("close bye shutdown drain", "6.7"),
    ("auth authentication token tokens bearer principal", "6.1"),
    ("hello welcome handshake features negotiation", "6.2"),
    ("bad hostile limit limits bounds memory frame frames fuzz garbage flood", "14"),
    ("cancel cancellation grace", "7.4"),
    ("submit submission", "7.1"),
    ("version versions inventory", "7.5"),
    ("subscribe subscription subscriptions subscriber observer watch", "7.6"),
    ("chunk chunks stream streaming streamed", "8.4"),
    ("seq sequence order ordering property properties emitters numbers", "8.3"),
    ("kinds", "8.2"),
    ("event events emit", "8"),
    ("lease leases budget authority credential credentials", "9"),
    ("delegate delegation", "10"),
    ("trace tracing span spans", "11"),
    ("error errors refusal refusals", "12"),
    ("layer layers tower axum actix host hosts stack mount rate", "layers"),
    ("wire golden envelope decode", "5"),
    ("transport websocket ws upgrade stdio", "4"),
    ("timeout lifecycle terminal panic agent agents supervise", "7.3"),
    ("session sessions", "6"),
    ("job jobs", "7"),
]

TEST = re.compile(
    r"""^[ \t]*\#\[(?:tokio::)?test(?:\([^\]]*\))?\]\s*            # the attribute of a test
        (?P<more>(?:\#\[[^\n]*\]\s*|//[^\n]*\s*)*)                  # others, and comments
        (?:pub\s+)?(?:async\s+)?fn\s+(?P<name>\w+)""",
    re.MULTILINE | re.VERBOSE,
)


def section_of(path: str) -> str:
    """The section that the tests of a file belong to."""
    for part, section in FILES:
        if part in path:
            return section
    parts = Path(path).with_suffix("").parts
    # The file says more than its folder: tests/tests/jobs/cancel.rs is about cancelling.
    for part in reversed(parts[1:]):
        words = set(re.split(r"[_\W]+", part))
        for known, section in WORDS:
            if words & set(known.split()):
                return section
    return "other"


# What a test's name begins with if it holds against an entry of the project's notes; see the page's words on it.
LABELS = re.compile(r"^(?:(?:[pst]\d+|bad_input_\d+(?:_\d+)?)_)+|(?<=_)[st]\d+_")


def sentence(name: str) -> str:
    """A test's name as a sentence: `s15_the_grammar_of_7_5` is "The grammar of §7.5"."""
    name = LABELS.sub("", name)
    text = re.sub(r"_(\d+)_(\d+)(?:_(\d+))?(?=_|$)",
                  lambda m: " §" + ".".join(part for part in m.groups() if part), name)
    text = text.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def rust_files() -> list[Path]:
    """The sources of the crates, in one order everywhere."""
    found = set()
    for crate in CRATES:
        for folder in ROOT.glob(crate):
            found.update(folder.rglob("*.rs"))
    names = [path.relative_to(ROOT).as_posix() for path in found]
    kept = [name for name in names if not name.startswith(tuple(LEFT_OUT)) and "/target/" not in name]
    return [ROOT / name for name in sorted(kept)]


def rust_tests() -> dict[str, dict[str, list[str]]]:
    """Sentences by section and file."""
    tests: dict[str, dict[str, list[str]]] = {}
    for path in rust_files():
        name = path.relative_to(ROOT).as_posix()
        for found in TEST.finditer(path.read_text(encoding="utf-8")):
            said = sentence(found["name"])
            if "#[ignore" in found["more"]:
                said += " (only when asked for)"
            tests.setdefault(section_of(name), {}).setdefault(name, []).append(said)
    return tests


def scenarios() -> list[tuple[str, str]]:
    """The scenarios of the driver and their titles, as they come there."""
    found = []
    for node in ast.parse(DRIVER.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "scenario":
                found.append((node.name, ast.literal_eval(call.args[1])))
    return found


def not_yet() -> set[str]:
    """The scenarios that are not expected to pass."""
    lines = NOT_YET.read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def page() -> str:
    """The whole page."""
    tests, known, later = rust_tests(), scenarios(), not_yet()
    count = sum(len(names) for files in tests.values() for names in files.values())
    passing = [(name, title) for name, title in known if name not in later]
    waiting = [(name, title) for name, title in known if name in later]
    out = [
        "# Conformance",
        "",
        "What the tests show of ARCP v1.1, by the sections of the specification. The names of the tests are",
        "the sentences. `tests/conformance.py` writes this page; do not edit it.",
        "",
        "In the sources some names begin with labels, such as `p8_`, `s15_`, `t52_` or `bad_input_34_`: the numbers of",
        "promises, threats, traps and bad inputs in the notes that the tests were written from. Here they are left out.",
        "",
        f"{count} tests. {len(passing)} of {len(known)} scenarios of a foreign client pass.",
        "",
    ]
    for section, title in SECTIONS.items():
        if section not in tests:
            continue
        out += [f"## §{section} {title}" if section[0].isdigit() else f"## {title}", ""]
        for name, sentences in tests[section].items():
            out += [f"`{name}`", ""] + [f"- {said}" for said in sentences] + [""]
    out += [
        "## A client that was not written here",
        "",
        "`tests/interop/run.py` drives `arcp serve --demo-agents` with the Python SDK's client, and with plain",
        "WebSocket frames. These scenarios pass; the test command fails if one of them does not:",
        "",
        *[f"- `{name}`: {title}" for name, title in passing],
        "",
    ]
    if waiting:
        out += ["These are not expected to pass yet:", ""]
        out += [f"- `{name}`: {title}" for name, title in waiting] + [""]
    return "\n".join(out)


def main() -> int:
    ap = argparse.ArgumentParser(description="Write CONFORMANCE.md from the names of the tests.")
    ap.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    a = ap.parse_args()
    wanted = page()
    if not a.check:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if there == wanted:
        return 0
    diff = difflib.unified_diff(there.splitlines(), wanted.splitlines(), "CONFORMANCE.md", "wanted", lineterm="", n=0)
    print("\n".join(list(diff)[:40]))
    print("CONFORMANCE.md is stale; run: python3 tests/conformance.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
