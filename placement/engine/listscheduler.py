"""The list scheduler: plays a run through, event by event, under a given way of deciding.

It decides as it goes, and knows nothing of what comes later but three things that it is told: each
task's urgency, each task's own deadline, and how many vCPUs of nodes may be up when. A ready task
goes to a node that is up and has room. If none has, a node is launched for it where the profile
allows one more; the launch lies as long before as the node takes to boot, because the plan knows
what will come. Else the task waits, until it must start to keep its deadline: then it goes wherever
that costs least, Lambda or a node of its own.

The compiled functions take few arrays with many columns, because every array that is handed on
costs them time; the names of the columns stand where the arrays are described.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from placement.engine.compiled import NEVER, Arrays, Floats, Ints
from placement.engine.jit import bare, njit
from placement.engine.timetable import NO_WORKER
from placement.engine.transfers import is_there, moving_ms, new_table, put_there

# So many nodes are looked at in the search for one with room, and so many inputs of a task in the
# search for one that has them.
LOOK_AT = 32
# So many ready tasks that do not fit are looked past, in the hope that a smaller one fits.
LOOK_PAST = 8
# The time in which so many environments of a function may start as the ramp's limit says.
RAMP_MS = 10_000


class Work(NamedTuple):
    """What is to be done and where it can be, read only.

    `tasks` (t + 1, columns T_*): the entries from `tasks[t, T_PREDS]` to `tasks[t + 1, T_PREDS]` of
    `links` are the task's predecessors, and so on; the last row only ends the one before.
    `files` (f, bytes and requests to fetch), `kinds` (y, columns K_*), `fits` (t, y), `lambda_ms`
    and `lambda_usd` (t, s), `lambda_init_usd` (s), `figures` (F_*), `limits` (L_*).
    """

    tasks: Ints
    links: Ints
    files: Ints
    kinds: Floats
    fits: npt.NDArray[np.bool_]
    lambda_ms: Ints
    lambda_usd: Floats
    lambda_init_usd: Floats
    figures: Floats
    limits: Ints


T_PREDS, T_SUCCS, T_INS, T_OUTS, T_CORES, T_MEMORY, T_COMPUTE, T_OUT_BYTES, T_OUT_PARTS = range(9)
K_VCPUS, K_MEMORY, K_MB_PER_S, K_USD_PER_MS, K_BOOT, K_START = range(6)
(
    F_GET_S,
    F_PUT_S,
    F_AT_ONCE,
    F_MB_PER_S,
    F_GET_USD,
    F_PUT_USD,
    F_USD_PER_GB_MS,
    F_IMAGE_GB,
) = range(8)
L_START, L_END, L_GAP, L_INIT, L_CONCURRENCY, L_RAMP, L_MINIMUM, L_FIRST_BOOT = range(8)


class Rules(NamedTuple):
    """How the scheduler decides.

    `tasks` (t, columns R_*): urgency, the lower the sooner; the task's own deadline; and when it
    must be started at the latest. `launch_types` has a row per task:
    the node types that may be launched for it, from the largest to the smallest (`NO_WORKER`:
    none); a large one only where enough tasks wait to fill it. From `profile[0, i]` (ms) on, nodes
    are launched while fewer than `profile[1, i]` vCPUs are up.
    """

    tasks: Ints
    launch_types: Ints
    profile: Ints


R_URGENCY, R_DEADLINE, R_LATEST = range(3)


class Played(NamedTuple):
    """What came of it. Tasks: `node` (or NO_WORKER) or `size` of Lambda; nodes: their type and use.

    `usd` leaves out what belongs to no task and no node. `late_ms`
    says by how much the latest task missed its deadline; NEVER: some task has no place at all.
    """

    start_ms: Ints
    startup_ms: Ints
    in_ms: Ints
    end_ms: Ints
    node: Ints
    size: Ints
    node_type: Ints
    node_first_ms: Ints
    node_last_ms: Ints
    usd: float
    makespan_ms: int
    late_ms: int


def pack(a: Arrays) -> Work:
    """Return a compiled graph as the list scheduler reads it."""
    lengths = [len(a.pred_idx), len(a.succ_idx), len(a.in_idx)]
    first = np.concatenate([[0], np.cumsum(lengths)])
    columns = [
        a.pred_ptr,
        a.succ_ptr + first[1],
        a.in_ptr + first[2],
        a.out_ptr + first[3],
        *(
            np.append(each, 0)
            for each in (a.cores, a.memory, a.node_compute_ms, a.out_bytes, a.out_parts)
        ),
    ]
    kinds = (
        a.vcpus,
        a.node_memory,
        a.node_mb_per_s,
        a.node_usd_per_ms,
        a.boot_ms,
        a.task_start_ms,
    )
    first_boot = a.boot_ms.min(initial=NEVER)
    return Work(
        tasks=np.ascontiguousarray(np.stack(columns, axis=1)),
        links=np.concatenate([a.pred_idx, a.succ_idx, a.in_idx, a.out_idx]),
        files=np.ascontiguousarray(np.stack([a.file_bytes, a.file_parts], axis=1)),
        kinds=np.ascontiguousarray(np.stack(kinds, axis=1).astype(np.float64)),
        fits=a.node_ok,
        lambda_ms=a.lambda_ms,
        lambda_usd=a.lambda_usd,
        lambda_init_usd=a.lambda_init_usd,
        figures=a.figures,
        limits=np.append(a.limits, first_boot),
    )


class _State(NamedTuple):
    """What the scheduler keeps while it plays.

    `scalars` (C_*) and `usd` (1); `tasks` (t, S_*), `nodes` (v, N_*); `last_with` (f): the
    last node that brought or made a file; `functions` (s, idle environments and cold starts so
    far); `cold_starts` (s, ramp): when the last of them were, as a ring; `table`: which file is on
    which node.
    """

    scalars: Ints
    usd: Floats
    tasks: Ints
    nodes: Ints
    last_with: Ints
    functions: Ints
    cold_starts: Ints
    table: Ints


C_NOW, C_NODES, C_NEWEST, C_OLDEST, C_UP_VCPUS, C_ON_LAMBDA, C_LATE, C_DONE = range(8)
S_START, S_STARTUP, S_IN, S_END, S_NODE, S_SIZE, S_READY, S_WAITS_FOR = range(8)
# Nodes that are up and have a free core are ROOMY, and in a list that begins with the newest: the
# one used last. IDLE is since when it is idle, NEVER while it is busy.
(
    N_TYPE,
    N_FIRST,
    N_LAST,
    N_CORES,
    N_MEMORY,
    N_IDLE,
    N_ROOMY,
    N_NEWER,
    N_OLDER,
    N_BYTES,
) = range(10)

type Heap = list[tuple[int, int]]


@njit(cache=True)
def _new_state(w: Work) -> _State:
    n, sizes = w.tasks.shape[0] - 1, w.lambda_ms.shape[1]
    count = np.zeros(8, np.int64)
    count[C_NEWEST] = count[C_OLDEST] = NO_WORKER
    tasks = np.zeros((n, 8), np.int64)
    tasks[:, S_START] = tasks[:, S_END] = NEVER
    tasks[:, S_NODE] = tasks[:, S_SIZE] = NO_WORKER
    for task in range(n):
        tasks[task, S_WAITS_FOR] = w.tasks[task + 1, T_PREDS] - w.tasks[task, T_PREDS]
    return _State(
        count,
        np.zeros(1, np.float64),
        tasks,
        np.zeros((n, 10), np.int64),
        np.full(w.files.shape[0], NO_WORKER, np.int64),
        np.zeros((sizes, 2), np.int64),
        np.full((sizes, max(1, w.limits[L_RAMP])), -NEVER, np.int64),
        new_table(w.links.shape[0] - w.tasks[0, T_INS]),
    )


# how long a task takes where


@bare
def missing_inputs(w: Work, table: Ints, task: int, node: int, now: int) -> tuple[int, int, int]:
    """Return number, bytes and requests of a task's inputs that a node lacks (NO_WORKER: all)."""
    count, size, parts = 0, 0, 0
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        file = w.links[k]
        if node == NO_WORKER or not is_there(table, w.files.shape[0], node, file, now):
            count += 1
            size += w.files[file, 0]
            parts += w.files[file, 1]
    return count, size, parts


