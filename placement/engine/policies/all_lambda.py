"""`all-lambda`: every task on Lambda, as soon as it is ready.

What is left to choose is each task's size. The candidates are the cheapest size for every task (if
all started cold, if all started warm), the fastest for every task, and between them sizes for a
deadline: each task gets a deadline of its own and takes the cheapest size that keeps it. Its
deadline lies between its latest end by the critical path method (the first tasks of a path may use
up all its slack) and its earliest end stretched in proportion (all tasks share the slack), at
several shares of the one and the other. For a budget the deadline is halved in on. All candidates
are simulated; the goal chooses among them.

Complexity: a few dozen runs of the simulator at the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import NEVER, Compiled, Ints, compile_graph
from placement.engine.jit import njit
from placement.engine.listscheduler import L_GAP, L_INIT, L_START, T_PREDS, Work, pack
from placement.engine.policies.costing import Costing
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.sizes import cheapest_sizes, fastest_sizes
from placement.engine.simulator import Assignment, Simulated, play_assignment
from placement.engine.taskgraph import TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
BUDGET_SHARES = (0.5, 1.0)
BUDGET_STEPS = 10
_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class _Candidate:
    run: Simulated
    usd: float

    @property
    def makespan_ms(self) -> int:
        return self.run.table.makespan_ms


def all_lambda(
    compiled: Compiled, prices: PriceBook, book: PlatformBook, policy: str, goal: Goal
) -> Timetable | Infeasible:
    """Return the run on Lambda that the goal wants, or why there is none."""
    never = (compiled.arrays.lambda_ms >= NEVER).all(axis=1)
    if never.any():
        return Infeasible(_why_not(compiled, int(np.argmax(never)), prices, book))
    found = _Sizes(compiled, Costing(compiled, prices, book)).candidates(goal)
    best = min(found, key=lambda each: goal.key(each.makespan_ms, each.usd))
    return goal.judged(policy, best.run.table, best.usd)


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Tries sizes for the tasks of a graph that all fit Lambda."""

    compiled: Compiled
    costing: Costing

    def candidates(self, goal: Goal) -> Iterator[_Candidate]:
        """Yield runs with the cheapest sizes, the fastest, and those that aim at the goal."""
        cheapest = [self._run(cheapest_sizes(self._work, cold=cold)) for cold in (True, False)]
        yield from cheapest
        yield self._fastest
        if goal.deadline_ms is not None:
            yield from self._for_deadline(goal.deadline_ms, SHARES)
        if goal.budget_usd is not None and goal.objective == "time":
            least = min(cheapest, key=lambda each: each.usd)
            yield from self._for_budget(replace(goal, deadline_ms=None), least)

    def _for_budget(self, goal: Goal, cheapest: _Candidate) -> Iterator[_Candidate]:
        low, high = self._fastest.makespan_ms, cheapest.makespan_ms
        if not goal.kept_by(cheapest.makespan_ms, cheapest.usd):
            return
        for _ in range(BUDGET_STEPS):
            middle = (low + high) // 2
            found = list(self._for_deadline(middle, BUDGET_SHARES))
            yield from found
            if any(goal.kept_by(each.makespan_ms, each.usd) for each in found):
                high = middle
            else:
                low = middle

    def _for_deadline(self, deadline_ms: int, shares: Iterable[float]) -> Iterator[_Candidate]:
        """Yield runs that are to keep a deadline; those that queue may miss it.

        So they aim at a deadline too that is sooner by what queueing costs the fastest sizes.
        """
        earliest, latest = self._ends
        end_ms, path_ms = self.compiled.run_end_ms, int(earliest.max())
        queued_ms = self._fastest.makespan_ms - end_ms - path_ms
        start = self.compiled.run_start_ms
        for last in sorted({deadline_ms - end_ms, deadline_ms - end_ms - queued_ms}):
            even = start + (earliest - start) * ((last - start) / max(1, path_ms - start))
            for share in shares:
                own = (latest + last - path_ms) * (1 - share) + even * share
                yield self._run(sizes_in_time(self._work, own.astype(np.int64)))

    def _run(self, sizes: Ints) -> _Candidate:
        nowhere = np.full(len(sizes), NO_WORKER, dtype=np.int64)
        nobody = np.zeros(0, dtype=np.int64)
        # Where environments are short, what is most urgent goes first.
        assignment = Assignment(nowhere, sizes, self._ends[1], nobody, nobody)
        run = play_assignment(self._work, assignment)
        return _Candidate(run, self.costing.usd(run))

    @cached_property
    def _work(self) -> Work:
        return pack(self.compiled.arrays)

    @cached_property
    def _fastest(self) -> _Candidate:
        return self._run(fastest_sizes(self._work))

    @cached_property
    def _ends(self) -> tuple[Ints, Ints]:
        return earliest_and_latest_ends(self._work)


