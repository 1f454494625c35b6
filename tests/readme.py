#!/usr/bin/env python3
"""Compile the README's first program as a stranger would: in an app of its own, with what the README says.

    python3 tests/readme.py TARGET

The app is made in TARGET/readme. Its dependencies are those of the README's `toml` block and no others,
their versions those of this workspace's lock file where it has them.
"""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def block(readme: str, info: str) -> str:
    """The first fenced block with this info string."""
    found = re.search(rf"^```{re.escape(info)}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"README.md has no block of {info}")
    return found.group(1)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    readme = (ROOT / "README.md").read_text()
    app = Path(sys.argv[1]).resolve() / "readme"
    shutil.rmtree(app / "src", ignore_errors=True)
    (app / "src").mkdir(parents=True)
    dependencies, checkouts = re.subn(r'path = "\.\./arcp/', f'path = "{ROOT}/', block(readme, "toml"))
    if checkouts == 0:
        raise SystemExit("the README's dependencies name no checkout")
    package = '[package]\nname = "readme"\nedition = "2024"\n\n[workspace]\n\n'
    (app / "Cargo.toml").write_text(package + dependencies)
    (app / "src/main.rs").write_text(block(readme, "rust,no_run"))
    shutil.copy(ROOT / "Cargo.lock", app / "Cargo.lock")
    subprocess.run(["cargo", "check", "--target-dir", str(app / "target")], cwd=app, check=True)


if __name__ == "__main__":
    main()