@bare
def times_on_node(w: Work, task: int, kind: int, count: int, size: int) -> tuple[int, int]:
    """Return how long bringing so many inputs takes on a type of node, and the whole task."""
    share = min(1.0, w.tasks[task, T_CORES] / w.kinds[kind, K_VCPUS])
    rate = min(w.figures[F_MB_PER_S], w.kinds[kind, K_MB_PER_S] * share)
    outs = w.tasks[task + 1, T_OUTS] - w.tasks[task, T_OUTS]
    in_ms = moving_ms(count, size, w.figures[F_GET_S], w.figures[F_AT_ONCE], rate)
    out_ms = moving_ms(
        outs, w.tasks[task, T_OUT_BYTES], w.figures[F_PUT_S], w.figures[F_AT_ONCE], rate
    )
    start_ms = int(w.kinds[kind, K_START])
    return in_ms, start_ms + in_ms + w.tasks[task, T_COMPUTE] + out_ms


@bare
def _on_node_ms(w: Work, s: _State, task: int, node: int, kind: int) -> int:
    count, size, _ = missing_inputs(w, s.table, task, node, s.scalars[C_NOW])
    return times_on_node(w, task, kind, count, size)[1]


@bare
def _lambda_start(w: Work, s: _State, task: int, size: int) -> int:
    """Return when the task could start on Lambda; NEVER: not before something else ends."""
    if s.scalars[C_ON_LAMBDA] >= w.limits[L_CONCURRENCY]:
        return NEVER
    start = max(s.scalars[C_NOW], s.tasks[task, S_READY] + w.limits[L_GAP])
    if s.functions[size, 0] == 0:
        ring = s.cold_starts.shape[1]
        at = s.functions[size, 1] % ring
        start = max(start, s.cold_starts[size, at] + RAMP_MS, s.cold_starts[size, at - 1])
    return int(start)