@njit(cache=True)
def earliest_and_latest_ends(w: Work) -> tuple[Ints, Ints]:
    """Return when every task can end at the earliest, and must at the latest (ms).

    At its fastest size and in a cold environment, and so that the last of all ends no later.
    """
    n, sizes = w.tasks.shape[0] - 1, w.lambda_ms.shape[1]
    took, earliest = np.full(n, NEVER, np.int64), np.zeros(n, np.int64)
    last = 0
    for task in range(n):
        for size in range(sizes):
            took[task] = min(took[task], w.lambda_ms[task, size])
        took[task] += w.limits[L_GAP] + w.limits[L_INIT]
        start = w.limits[L_START]
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            start = max(start, earliest[w.links[k]])
        earliest[task] = start + took[task]
        last = max(last, earliest[task])
    latest = np.full(n, last, np.int64)
    for task in range(n - 1, -1, -1):
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            latest[w.links[k]] = min(latest[w.links[k]], latest[task] - took[task])
    return earliest, latest


@njit(cache=True)
def sizes_in_time(w: Work, deadline_ms: Ints) -> Ints:
    """Return for every task the cheapest size that keeps its own deadline, else the fastest.

    As if every task found a cold environment as soon as it is ready. Of equals the first size.
    """
    n, sizes = deadline_ms.shape[0], w.lambda_ms.shape[1]
    chosen, end = np.full(n, NO_WORKER, np.int64), np.zeros(n, np.int64)
    for task in range(n):
        start = w.limits[L_START]
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            start = max(start, end[w.links[k]])
        start += w.limits[L_GAP] + w.limits[L_INIT]
        best_late, best_usd = NEVER, np.inf
        for size in range(sizes):
            usd = w.lambda_usd[task, size] + w.lambda_init_usd[size]
            late = max(0, start + w.lambda_ms[task, size] - deadline_ms[task])
            if late < best_late or (late == best_late and usd < best_usd):
                best_late, best_usd, chosen[task] = late, usd, size
        end[task] = start + w.lambda_ms[task, chosen[task]]
    return chosen


def _why_not(compiled: Compiled, task: int, prices: PriceBook, book: PlatformBook) -> str:
    """Say why a task cannot run on Lambda."""
    graph, one = compiled.graph, compiled.graph.tasks[task]
    group = graph.groups[one.group]
    if "lambda" not in group.platforms:
        return f'task "{one.id}" may run on {" and ".join(group.platforms)} only'
    largest = max(size.memory_mb for size in compiled.lambda_sizes)
    if one.memory_bytes > largest * _MIB:
        return (
            f'task "{one.id}" needs {one.memory_bytes / _GIB:.1f} GiB of memory, and Lambda has '
            f"{largest * _MIB / _GIB:.1f} GiB at the most"
        )
    files = sum(graph.file_bytes[file] for file in (*one.inputs, *one.outputs))
    room = int(book.value("lambda_tmp_mb") * _MIB)
    if files > room:
        return (
            f'task "{one.id}" has {files / _GIB:.1f} GiB of files, and /tmp holds '
            f"{room / _GIB:.1f} GiB"
        )
    return (
        f'task "{one.id}" takes {_unlimited_s(graph, task, prices, book):.0f} s at the fastest '
        f"size, and a call ends at {book.value('lambda_timeout_s'):.0f} s"
    )


def _unlimited_s(graph: TaskGraph, task: int, prices: PriceBook, book: PlatformBook) -> float:
    """Return how long a task would take on Lambda if it might take any time."""
    alone = replace(graph, tasks=(replace(graph.tasks[task], predecessors=()),))
    long = replace(
        book.figures["lambda_timeout_s"], value=book.figures["lambda_timeout_s"].value * 10**9
    )
    patient = replace(book, figures={**book.figures, "lambda_timeout_s": long})
    a = compile_graph(alone, prices, patient).arrays
    return float(a.lambda_ms.min() + a.limits[L_INIT]) / 1000
