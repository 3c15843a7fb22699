"""Splits the wall time of a step into queue, start-up, transfer and compute; all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KINDS = ("startup", "transfer", "compute")


@dataclass(frozen=True, slots=True)
class Interval:
    """What one worker did from `start_s` to `end_s`: start-up, transfer or compute."""

    kind: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class WallTime:
    """The parts of a wall time; they add up to it."""

    queue_s: float
    startup_s: float
    transfer_s: float
    compute_s: float

    @property
    def wall_s(self) -> float:
        """Return the whole."""
        return self.queue_s + self.startup_s + self.transfer_s + self.compute_s


def split_wall_time(start_s: float, end_s: float, intervals: Iterable[Interval]) -> WallTime:
    """Attribute every moment from `start_s` to `end_s` to what the workers did then.

    A moment in which several workers are busy is shared in equal parts among them; one in which
    none is busy is queueing. O(n log n) in the intervals.
    """
    changes: list[tuple[float, int, int]] = []
    for interval in intervals:
        begin, end = max(start_s, interval.start_s), min(end_s, interval.end_s)
        if end > begin:
            kind = KINDS.index(interval.kind)
            changes += [(begin, kind, 1), (end, kind, -1)]
    changes.sort()
    active = [0, 0, 0]
    spent = [0.0, 0.0, 0.0]
    queue_s, at = 0.0, start_s
    for moment, kind, change in [*changes, (end_s, 0, 0)]:
        busy = sum(active)
        for index, count in enumerate(active):
            if busy:
                spent[index] += (moment - at) * count / busy
        if not busy:
            queue_s += moment - at
        active[kind] += change
        at = moment
    return WallTime(queue_s, *spent)