@bare
def _lambda_end(w: Work, s: _State, task: int, size: int) -> int:
    start = _lambda_start(w, s, task, size)
    if start >= NEVER or w.lambda_ms[task, size] >= NEVER:
        return NEVER
    init_ms = 0 if s.functions[size, 0] > 0 else w.limits[L_INIT]
    return int(start + init_ms + w.lambda_ms[task, size])


@bare
def _best_size(w: Work, s: _State, task: int, deadline: int) -> int:
    """Return the cheapest size that keeps the deadline, else the soonest; NO_WORKER: none."""
    best, best_end, best_usd = NO_WORKER, NEVER, np.inf
    for size in range(w.lambda_ms.shape[1]):
        end = _lambda_end(w, s, task, size)
        usd = w.lambda_usd[task, size]
        if end < NEVER and (
            best == NO_WORKER or _preferred(end, usd, best_end, best_usd, deadline)
        ):
            best, best_end, best_usd = size, end, usd
    return best


@bare
def _preferred(end: int, usd: float, other_end: int, other_usd: float, deadline: int) -> bool:
    if (end <= deadline) != (other_end <= deadline):
        return end <= deadline
    if end <= deadline:
        return usd < other_usd
    return end < other_end or (end == other_end and usd < other_usd)


# nodes


