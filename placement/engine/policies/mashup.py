"""`mashup`: every step goes whole to where it is faster, a fixed cluster or Lambda.

Source: R. B. Roy, T. Patel, V. Gadepalli, D. Tiwari, "Mashup: Making Serverless Computing Useful
for HPC Workflows via Hybrid Execution", PPoPP 2022, doi:10.1145/3503221.3508407.

The cluster is the one that `static-ec2` chooses. Each step is measured by itself, all its tasks
ready at once: on the empty cluster, and on Lambda at its fastest size, every environment cold. The
cluster is up when the step begins, but for a step that nothing precedes: that waits until it has
booted. Where both take as long the step stays on the cluster, as MPI programs do; of a step that
goes to Lambda, tasks that Lambda cannot run stay there too. Then HEFT schedules each task where its
step went. The cluster is kept for the whole run, if anything is left for it.

Objective: the time of each step. Complexity: two runs of HEFT and of the simulator over all tasks,
and one more for the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from placement.engine.compiled import NEVER, Arrays, Ints
from placement.engine.listscheduler import pack
from placement.engine.policies.clusters import Clusters
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.heft import ON_LAMBDA, ON_NODES, Cluster, heft
from placement.engine.policies.static_ec2 import Point
from placement.engine.simulator import play_assignment
from placement.engine.timetable import Timetable


def mashup(clusters: Clusters, point: Point, policy: str, goal: Goal) -> Timetable | Infeasible:
    """Return the run on a cluster and Lambda, where it keeps the goal's limits."""
    cluster = clusters.cluster(point.kind, point.nodes)
    where = placed_steps(clusters, cluster)
    if not (where & ON_NODES).any():
        nobody = np.zeros(0, dtype=np.int64)
        cluster = Cluster(nobody, nobody)
    run = play_assignment(clusters.work, heft(clusters.work, cluster, where, whole_run=True))
    return goal.judged(policy, run.table, clusters.costing.usd(run))


def placed_steps(clusters: Clusters, cluster: Cluster) -> Ints:
    """Return where each task goes: to the place at which its step is faster."""
    where = clusters.where.copy()
    can = clusters.work.lambda_ms.min(axis=1, initial=NEVER) < NEVER
    for tasks in _steps(clusters):
        away = np.where(can[tasks], ON_LAMBDA, where[tasks])
        here_ms = _step_ms(clusters, cluster, tasks, where[tasks])
        if _step_ms(clusters, cluster, tasks, away) < here_ms:
            where[tasks] = away
    return where


def _steps(clusters: Clusters) -> Iterator[Ints]:
    """Yield the tasks of every step that may go to Lambda."""
    graph = clusters.compiled.graph
    group = np.array([task.group for task in graph.tasks], dtype=np.int64)
    for number, step in enumerate(graph.groups):
        tasks = np.flatnonzero(group == number)
        if step.kind != "mpi" and "lambda" in step.platforms and len(tasks):
            yield tasks


def _step_ms(clusters: Clusters, cluster: Cluster, tasks: Ints, where: Ints) -> int:
    """Return how long a step takes by itself."""
    a = clusters.compiled.arrays
    launch = cluster.launch_ms
    if (np.diff(a.pred_ptr)[tasks] > 0).all():
        launch = launch - a.boot_ms[cluster.node_type]
    work = pack(_alone(a, tasks))
    alone = heft(work, Cluster(cluster.node_type, launch), where, whole_run=False)
    return int(play_assignment(work, alone).table.end_ms.max() - clusters.compiled.run_start_ms)


def _alone(a: Arrays, tasks: Ints) -> Arrays:
    """Return the arrays of some tasks, as if none waited for another."""
    nothing, nobody = np.zeros(len(tasks) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    in_ptr, in_idx = _rows(a.in_ptr, a.in_idx, tasks)
    out_ptr, out_idx = _rows(a.out_ptr, a.out_idx, tasks)
    return a._replace(
        pred_ptr=nothing,
        pred_idx=nobody,
        succ_ptr=nothing,
        succ_idx=nobody,
        in_ptr=in_ptr,
        in_idx=in_idx,
        out_ptr=out_ptr,
        out_idx=out_idx,
        cores=a.cores[tasks],
        memory=a.memory[tasks],
        node_compute_ms=a.node_compute_ms[tasks],
        node_ok=a.node_ok[tasks],
        lambda_ms=a.lambda_ms[tasks],
        lambda_usd=a.lambda_usd[tasks],
        out_bytes=a.out_bytes[tasks],
        out_parts=a.out_parts[tasks],
    )


def _rows(ptr: Ints, idx: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return some rows of compressed rows."""
    lengths = np.diff(ptr)[rows]
    ends = np.cumsum(lengths)
    offset = np.repeat(ptr[rows] - (ends - lengths), lengths)
    return np.concatenate([[0], ends]).astype(np.int64), idx[np.arange(len(offset)) + offset]
