"""How long a task takes on a node, by what is there already; compiled."""

from __future__ import annotations

from placement.engine.compiled import Arrays, Ints
from placement.engine.jit import njit
from placement.engine.transfers import is_there
from placement.engine.transfers import moving_ms as _moving

RAMP_MS = 10_000  # the time in which so many environments may start as the limit says


@njit(cache=True)
def moving_ms(a: Arrays, count: int, size: int, put: int, task: int, node_type: int) -> int:
    """Return how long a task on a node of that type takes to bring (0) or put (1) so many bytes."""
    share = min(1.0, a.cores[task] / a.vcpus[node_type])
    rate = min(a.figures[3], a.node_mb_per_s[node_type] * share)
    return _moving(count, size, a.figures[put], a.figures[2], rate)


@njit(cache=True)
def missing(a: Arrays, table: Ints, task: int, node: int, now: int) -> tuple[int, int, int]:
    """Return number, bytes and requests of a task's inputs that a node lacks (-1: all)."""
    files = a.file_bytes.shape[0]
    count, size, parts = 0, 0, 0
    for k in range(a.in_ptr[task], a.in_ptr[task + 1]):
        file = a.in_idx[k]
        if node < 0 or not is_there(table, files, node, file, now):
            count += 1
            size += a.file_bytes[file]
            parts += a.file_parts[file]
    return count, size, parts


@njit(cache=True)
def node_ms(
    a: Arrays, table: Ints, task: int, node: int, node_type: int, now: int
) -> tuple[int, int]:
    """Return how long a task takes on a node (-1: a new one), and its transfer in (ms)."""
    count, size, _ = missing(a, table, task, node, now)
    in_ms = moving_ms(a, count, size, 0, task, node_type)
    outs = a.out_ptr[task + 1] - a.out_ptr[task]
    out_ms = moving_ms(a, outs, a.out_bytes[task], 1, task, node_type)
    return a.task_start_ms[node_type] + in_ms + a.node_compute_ms[task] + out_ms, in_ms