@bare
def _take_out(s: _State, node: int) -> None:
    """Take a node out of the list of those with room, if it is there."""
    if s.nodes[node, N_ROOMY] == 0:
        return
    newer, older = s.nodes[node, N_NEWER], s.nodes[node, N_OLDER]
    if newer == NO_WORKER:
        s.scalars[C_NEWEST] = older
    else:
        s.nodes[newer, N_OLDER] = older
    if older == NO_WORKER:
        s.scalars[C_OLDEST] = newer
    else:
        s.nodes[older, N_NEWER] = newer
    s.nodes[node, N_ROOMY] = 0


@bare
def _put_first(s: _State, node: int) -> None:
    """Put a node at the beginning of the list of those with room, wherever it was before."""
    _take_out(s, node)
    newest = s.scalars[C_NEWEST]
    s.nodes[node, N_ROOMY], s.nodes[node, N_NEWER] = 1, NO_WORKER
    s.nodes[node, N_OLDER] = newest
    if newest == NO_WORKER:
        s.scalars[C_OLDEST] = node
    else:
        s.nodes[newest, N_NEWER] = node
    s.scalars[C_NEWEST] = node


@bare
def _release_idle(w: Work, s: _State) -> None:
    """Release every node that has been idle for longer than a new one takes to boot.

    To keep it would cost more than to launch another.
    """
    node = s.scalars[C_OLDEST]
    while node != NO_WORKER:
        newer, kind = s.nodes[node, N_NEWER], s.nodes[node, N_TYPE]
        if s.nodes[node, N_IDLE] < NEVER:
            idle_ms = s.scalars[C_NOW] - s.nodes[node, N_IDLE]
            if idle_ms <= w.limits[L_FIRST_BOOT]:
                return
            if idle_ms > w.kinds[kind, K_BOOT]:
                _take_out(s, node)
                s.scalars[C_UP_VCPUS] -= int(w.kinds[kind, K_VCPUS])
        node = newer


@bare
def _has_room(w: Work, s: _State, task: int, node: int) -> bool:
    return bool(
        s.nodes[node, N_ROOMY] == 1
        and s.nodes[node, N_CORES] >= w.tasks[task, T_CORES]
        and s.nodes[node, N_MEMORY] >= w.tasks[task, T_MEMORY]
        and w.fits[task, s.nodes[node, N_TYPE]]
    )


@bare
def _best_node(w: Work, s: _State, task: int) -> int:
    """Return the node with room that lacks the fewest of the task's bytes; NO_WORKER: none.

    Looked at are those that brought or made one of its inputs last, and the one that was used
    last, so that the others may be released.
    """
    best, node, looked = NO_WORKER, s.scalars[C_NEWEST], 0
    while node != NO_WORKER and best == NO_WORKER and looked < LOOK_AT:
        if _has_room(w, s, task, node):
            best = node
        node, looked = s.nodes[node, N_OLDER], looked + 1
    if best == NO_WORKER:
        return NO_WORKER
    _, best_missing, _ = missing_inputs(w, s.table, task, best, s.scalars[C_NOW])
    first = w.tasks[task, T_INS]
    for k in range(first, min(w.tasks[task + 1, T_INS], first + LOOK_AT)):
        node = s.last_with[w.links[k]]
        if node not in (NO_WORKER, best) and _has_room(w, s, task, node):
            _, missing, _ = missing_inputs(w, s.table, task, node, s.scalars[C_NOW])
            if missing < best_missing:
                best, best_missing = node, missing
    return int(best)


@bare
def _launch(w: Work, s: _State, kind: int) -> int:
    node, now = s.scalars[C_NODES], s.scalars[C_NOW]
    s.scalars[C_NODES] += 1
    s.scalars[C_UP_VCPUS] += int(w.kinds[kind, K_VCPUS])
    s.nodes[node, N_TYPE] = kind
    s.nodes[node, N_FIRST] = s.nodes[node, N_LAST] = s.nodes[node, N_IDLE] = now
    s.nodes[node, N_CORES] = int(w.kinds[kind, K_VCPUS])
    s.nodes[node, N_MEMORY] = int(w.kinds[kind, K_MEMORY])
    _put_first(s, node)
    return int(node)


# starting tasks


