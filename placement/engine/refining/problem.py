"""What the refinement is told of a graph: durations and prices by task and place, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import NEVER, Compiled, Floats, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.timetable import NO_WORKER

# Types with more vCPUs are left as they are found, and no new ones are launched.
_MOST_VCPUS = 32


class Problem(NamedTuple):
    """Tasks, files and places, read only.

    `tasks` (t + 1, columns T_*): `links[tasks[t, T_PREDS]:tasks[t + 1, T_PREDS]]` are a task's
    predecessors, and so on; the last row only ends the one before. Of its files only those are
    named that other tasks touch too, others are summed up as its own. `files` (f, bytes and
    requests to fetch). `on_kind` (t, k, columns D_*), `rates` (t, k) in MB/s, `put_usd` (t).
    `kinds` (k, columns K_*) are the types of nodes, `kind_usd` (k) what they cost per ms; `choices`
    (g, c) those that may be launched for a group. `lambda_ms` and `lambda_usd` (t, s) are for cold
    environments. `use_usd` (g, 2) is what a group costs once that uses Lambda, or nodes. `figures`
    (F_*), `limits` (L_*).
    """

    tasks: Ints
    links: Ints
    files: Ints
    on_kind: Ints
    rates: Floats
    put_usd: Floats
    kinds: Ints
    kind_usd: Floats
    choices: Ints
    lambda_ms: Ints
    lambda_usd: Floats
    use_usd: Floats
    figures: Floats
    limits: Ints


T_PREDS, T_SUCCS, T_INS, T_OUTS = range(4)
T_GROUP, T_OWN_FILES, T_OWN_BYTES, T_OWN_PARTS, T_OWN_DISK = range(4, 9)
# The whole task with all inputs to bring, that bringing, and the slots that it takes: its cores, or
# as many as its memory is worth.
D_ALL, D_IN, D_SLOTS = range(3)
K_VCPUS, K_BOOT, K_START = range(3)
F_GET_S, F_AT_ONCE, F_GET_USD, F_DISK_USD, F_IMAGE_GB = range(5)
L_GAP, L_MINIMUM, L_START, L_LAST = range(4)
ON_LAMBDA, ON_NODES = range(2)


def problem_of(
    compiled: Compiled,
    times: NodeTimes,
    kinds: Ints,
    choices: list[list[int]],
    prices: PriceBook,
    book: PlatformBook,
    last_ms: int,
) -> Problem:
    """Return a graph as a problem, with the deadline `last_ms` for its last task.

    `kinds` are the columns of the node types that may occur, `choices` by group those that may be
    launched, as positions in `kinds`.
    """
    a = compiled.arrays
    tasks, links = _tasks(compiled)
    on_kind, rates = _on_kinds(compiled, times, kinds)
    transition_usd = float(prices.usd("state_transition"))
    part_usd = book.value("transitions_per_part") * transition_usd
    queue_usd = book.value("sqs_requests_per_job") * float(prices.usd("sqs_request"))
    gap_ms, init_ms, minimum_ms = (int(a.limits[at]) for at in (2, 3, 6))
    return Problem(
        tasks=tasks,
        links=links,
        files=np.ascontiguousarray(np.stack([a.file_bytes, a.file_parts], axis=1)),
        on_kind=on_kind,
        rates=rates,
        put_usd=a.out_parts * a.figures[5],
        kinds=np.stack([a.vcpus[kinds], a.boot_ms[kinds], a.task_start_ms[kinds]], axis=1),
        kind_usd=a.node_usd_per_ms[kinds],
        choices=_padded(choices),
        lambda_ms=np.where(a.lambda_ms < NEVER, a.lambda_ms + init_ms, NEVER),
        lambda_usd=a.lambda_usd + a.lambda_init_usd,
        use_usd=np.tile([part_usd, part_usd + queue_usd], (len(compiled.graph.groups), 1)),
        figures=a.figures[[0, 2, 4, 6, 7]],
        limits=np.array([gap_ms, minimum_ms, compiled.run_start_ms, last_ms]),
    )


def _tasks(compiled: Compiled) -> tuple[Ints, Ints]:
    """Return `Problem.tasks` and `Problem.links`."""
    a = compiled.arrays
    touched = np.bincount(np.concatenate([a.in_idx, a.out_idx]), minlength=len(a.file_bytes))
    common = touched > 1
    in_ptr, in_idx = _kept(a.in_ptr, a.in_idx, common)
    out_ptr, out_idx = _kept(a.out_ptr, a.out_idx, common)
    first = np.cumsum([0, len(a.pred_idx), len(a.succ_idx), len(in_idx)])
    own_bytes = _own(a.in_ptr, a.in_idx, common, a.file_bytes)
    columns = [
        a.pred_ptr,
        a.succ_ptr + first[1],
        in_ptr + first[2],
        out_ptr + first[3],
        *(
            np.append(each, 0)
            for each in (
                [task.group for task in compiled.graph.tasks],
                _own(a.in_ptr, a.in_idx, common, np.ones_like(a.file_bytes)),
                own_bytes,
                _own(a.in_ptr, a.in_idx, common, a.file_parts),
                own_bytes + _own(a.out_ptr, a.out_idx, common, a.file_bytes),
            )
        ),
    ]
    links = np.concatenate([a.pred_idx, a.succ_idx, in_idx, out_idx])
    return np.ascontiguousarray(np.stack(columns, axis=1).astype(np.int64)), links


def types_worth_launching(compiled: Compiled, times: NodeTimes) -> list[list[int]]:
    """Return by group, per number of vCPUs, the columns of the types that its tasks may want.

    Those on which they cost least, network and all, those whose vCPUs cost least, and those on
    which tasks take the least time, the cheapest of them.
    """
    a = compiled.arrays
    group = np.array([task.group for task in compiled.graph.tasks])
    groups = len(compiled.graph.groups)
    found: list[dict[int, list[tuple[float, float, float, int]]]] = [{} for _ in range(groups)]
    for column, each in enumerate(compiled.node_types):
        vcpus = int(a.vcpus[column])
        if each.platform != "ray" or vcpus > _MOST_VCPUS:
            continue
        usd_per_ms = float(a.node_usd_per_ms[column] + a.figures[6] * a.figures[7])
        share = np.maximum(a.cores / vcpus, a.memory / a.node_memory[column])
        took_ms = np.bincount(group, times.all_ms(column), groups)
        usd = np.bincount(group, times.all_ms(column) * share * usd_per_ms, groups)
        fits = np.bincount(group, ~a.node_ok[:, column], groups) == 0
        for number in np.flatnonzero(fits):
            by_size = found[number].setdefault(vcpus, [])
            by_size.append((float(usd[number]), usd_per_ms, float(took_ms[number]), column))
    return [
        sorted(
            {min(each)[-1] for each in by_size.values()}
            | {min(each, key=lambda entry: entry[1:])[-1] for each in by_size.values()}
            | {min(each, key=lambda entry: (entry[2], entry))[-1] for each in by_size.values()}
        )
        for by_size in found
    ]


def _on_kinds(compiled: Compiled, times: NodeTimes, kinds: Ints) -> tuple[Ints, Floats]:
    a, n = compiled.arrays, len(compiled.graph.tasks)
    on_kind = np.zeros((n, len(kinds), 3), dtype=np.int64)
    rates = np.zeros((n, len(kinds)))
    for at, column in enumerate(map(int, kinds)):
        per_slot = a.node_memory[column] / a.vcpus[column]
        slots = np.maximum(a.cores, np.ceil(a.memory / per_slot).astype(np.int64))
        fits = a.node_ok[:, column] & (slots <= a.vcpus[column])
        on_kind[:, at, D_ALL] = np.where(fits, times.all_ms(column), NEVER)
        on_kind[:, at, D_IN], rates[:, at] = times.bringing(column)
        on_kind[:, at, D_SLOTS] = slots
    return on_kind, rates


def _kept(ptr: Ints, idx: Ints, keep: np.ndarray) -> tuple[Ints, Ints]:
    """Return the rows of a compressed matrix with some of its columns alone."""
    kept = keep[idx]
    return np.concatenate([[0], np.cumsum(kept)])[ptr].astype(np.int64), idx[kept]


def _own(ptr: Ints, idx: Ints, common: np.ndarray, values: Ints) -> Ints:
    """Return by task the sum of values over the files that no other task touches."""
    summed = np.concatenate([[0], np.cumsum(np.where(common[idx], 0, values[idx]))])
    return np.diff(summed[ptr])


def _padded(rows: Iterable[list[int]]) -> Ints:
    rows = list(rows)
    padded = np.full((len(rows), max(1, *map(len, rows), 1)), NO_WORKER, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
