"""The account as a tree: the whole, its steps, and under each what is paid for, as lines."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reporting.comparing.outcome import Line, Outcome, StepName, total
from reporting.comparing.words import kind_text


@dataclass(frozen=True, slots=True)
class Leaf:
    """A line with its kind in words."""

    kind: str
    line: Line


@dataclass(frozen=True, slots=True)
class Branch:
    """The lines of one step, the dearest first, their sum, and its share of the whole (0 to 1)."""

    label: str
    usd: Decimal
    share: float
    leaves: tuple[Leaf, ...]


def cost_tree(outcome: Outcome) -> tuple[Branch, ...]:
    """Return the steps in their order; what belongs to no step comes last."""
    by_step: dict[StepName, list[Line]] = {step.step: [] for step in outcome.steps} | {None: []}
    for line in outcome.lines:
        by_step.setdefault(line.step, []).append(line)
    shared = by_step.pop(None)
    whole = outcome.usd or Decimal(1)
    named = [(step or "", lines) for step, lines in by_step.items()]
    return tuple(
        Branch(
            label,
            total(lines),
            float(total(lines) / whole),
            tuple(
                Leaf(kind_text(line.kind, line.service), line)
                for line in sorted(lines, key=lambda line: (-line.usd, line.kind, line.what))
            ),
        )
        for label, lines in (*named, ("Shared and idle, of no step", shared))
        if lines
    )