@bare
def _note_file(w: Work, s: _State, node: int, file: int, since: int) -> None:
    if put_there(s.table, w.files.shape[0], node, file, since):
        s.nodes[node, N_BYTES] += w.files[file, 0]
    s.last_with[file] = node


@bare
def _node_usd_per_ms(w: Work, kind: int, data_bytes: int) -> float:
    """Return the price of a node with a disk for its image and so much data."""
    disk_gb = np.ceil(w.figures[F_IMAGE_GB] + data_bytes / 1e9)
    return float(w.kinds[kind, K_USD_PER_MS] + disk_gb * w.figures[F_USD_PER_GB_MS])


@bare
def _start_on_node(w: Work, s: _State, task: int, node: int) -> None:
    now, kind = s.scalars[C_NOW], s.nodes[node, N_TYPE]
    count, size, parts = missing_inputs(w, s.table, task, node, now)
    in_ms, ms = times_on_node(w, task, kind, count, size)
    start_ms = int(w.kinds[kind, K_START])
    s.tasks[task, S_START], s.tasks[task, S_STARTUP] = now, start_ms
    s.tasks[task, S_IN], s.tasks[task, S_END] = in_ms, now + ms
    s.tasks[task, S_NODE] = node
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        _note_file(w, s, node, w.links[k], now + start_ms + in_ms)
    for k in range(w.tasks[task, T_OUTS], w.tasks[task + 1, T_OUTS]):
        _note_file(w, s, node, w.links[k], now + ms)
    s.nodes[node, N_CORES] -= w.tasks[task, T_CORES]
    s.nodes[node, N_MEMORY] -= w.tasks[task, T_MEMORY]
    s.nodes[node, N_IDLE] = NEVER
    s.nodes[node, N_LAST] = max(s.nodes[node, N_LAST], now + ms)
    if s.nodes[node, N_CORES] == 0:
        _take_out(s, node)
    s.usd[0] += parts * w.figures[F_GET_USD] + w.tasks[task, T_OUT_PARTS] * w.figures[F_PUT_USD]


@bare
def _start_on_lambda(w: Work, s: _State, task: int, size: int) -> None:
    start = _lambda_start(w, s, task, size)
    s.usd[0] += w.lambda_usd[task, size]
    if s.functions[size, 0] > 0:
        s.functions[size, 0] -= 1
    else:
        s.tasks[task, S_STARTUP] = w.limits[L_INIT]
        s.cold_starts[size, s.functions[size, 1] % s.cold_starts.shape[1]] = start
        s.functions[size, 1] += 1
        s.usd[0] += w.lambda_init_usd[size]
    s.scalars[C_ON_LAMBDA] += 1
    s.tasks[task, S_START], s.tasks[task, S_SIZE] = start, size
    s.tasks[task, S_END] = start + s.tasks[task, S_STARTUP] + w.lambda_ms[task, size]


@bare
def _start_at_last(w: Work, rules: Rules, s: _State, task: int) -> bool:
    """Start a task that can wait no longer where it costs least and is in time, else soonest.

    Returns whether it could be started at all.
    """
    now, kind = s.scalars[C_NOW], rules.launch_types[task, -1]
    deadline = rules.tasks[task, R_DEADLINE]
    on_new, usd, end = False, np.inf, NEVER
    node = _best_node(w, s, task)
    if node != NO_WORKER:
        usd, end = 0.0, now + _on_node_ms(w, s, task, node, s.nodes[node, N_TYPE])
    if kind != NO_WORKER and now >= w.limits[L_START] + w.kinds[kind, K_BOOT]:
        ms = _on_node_ms(w, s, task, NO_WORKER, kind)
        held_ms = max(w.limits[L_MINIMUM], w.kinds[kind, K_BOOT] + ms)
        new_usd = held_ms * _node_usd_per_ms(w, kind, 0)
        if _preferred(now + ms, new_usd, end, usd, deadline):
            on_new, usd, end = True, new_usd, now + ms
    size = _best_size(w, s, task, deadline)
    if size != NO_WORKER and _preferred(
        _lambda_end(w, s, task, size), w.lambda_usd[task, size], end, usd, deadline
    ):
        _start_on_lambda(w, s, task, size)
    elif on_new:
        _start_on_node(w, s, task, _launch(w, s, kind))
    elif node != NO_WORKER:
        _start_on_node(w, s, task, node)
    return bool(s.tasks[task, S_START] < NEVER)


