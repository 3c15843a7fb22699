"""Fuzzes one target: `python -m tests.fuzz TARGET [options of libFuzzer] FOLDER...`.

What reaches new code goes to the first folder; all folders are read.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(
    include=["control.upload", "placement", "workflows", "runtime.keys", "yaml"]
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the time is over or something else than a UserError is raised."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [options] FOLDER...")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
