"""What of a timetable's cost does not stand in it: what its nodes fetch, and how full disks get."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import Compiled, Ints
from placement.engine.jit import njit
from placement.engine.simulator import Simulated
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.transfers import is_there, new_table, put_there


def tallied(compiled: Compiled, table: Timetable) -> Simulated:
    """Return a timetable with the figures that its cost needs besides."""
    a = compiled.arrays
    disk_bytes = np.zeros(len(table.node_type), dtype=np.int64)
    get_requests = _tally(
        np.argsort(table.start_ms, kind="stable"),
        table.node,
        table.start_ms,
        table.start_ms + table.startup_ms + table.in_ms,
        table.end_ms,
        a.in_ptr,
        a.in_idx,
        a.out_ptr,
        a.out_idx,
        a.file_bytes,
        a.file_parts,
        disk_bytes,
    )
    return Simulated(table, get_requests, disk_bytes)


@njit(cache=True)
def _tally(
    order: Ints,
    node: Ints,
    start_ms: Ints,
    brought_ms: Ints,
    end_ms: Ints,
    in_ptr: Ints,
    in_idx: Ints,
    out_ptr: Ints,
    out_idx: Ints,
    file_bytes: Ints,
    file_parts: Ints,
    disk_bytes: Ints,
) -> int:
    """Add up the files on each node's disk, and return the requests for what nodes fetch."""
    files, requests = file_bytes.shape[0], 0
    there = new_table(in_idx.shape[0] + out_idx.shape[0])
    for task in order:
        here = node[task]
        if here == NO_WORKER:
            continue
        for k in range(in_ptr[task], in_ptr[task + 1]):
            if not is_there(there, files, here, in_idx[k], start_ms[task]):
                requests += file_parts[in_idx[k]]
        for k in range(in_ptr[task], in_ptr[task + 1]):
            if put_there(there, files, here, in_idx[k], brought_ms[task]):
                disk_bytes[here] += file_bytes[in_idx[k]]
        for k in range(out_ptr[task], out_ptr[task + 1]):
            if put_there(there, files, here, out_idx[k], end_ms[task]):
                disk_bytes[here] += file_bytes[out_idx[k]]
    return requests