@bare
def _allowed_vcpus(rules: Rules, now: int) -> int:
    allowed = 0
    for i in range(rules.profile.shape[1]):
        if rules.profile[0, i] > now:
            break
        allowed = rules.profile[1, i]
    return int(allowed)


@bare
def _type_to_launch(w: Work, rules: Rules, s: _State, task: int, waiting: int, room: int) -> int:
    """Return the largest type for which there is room and that the waiting tasks would fill."""
    smallest = rules.launch_types.shape[1] - 1
    for k in range(smallest + 1):
        kind = rules.launch_types[task, k]
        if kind == NO_WORKER or s.scalars[C_NOW] < w.limits[L_START] + w.kinds[kind, K_BOOT]:
            continue
        vcpus = w.kinds[kind, K_VCPUS]
        if vcpus <= room and (k == smallest or vcpus <= waiting):
            return int(kind)
    return NO_WORKER


@njit(cache=True)
def _start_what_fits(w: Work, rules: Rules, s: _State, ready: Heap, ends: Heap) -> None:
    """Start ready tasks on nodes, the most urgent first, and launch nodes for them."""
    aside = [(0, 0) for _ in range(0)]
    allowed = _allowed_vcpus(rules, s.scalars[C_NOW])
    while len(ready) > 0 and len(aside) < LOOK_PAST:
        room = allowed - s.scalars[C_UP_VCPUS]
        if s.scalars[C_NEWEST] == NO_WORKER and room <= 0:
            break
        entry = heapq.heappop(ready)
        task = entry[1]
        if s.tasks[task, S_START] < NEVER:
            continue
        node = _best_node(w, s, task)
        if node == NO_WORKER:
            kind = _type_to_launch(w, rules, s, task, len(ready) + 1, room)
            if kind != NO_WORKER:
                node = _launch(w, s, kind)
        if node == NO_WORKER:
            aside.append(entry)
        else:
            _start_on_node(w, s, task, node)
            heapq.heappush(ends, (s.tasks[task, S_END], task))
    for entry in aside:
        heapq.heappush(ready, entry)


@njit(cache=True)
def _start_the_due(w: Work, rules: Rules, s: _State, must: Heap, ends: Heap) -> bool:
    """Start every task that must start now; return whether one has to wait all the same."""
    while len(must) > 0:
        moment, task = must[0]
        if s.tasks[task, S_START] == NEVER:
            if moment > s.scalars[C_NOW]:
                return False
            if not _start_at_last(w, rules, s, task):
                return True
            heapq.heappush(ends, (s.tasks[task, S_END], task))
        heapq.heappop(must)
    return False


# time


@njit(cache=True)
def _become_ready(rules: Rules, s: _State, ready: Heap, must: Heap, task: int) -> None:
    s.tasks[task, S_READY] = s.scalars[C_NOW]
    heapq.heappush(ready, (rules.tasks[task, R_URGENCY], task))
    heapq.heappush(must, (rules.tasks[task, R_LATEST], task))


@njit(cache=True)
def _next_moment(
    w: Work, rules: Rules, s: _State, ready: Heap, must: Heap, ends: Heap, stuck: bool
) -> int:
    """Return when something changes next; NEVER: nothing ever will."""
    now, soonest = s.scalars[C_NOW], NEVER
    if len(ends) > 0:
        soonest = ends[0][0]
    if len(must) > 0 and not stuck:
        soonest = min(soonest, must[0][0])
    if len(ready) > 0:
        for kind in range(w.kinds.shape[0]):
            first = w.limits[L_START] + int(w.kinds[kind, K_BOOT])
            if now < first < soonest:
                soonest = first
        for i in range(rules.profile.shape[1]):
            if now < rules.profile[0, i] < soonest:
                soonest = rules.profile[0, i]
    return int(soonest)


