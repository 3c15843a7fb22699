"""`python -m tests.faults`: faults injected into runs on a local stack, and what came of each.

Starts a local stack of its own. Every run is small, and one lane works beside the others: a step on
Ray, on the cluster, on Lambda. Exits with 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.injections import catalogue
from tests.faults.stage import Stage
from tests.faults.sweep import Finding, plan, sweep, undisturbed
from trivium.local import stack as local

# Waits between retries, and of the state machines, are this much shorter.
WAIT_SCALE = "0.1"
console = Console(width=200)


def main() -> int:
    """Inject faults; return 0 if every run ended as it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="injections, one at a time")
    parser.add_argument("--pairs", type=int, default=20, help="random pairs of injections, on top")
    parser.add_argument("--seed", type=int, default=1, help="of the order, the moments and pairs")
    parser.add_argument("--only", action="append", default=[], help="those in whose name this is")
    parser.add_argument("--minutes", type=float, help="begin no injection later than this")
    options = parser.parse_args()
    # Asked to end, it stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="trv-", dir="/tmp") as folder:
        os.environ["TRIVIUM_LOCAL"] = str(Path(folder) / "stack")
        os.environ["SFN_WAIT_SCALE"] = WAIT_SCALE
        try:
            with Stage(local.up(console.log)) as stage:
                findings = run(stage, options)
        finally:
            local.down()
    show(findings)
    return 0 if findings and all(finding.held for finding in findings) else 1


def run(stage: Stage, options: argparse.Namespace) -> list[Finding]:
    """Return what came of the injections that were asked for."""
    words: list[str] = options.only
    chosen = [
        one for one in catalogue(stage) if not words or any(word in one.name for word in words)
    ]
    planned = plan(chosen, options.count, options.pairs, options.seed) if chosen else []
    console.log(f"{len(chosen)} kinds of injection, {len(planned)} runs, seed {options.seed}")
    expected = undisturbed(stage, planned)
    console.log("undisturbed runs agree")

    def say(finding: Finding) -> None:
        console.log(
            f"{finding.planned.number} of {len(planned)} | {finding.planned.name} | "
            f"{finding.where or 'NOT INJECTED'} | {finding.came_of_it} | "
            f"{finding.verdict.attempts} attempts, ${finding.verdict.usd} | "
            f"{finding.seconds:.0f} s | {finding.run}",
            markup=False,
            highlight=False,
        )

    return sweep(stage, planned, expected, say, options.minutes)


def show(findings: Sequence[Finding]) -> None:
    """Print the table: each injection, how often it was made, and what came of it."""
    table = Table("injected", "runs", "same bytes", "failed, told why", "did not hold")
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        kind = finding.planned.name if len(finding.planned.injections) == 1 else "pairs"
        by_name.setdefault(kind, []).append(finding)
    for name, mine in sorted(by_name.items()):
        same = sum(one.held and one.verdict.ended == "succeeded" for one in mine)
        told = sum(one.held and one.verdict.ended == "failed" for one in mine)
        broken = len(mine) - same - told
        style = "bold red" if broken else None
        table.add_row(name, *map(str, (len(mine), same, told, broken)), style=style)
    console.print(table)
    injections = sum(len(finding.planned.injections) for finding in findings)
    held = sum(finding.held for finding in findings)
    console.print(f"{injections} injections into {len(findings)} runs; {held} runs held.")


if __name__ == "__main__":
    sys.exit(main())
