"""By how much a run would break its limit if a step's tasks were at another place.

The limit is the deadline, or, where time is the objective, the makespan that the schedule reaches:
to be later than that is to be worse, with or without a deadline.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from placement.engine.clause import Clause, ms
from placement.engine.compiled import NEVER, Compiled, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.paths import last_end, latest_ends
from placement.engine.places import Place, surely_fetched
from placement.engine.policies.goal import Goal
from placement.engine.schedule import Schedule


class Lateness:
    """Says how late places would make one schedule."""

    def __init__(self, compiled: Compiled, schedule: Schedule, goal: Goal) -> None:
        self._a = compiled.arrays
        runs = sorted(schedule.tasks, key=lambda run: run.task)
        self._start = np.array([run.start_ms for run in runs], dtype=np.int64)
        self._end = np.array([run.end_ms for run in runs], dtype=np.int64)
        self._on_lambda = np.array([run.platform == "lambda" for run in runs])
        self._deadline_ms = goal.deadline_ms
        self._limit_ms = schedule.makespan_ms if goal.objective == "time" else goal.deadline_ms

    def at_least(self, tasks: Ints, place: Place) -> Clause | None:
        """Say by how much the limit is broken whatever becomes of the other tasks; None: not.

        Every other task runs where it runs fastest, and nothing waits for a worker.
        """
        if self._limit_ms is None:
            return None
        run_ms = self._least_run_ms(tasks, place, place.boot_ms)
        if run_ms <= self._limit_ms:
            return None
        in_time = self._least_run_ms(tasks, place, 0) <= self._limit_ms
        why = "boots too late" if place.boot_ms and in_time else "too slow"
        if self._deadline_ms is not None and run_ms > self._deadline_ms:
            return Clause(
                f"{why}: at least {{}} past the deadline", (ms(run_ms - self._deadline_ms),)
            )
        return Clause(
            f"{why}: the run would take at least {{}} longer", (ms(run_ms - self._limit_ms),)
        )

    def as_planned(self, tasks: Ints, place: Place) -> Clause | None:
        """Say by how much the limit is broken with all other tasks as they are; None: not."""
        if self._limit_ms is None:
            return None
        ready = self._ready_ms[tasks]
        if place.platform == "lambda":
            ready = ready + self._a.limits[2]
        else:
            ready = np.maximum(ready, self._a.limits[0] + place.boot_ms)
        late = int((ready + place.least_ms - self._latest_ms[tasks]).max())
        if late <= 0:
            return None
        run_ms = self._limit_ms + late
        if self._deadline_ms is not None and run_ms > self._deadline_ms:
            over = ms(run_ms - self._deadline_ms)
            return Clause("all else as planned, {} past the deadline", (over,))
        return Clause("all else as planned, the run would take {} longer", (ms(late),))

    def _least_run_ms(self, tasks: Ints, place: Place, boot_ms: int) -> int:
        a = self._a
        lambda_ms, least_node_ms = self._least_ms
        on_lambda, on_node = lambda_ms.copy(), least_node_ms.copy()
        up = np.full(len(on_node), int(a.limits[0] + a.boot_ms.min(initial=NEVER)))
        on_lambda[tasks] = place.least_ms if place.platform == "lambda" else NEVER
        on_node[tasks] = NEVER if place.platform == "lambda" else place.least_ms
        up[tasks] = a.limits[0] + boot_ms
        return int(last_end(a, on_lambda, on_node, up) + a.limits[1])

    @cached_property
    def _least_ms(self) -> tuple[Ints, Ints]:
        """Return each task's least time on Lambda and on any node (NEVER: not possible).

        No network of a node is faster for a task than one connection.
        """
        a = self._a
        bare = surely_fetched(a)._replace(node_mb_per_s=np.full_like(a.node_mb_per_s, np.inf))
        fastest = int(a.task_start_ms.argmin())
        nodes = np.where(a.node_ok.any(axis=1), NodeTimes(bare).all_ms(fastest), NEVER)
        return a.lambda_ms.min(axis=1, initial=NEVER), nodes

    @cached_property
    def _ready_ms(self) -> Ints:
        """Return when the last predecessor of each task ends in the schedule."""
        a = self._a
        ready = np.full(len(self._end), a.limits[0], dtype=np.int64)
        owner = np.repeat(np.arange(len(ready)), np.diff(a.pred_ptr))
        np.maximum.at(ready, owner, self._end[a.pred_idx])
        return ready

    @cached_property
    def _latest_ms(self) -> Ints:
        """Return when each task must end so that those after it, as they are, keep the limit."""
        assert self._limit_ms is not None
        took = self._end - self._start + np.where(self._on_lambda, self._a.limits[2], 0)
        return latest_ends(self._a, took, int(self._limit_ms - self._a.limits[1]))
