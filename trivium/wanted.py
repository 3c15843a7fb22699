"""What a plan is asked for on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan is to reach, as far as the command line says; None: it does not."""

    objective: Literal["cost", "time"] | None
    deadline_s: float | None
    budget_usd: Decimal | None
    seed: int
    thorough: bool
