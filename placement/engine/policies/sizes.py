"""Sizes of Lambda for single tasks: the fastest, the cheapest."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import NEVER, Ints
from placement.engine.listscheduler import Work
from placement.engine.timetable import NO_WORKER


def fastest_sizes(w: Work) -> Ints:
    """Return the fastest size of every task, of equals the cheapest; NO_WORKER: none fits."""
    fastest = w.lambda_ms.min(axis=1, initial=NEVER, keepdims=True)
    usd = np.where(w.lambda_ms == fastest, w.lambda_usd + w.lambda_init_usd, np.inf)
    return _where_possible(w, usd.argmin(axis=1))


def cheapest_sizes(w: Work, *, cold: bool) -> Ints:
    """Return the cheapest size of every task if all start cold, or all warm; NO_WORKER: none."""
    usd = w.lambda_usd + w.lambda_init_usd if cold else w.lambda_usd
    return _where_possible(w, usd.argmin(axis=1))


def _where_possible(w: Work, sizes: Ints) -> Ints:
    return np.where((w.lambda_ms < NEVER).any(axis=1), sizes, NO_WORKER).astype(np.int64)
