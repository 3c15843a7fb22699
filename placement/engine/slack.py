"""Shares the time to a deadline out among tasks: each gets a deadline of its own."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from placement.engine.compiled import Compiled, Floats, Ints
from placement.engine.critical_path import earliest_ends, latest_ends, latest_starts


class Slack:
    """The slack of one graph's tasks, for the least that each takes on Lambda and on nodes (ms)."""

    def __init__(self, compiled: Compiled, lambda_ms: Ints, node_ms: Ints) -> None:
        self._compiled, self._a = compiled, compiled.arrays
        self.lambda_ms, self.node_ms = lambda_ms, node_ms

    @cached_property
    def earliest_ends(self) -> Ints:
        """Each task's earliest end (ms)."""
        return earliest_ends(self._a, self.lambda_ms, self.node_ms)

    def deadlines(self, even: Floats | float, deadline_ms: int) -> Ints:
        """Return each task's own deadline (ms), for the run's.

        `even` goes from 0, where tasks may use all slack that is left, to 1, where slack is shared
        out in proportion to the time passed.
        """
        start, last = self._compiled.run_start_ms, deadline_ms - self._compiled.run_end_ms
        latest = latest_ends(self._a, self.lambda_ms, self.node_ms, last)
        stretch = (last - start) / max(1, int(self.earliest_ends.max()) - start)
        shared = start + (self.earliest_ends - start) * stretch
        mixed = (1 - even) * latest + even * np.minimum(latest, shared)
        whole: Ints = mixed.astype(np.int64)
        return whole

    def starts(self, deadlines: Ints, node_ms: Ints, boot_ms: int) -> Ints:
        """Return when each task must start (ms) at the latest, on nodes that boot so long."""
        return latest_starts(self._a, self.lambda_ms, node_ms, deadlines, boot_ms)
