"""`python -m tests.rights`: every right of every role, taken away and missed. About half an hour.

Starts a local stack of its own. Does every job with all rights in place first, which shows what
each uses; then takes the rights away, one at a time, and does for each the quickest job that uses
it. Exits with 1 where nothing needs a right, or where a denial is not told.
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

from tests.rights.evidence import AccessLog
from tests.rights.jobs import Stage, jobs
from tests.rights.rights import Document, Right
from tests.rights.sweep import Finding, Use, job_for, rehearse, try_without, unused
from trivium.local import stack as local

# Retries of what stays denied are waited for this much shorter.
WAIT_SCALE = "0.02"
console = Console(width=180)


def main() -> int:
    """Sweep all rights, or those that a word picks; return 0 if all are needed, and lacks told."""
    parser = argparse.ArgumentParser(prog="python -m tests.rights", description=__doc__)
    parser.add_argument("words", nargs="*", help="only rights in whose line one of these stands")
    words: list[str] = parser.parse_args().words
    # Asked to end, it stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="trv-", dir="/tmp") as folder:
        access = Path(folder) / "access.jsonl"
        os.environ["TRIVIUM_LOCAL"] = str(Path(folder) / "stack")
        os.environ["TRIVIUM_ACCESS_LOG"] = str(access)
        os.environ["SFN_WAIT_SCALE"] = WAIT_SCALE
        try:
            findings = sweep(Stage(local.up(console.log)), access, words)
        finally:
            local.down()
    show(findings)
    return 0 if all(finding.well for finding in findings) else 1


def sweep(stage: Stage, access: Path, words: Sequence[str]) -> list[Finding]:
    """Return what came of taking each right away."""
    uses = []
    for use in rehearse(stage, jobs(), lambda: AccessLog(access)):
        console.log(f"{use.job.name}: {use.seconds:.0f} s, {len(use.decisions)} decisions")
        uses.append(use)
    every = [(document, right) for document in stage.documents for right in document.rights()]
    picked = [
        (document, right)
        for document, right in every
        if not words or any(word in line(right) for word in words)
    ]
    findings = []
    for number, (document, right) in enumerate(picked, 1):
        findings.append(find(stage, document, right, uses, access))
        console.log(f"{number} of {len(picked)}", *row(findings[-1]), sep=" | ")
    return findings


def find(
    stage: Stage, document: Document, right: Right, uses: Sequence[Use], access: Path
) -> Finding:
    """Return what comes of taking one right away."""
    job = job_for(document, right, uses)
    if job is None:
        return unused(right)
    return try_without(stage, document, right, job, lambda: AccessLog(access))


def show(findings: Sequence[Finding]) -> None:
    """Print the table: each right, the job that missed it, and where it was told."""
    table = Table("right", "job", "without it", "told in", title="Rights, taken away one at a time")
    for finding in findings:
        table.add_row(*row(finding), style=None if finding.well else "bold red")
    console.print(table)
    well = sum(finding.well for finding in findings)
    console.print(f"{well} of {len(findings)} rights are needed, and their lack is told.")


def line(right: Right) -> str:
    """Return a right in a line."""
    resource = right.resource.rsplit(":", 1)[-1] if right.resource != "*" else "*"
    return f"{right.owner} {right.action} {resource}"


def row(finding: Finding) -> tuple[str, str, str, str]:
    """Return a finding in words."""
    if finding.reason is not None:
        return line(finding.right), "", "only on AWS", finding.reason
    if not finding.job:
        return line(finding.right), "", "NOTHING NEEDS IT", ""
    came = finding.ended or "stands still"
    if finding.resumed is not None:
        came += f"; with it back {finding.resumed}"
    denied = "denied, " if finding.denied else "NOT DENIED, "
    return line(finding.right), finding.job, denied + came, finding.said or "NOWHERE"


if __name__ == "__main__":
    sys.exit(main())
