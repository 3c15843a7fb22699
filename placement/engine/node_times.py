"""How long every task takes on each type of node, with all its inputs to bring."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import Arrays, Floats, Ints


class NodeTimes:
    """Durations of a graph's tasks by type of node, worked out once for types that are alike."""

    def __init__(self, arrays: Arrays) -> None:
        self._a = a = arrays
        self._in_count, self._out_count = np.diff(a.in_ptr), np.diff(a.out_ptr)
        summed = np.concatenate([[0], np.cumsum(a.file_bytes[a.in_idx])])
        self._in_bytes: Ints = np.diff(summed[a.in_ptr])
        self._known: dict[tuple[float, ...], tuple[Ints, Ints, Floats]] = {}

    def all_ms(self, column: int) -> Ints:
        """Return every task's duration (ms) on a node of a type."""
        return self._times(column)[0]

    def bringing(self, column: int) -> tuple[Ints, Floats]:
        """Return how long each task takes to bring its inputs (ms), and its rate (MB/s)."""
        _, in_ms, rate = self._times(column)
        return in_ms, rate

    def _times(self, column: int) -> tuple[Ints, Ints, Floats]:
        a = self._a
        key = (a.vcpus[column], a.node_mb_per_s[column], a.task_start_ms[column])
        if key not in self._known:
            share = np.minimum(1.0, a.cores / a.vcpus[column])
            rate = np.minimum(a.figures[3], a.node_mb_per_s[column] * share)
            in_ms = _moving_ms(self._in_bytes, self._in_count, a.figures[0], a.figures[2], rate)
            out_ms = _moving_ms(a.out_bytes, self._out_count, a.figures[1], a.figures[2], rate)
            ms = a.task_start_ms[column] + in_ms + a.node_compute_ms + out_ms
            self._known[key] = ms, in_ms, rate
        return self._known[key]


def _moving_ms(size: Ints, count: Ints, latency_s: float, at_once: float, mb_per_s: Floats) -> Ints:
    seconds = np.ceil(count / at_once) * latency_s + size / 1e6 / mb_per_s
    return np.where(count > 0, np.ceil(np.round(seconds * 1000, 6)), 0).astype(np.int64)
