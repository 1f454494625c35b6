#!/usr/bin/env python3
"""Record `arcp demo` as the moving picture of the README: it submits, is cut off, and resumes.

    python3 -m venv .venv && .venv/bin/pip install pyte
    .venv/bin/python tests/recording.py target/debug/arcp

Runs the command in a terminal of its own, and writes what was seen to docs/demo.svg, slowed down.
"""
from __future__ import annotations

import os
import pty
import select
import sys
import time
from html import escape
from pathlib import Path

import pyte

PICTURE = Path(__file__).resolve().parent.parent / "docs/demo.svg"
COLUMNS, ROWS, STEPS = 100, 20, 40
# Seconds between pictures, at the least; how much slower they are shown; how long the last one stays.
PACE, SLOWER, REST = 0.15, 3.0, 5.0
WIDTH, HEIGHT = 8.4, 18
COLOURS = {"cyan": "#4ec9d4", "green": "#7ec97e", "brown": "#d7ba7d", "red": "#f47067", "blue": "#6cb6ff"}


def frames(program: str) -> list[tuple[float, list[str]]]:
    """What the screen showed, line by line as SVG, and when."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        os.environ.pop("NO_COLOR", None)
        os.execv(program, [program, "demo", "--steps", str(STEPS)])
    began, seen = time.monotonic(), []
    stream.feed(b"$ arcp demo\r\n")
    while True:
        now = time.monotonic() - began
        lines = [line(screen.buffer[row]) for row in range(ROWS)]
        if not seen or (lines != seen[-1][1] and now - seen[-1][0] >= PACE):
            seen.append((now, lines))
        try:
            if select.select([terminal], [], [], PACE / 3)[0]:
                stream.feed(os.read(terminal, 65536))
        except OSError:  # The end, on Linux.
            break
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemExit(f"arcp demo failed: {status}")
    seen.append((time.monotonic() - began, [line(screen.buffer[row]) for row in range(ROWS)]))
    return seen


def line(row: dict[int, pyte.screens.Char]) -> str:
    """One line of the screen; runs of one colour are one element."""
    runs: list[tuple[str, str]] = []
    for column in range(COLUMNS):
        char = row[column]
        if runs and runs[-1][0] == char.fg:
            runs[-1] = (char.fg, runs[-1][1] + char.data)
        else:
            runs.append((char.fg, char.data))
    spans = [
        escape(text) if colour not in COLOURS else f'<tspan fill="{COLOURS[colour]}">{escape(text)}</tspan>'
        for colour, text in runs
    ]
    return "".join(spans).rstrip()


def picture(seen: list[tuple[float, list[str]]]) -> str:
    """All frames below each other, and a window that jumps from one to the next."""
    seen = [(when * SLOWER, lines) for when, lines in seen]
    total = seen[-1][0] + REST
    known: dict[str, int] = {}
    for text in (text for _, lines in seen for text in lines if text):
        known.setdefault(text, len(known))
    width, height = COLUMNS * WIDTH + 32, ROWS * HEIGHT + 24
    jumps = "".join(
        f"{100 * when / total:.2f}%{{transform:translateY(-{n * height}px)}}" for n, (when, _) in enumerate(seen)
    )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">',
        "<title>arcp demo: a job is submitted, its connection is cut, and no event is missing</title>",
        f"<style>text{{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d1d7e0;white-space:pre}}"
        f"@keyframes play{{{jumps}}}.play{{animation:play {total:.1f}s step-end infinite}}</style>",
        f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#151b23"/>',
        "<defs>",
        *(f'<text id="l{n}" xml:space="preserve">{text}</text>' for text, n in known.items()),
        "</defs>",
        '<g class="play">',
        *(
            f'<use href="#l{known[text]}" x="16" y="{n * height + 26 + row * HEIGHT}"/>'
            for n, (_, lines) in enumerate(seen) for row, text in enumerate(lines) if text
        ),
        "</g>",
        "</svg>",
        "",
    ])


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(frames(str(Path(sys.argv[1]).resolve()))), encoding="utf-8")


if __name__ == "__main__":
    main()