@njit(cache=True)
def _end_tasks(w: Work, rules: Rules, s: _State, ready: Heap, must: Heap, ends: Heap) -> None:
    """End the tasks that end now, and make ready what waited for them."""
    while len(ends) > 0 and ends[0][0] <= s.scalars[C_NOW]:
        end, task = heapq.heappop(ends)
        s.scalars[C_DONE] += 1
        s.scalars[C_LATE] = max(s.scalars[C_LATE], end - rules.tasks[task, R_DEADLINE])
        node = s.tasks[task, S_NODE]
        if node == NO_WORKER:
            s.scalars[C_ON_LAMBDA] -= 1
            s.functions[s.tasks[task, S_SIZE], 0] += 1
        else:
            s.nodes[node, N_CORES] += w.tasks[task, T_CORES]
            s.nodes[node, N_MEMORY] += w.tasks[task, T_MEMORY]
            if s.nodes[node, N_CORES] == w.kinds[s.nodes[node, N_TYPE], K_VCPUS]:
                s.nodes[node, N_IDLE] = end
            _put_first(s, node)
        for k in range(w.tasks[task, T_SUCCS], w.tasks[task + 1, T_SUCCS]):
            later = w.links[k]
            s.tasks[later, S_WAITS_FOR] -= 1
            if s.tasks[later, S_WAITS_FOR] == 0:
                _become_ready(rules, s, ready, must, later)


@njit(cache=True)
def play(w: Work, rules: Rules) -> Played:
    """Play a run through: every task is started, in time or not, where there is a place for it."""
    s = _new_state(w)
    ready = [(0, 0) for _ in range(0)]
    must = [(0, 0) for _ in range(0)]
    ends = [(0, 0) for _ in range(0)]
    s.scalars[C_NOW] = w.limits[L_START]
    for task in range(s.tasks.shape[0]):
        if s.tasks[task, S_WAITS_FOR] == 0:
            _become_ready(rules, s, ready, must, task)
    while s.scalars[C_NOW] < NEVER:
        _release_idle(w, s)
        stuck = _start_the_due(w, rules, s, must, ends)
        _start_what_fits(w, rules, s, ready, ends)
        s.scalars[C_NOW] = _next_moment(w, rules, s, ready, must, ends, stuck)
        _end_tasks(w, rules, s, ready, must, ends)
    return _played(w, s)


@njit(cache=True)
def _played(w: Work, s: _State) -> Played:
    nodes, usd = s.scalars[C_NODES], s.usd[0]
    for node in range(nodes):
        kind = s.nodes[node, N_TYPE]
        used_ms = s.nodes[node, N_LAST] - s.nodes[node, N_FIRST]
        held_ms = max(w.limits[L_MINIMUM], used_ms + w.kinds[kind, K_BOOT])
        usd += held_ms * _node_usd_per_ms(w, kind, s.nodes[node, N_BYTES])
    done = s.scalars[C_DONE] == s.tasks.shape[0]
    return Played(
        s.tasks[:, S_START].copy(),
        s.tasks[:, S_STARTUP].copy(),
        s.tasks[:, S_IN].copy(),
        s.tasks[:, S_END].copy(),
        s.tasks[:, S_NODE].copy(),
        s.tasks[:, S_SIZE].copy(),
        s.nodes[:nodes, N_TYPE].copy(),
        s.nodes[:nodes, N_FIRST].copy(),
        s.nodes[:nodes, N_LAST].copy(),
        usd,
        (s.tasks[:, S_END].max() if done else NEVER) + w.limits[L_END],
        s.scalars[C_LATE] if done else NEVER,
    )
