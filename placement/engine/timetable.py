"""A timetable: which task runs where from when to when, and which nodes are up for it.

The common result of all policies. Everything else about a schedule (its account, its file) follows
from it, the graph and the books.
"""

from __future__ import annotations

from dataclasses import dataclass

from placement.engine.compiled import Ints

NO_WORKER = -1


@dataclass(frozen=True, slots=True)
class Timetable:
    """Tasks by position (t) and nodes by number (v); whole milliseconds.

    A task runs on `node[t]`, or, where that is NO_WORKER, on Lambda at size `size[t]`.
    `startup_ms` is what it waits for its worker before the transfer begins, `in_ms` what bringing
    its inputs takes. A node is billed from `launch_ms` to `release_ms`.
    """

    start_ms: Ints
    startup_ms: Ints
    in_ms: Ints
    end_ms: Ints
    node: Ints
    size: Ints
    node_type: Ints
    launch_ms: Ints
    release_ms: Ints
    makespan_ms: int
