"""What `trivium demo` needs besides the other commands."""

from __future__ import annotations

from pathlib import Path

from control.catalogue import load_workflow
from control.stack import Stack
from trivium.local.stack import root
from trivium.watching import Watch


def bundled_reads() -> list[Path]:
    """Return the bundled sample: paired reads and where each comes from."""
    folder = root() / "workflows" / "read_clustering" / "demo"
    return [folder / name for name in ("demo_R1.fastq.gz", "demo_R2.fastq.gz", "demo.truth.tsv.gz")]


def last_steps(stack: Stack, run: str) -> list[str]:
    """Return the steps of a run whose output no other step reads."""
    workflow = load_workflow(Watch(stack, run).item()["workflow"])
    return [step.name for step in workflow.steps if not workflow.successors(step.name)]
