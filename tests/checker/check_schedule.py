"""Checks a schedule against its trace and the two books, sharing no code with the planner.

    python tests/checker/check_schedule.py TRACE.json SCHEDULE.json [--books FOLDER]
    python tests/checker/check_schedule.py - SCHEDULE.json

`-` stands for no trace: the tasks are then those of the schedule's own "graph". All that
`docs/model.md` says of a plan is computed again from the trace (WfFormat 1.5) and the books: times
to 2 ms, money to 1e-9 USD a line, sums exactly. Prints what is wrong, a line each. Exit codes: 0
the schedule is right, 1 it is not, 2 it cannot be checked.

Times are whole milliseconds, t = 0 is the upload. Intervals are half open: what ends at t leaves
room for what starts at t.
"""

import argparse
import heapq
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

# As a script it is started from anywhere; its modules are named from the repository's root.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.checker.books import BOOKS, Books, Node, read_books
from tests.checker.model import Line, Model, line, rounded
from tests.checker.plan import Row, Schedule, Worker, read_schedule
from tests.checker.tasks import (
    PLATFORMS,
    Graph,
    schedule_graph,
    trace_graph,
)

TOLERANCE_MS = 2
TOLERANCE_USD = Decimal("1e-9")
_MIB = 1 << 20
_RAMP_MS = 10_000
_SHOWN = 200
_LAMBDA_TYPE = re.compile(r"(\d+) MB (\w+)")


def check(
    trace: Mapping[str, Any] | None, schedule: Mapping[str, Any], books: Path | Books = BOOKS
) -> list[str]:
    """Return what is wrong with a schedule, a sentence each; empty where it is right.

    `trace` is a WfFormat 1.5 document; None: the tasks are those of the schedule's own "graph".
    `books` are the books, or the folder that they lie in. Raises ValueError, TypeError or KeyError
    where the trace or a book cannot be read.
    """
    figures = books if isinstance(books, Books) else read_books(books)
    problems: list[str] = []
    plan = read_schedule(schedule, problems)
    own = None
    if "graph" in schedule:
        try:
            own = schedule_graph(schedule["graph"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return [*problems, f"the schedule's graph cannot be read: {error!r}"]
    if trace is None and own is None:
        return [*problems, "there is neither a trace nor a graph in the schedule"]
    graph = own
    if trace is not None:
        graph = trace_graph(trace, figures)
        if own is not None:
            problems += _graph_differs(graph, own)
    if plan is None or graph is None:
        return problems
    return problems + list(_Check(Model(figures, graph), plan).violations())


def _graph_differs(true: Graph, told: Graph) -> Iterator[str]:
    """Compare the schedule's own graph with the trace; its groups may have names of their own."""
    for name in sorted(true.needs.keys() ^ told.needs.keys()):
        where = "the trace" if name in true.needs else "the schedule's graph"
        yield f'graph: task "{name}" is in {where} only'
    for name in sorted(true.needs.keys() & told.needs.keys()):
        for field in ("runtime_s", "cores", "memory_bytes", "inputs", "outputs", "predecessors"):
            have, want = getattr(told.needs[name], field), getattr(true.needs[name], field)
            same = set(have) == set(want) if isinstance(want, tuple) else have == want
            if not same:
                yield f'graph: task "{name}" has {field} {have}; the trace says {want}'
    named = {f for need in true.needs.values() for f in (*need.inputs, *need.outputs)}
    for file in sorted(named):
        have_bytes, want_bytes = told.file_bytes.get(file), true.file_bytes[file]
        if have_bytes != want_bytes:
            yield f'graph: file "{file}" has {have_bytes} bytes; the trace says {want_bytes}'
    groups: dict[str, set[str]] = defaultdict(set)
    for name in true.needs.keys() & told.needs.keys():
        groups[f'group "{told.needs[name].group}"'].add(f'"{true.needs[name].group}"')
        groups[f'type and level "{true.needs[name].group}"'].add(f'"{told.needs[name].group}"')
    for group, others in sorted(groups.items()):
        if len(others) > 1:
            yield f"graph: {group} has tasks of several: {', '.join(sorted(others))}"


def _s(time_ms: int) -> str:
    return f"{time_ms / 1000:.3f} s"


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class _Check:
    """One schedule under one model. Every method yields what it finds wrong."""

    model: Model
    plan: Schedule

    @cached_property
    def workers(self) -> dict[str, Worker]:
        return {worker.id: worker for worker in self.plan.workers}

    @cached_property
    def rows(self) -> dict[str, Row]:
        return {row.id: row for row in self.plan.rows if row.id in self.model.graph.needs}

    @cached_property
    def by_worker(self) -> dict[str, list[Row]]:
        """Tasks of every worker by their starts."""
        found: dict[str, list[Row]] = {name: [] for name in self.workers}
        for row in self.rows.values():
            if row.worker in found:
                found[row.worker].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row.start, row.end, row.id))
        return found

    def violations(self) -> Iterator[str]:
        yield from self._all_there()
        for row in self.rows.values():
            yield from self._task(row)
        yield from self._precedence()
        for worker in self.plan.workers:
            if worker.platform == "lambda":
                yield from self._environment(worker)
            else:
                yield from self._node(worker)
        yield from self._concurrency()
        yield from self._ramp()
        yield from self._others()
        yield from self._totals()

    def _all_there(self) -> Iterator[str]:
        times = Counter(row.id for row in self.plan.rows)
        for name in self.model.graph.needs:
            if name not in times:
                yield f'task "{name}" is not in the schedule'
        for name, count in times.items():
            if count > 1:
                yield f'task "{name}" is in the schedule {count} times'
            if name not in self.model.graph.needs:
                yield f'task "{name}" is in the schedule and not in the workflow'
        for name, count in Counter(worker.id for worker in self.plan.workers).items():
            if count > 1:
                yield f'worker "{name}" is in the schedule {count} times'

    def _task(self, row: Row) -> Iterator[str]:
        """What holds of every task wherever it runs."""
        where, need = f'task "{row.id}"', self.model.graph.needs[row.id]
        group = self.model.graph.groups[need.group]
        if row.platform not in PLATFORMS:
            yield f'{where} is on an unknown platform "{row.platform}"'
        elif row.platform not in group.platforms:
            yield f"{where} is on {row.platform}; its group may run on {', '.join(group.platforms)}"
        if group.kind == "mpi" and row.platform != "hpc":
            yield f"{where} is an MPI program and is on {row.platform}, not on hpc"
        worker = self.workers.get(row.worker)
        if worker is None:
            yield f'{where} is on the worker "{row.worker}", which is not there'
        elif worker.platform != row.platform:
            yield f'{where} is on {row.platform}, its worker "{worker.id}" on {worker.platform}'
        if (row.cores, row.memory_bytes) != (need.cores, need.memory_bytes):
            yield (
                f"{where} has {row.cores} cores and {row.memory_bytes} bytes of memory; it needs "
                f"{need.cores} and {need.memory_bytes}"
            )
        if min(row.startup, row.transfer, row.compute) < 0:
            yield f"{where} has a part of negative length"
        parts = row.startup + row.transfer + row.compute
        if row.end - row.start != parts:
            yield f"{where} takes {_s(row.end - row.start)}; its parts sum up to {_s(parts)}"

    def _precedence(self) -> Iterator[str]:
        model = self.model
        for row in self.rows.values():
            gap = model.gap_ms if row.platform == "lambda" else 0
            if row.start < model.run_start_ms + gap:
                earliest = _s(model.run_start_ms + gap)
                yield f'task "{row.id}" starts at {_s(row.start)}; none may before {earliest}'
            for name in model.graph.needs[row.id].predecessors:
                before = self.rows.get(name)
                if before and row.start < before.end + gap:
                    yield (
                        f'task "{row.id}" starts at {_s(row.start)}; "{name}" ends at '
                        f"{_s(before.end)}" + (f", and {_s(gap)} pass" if gap else "")
                    )

    # Lambda

    def _environment(self, worker: Worker) -> Iterator[str]:
        where, model = f'worker "{worker.id}"', self.model
        match = _LAMBDA_TYPE.fullmatch(worker.type)
        memory, arch = (int(match[1]), match[2]) if match else (0, "")
        if memory not in model.books.lambda_sizes.get(arch, ()):
            yield f'{where} is "{worker.type}", which is not offered'
            return
        rows = self.by_worker[worker.id]
        if not rows:
            yield f"{where} is an environment without a task"
            return
        yield from self._differs(
            where,
            [
                ("vcpus", worker.vcpus, model.lambda_vcpus(memory), 1e-3),
                ("memory_bytes", worker.memory_bytes, memory * _MIB, 0),
            ],
        )
        yield from self._times_differ(
            where,
            [
                ("launch", worker.launch, rows[0].start, 0),
                ("ready", worker.ready, rows[0].start + model.init_ms, TOLERANCE_MS),
                ("release", worker.release, max(row.end for row in rows), 0),
            ],
        )
        yield from self._money_differs(where, worker.usd, Decimal(0))
        for before, row in pairwise(rows):
            if row.start < before.end:
                yield (
                    f'{where} runs "{row.id}" from {_s(row.start)}, while "{before.id}" ends at '
                    f"{_s(before.end)}"
                )
        for place, row in enumerate(rows):
            yield from self._lambda_task(row, memory, arch, cold=place == 0)

    def _lambda_task(self, row: Row, memory_mb: int, arch: str, *, cold: bool) -> Iterator[str]:
        where, model, need = f'task "{row.id}"', self.model, self.model.graph.needs[row.id]
        yield from self._times_differ(
            where,
            [
                ("startup", row.startup, model.init_ms if cold else 0, TOLERANCE_MS),
                ("transfer", row.transfer, sum(model.lambda_moves_ms(need)), TOLERANCE_MS),
                ("compute", row.compute, model.lambda_compute_ms(need, memory_mb), TOLERANCE_MS),
            ],
        )
        if need.memory_bytes > memory_mb * _MIB:
            yield f"{where} needs {need.memory_bytes} bytes; its function has {memory_mb * _MIB}"
        sizes = model.graph.file_bytes
        disk = sum(sizes[file] for file in (*need.inputs, *need.outputs))
        room = int(model.books.exact("lambda_tmp_mb") * _MIB)
        if disk > room:
            yield f"{where} moves {disk} bytes; /tmp holds {room}"
        if row.end - row.start > model.timeout_ms:
            yield f"{where} takes {_s(row.end - row.start)}; a call ends at {_s(model.timeout_ms)}"
        usd = model.lambda_usd(need, memory_mb, arch, row.end - row.start)
        yield from self._money_differs(where, row.usd, usd)

    def _concurrency(self) -> Iterator[str]:
        limit = int(self.model.books.exact("lambda_concurrency"))
        ends: list[int] = []
        for row in sorted(self._on_lambda(), key=lambda row: (row.start, row.end)):
            while ends and ends[0] <= row.start:
                heapq.heappop(ends)
            heapq.heappush(ends, row.end)
            if len(ends) > limit:
                yield (
                    f'{len(ends)} tasks are on Lambda at {_s(row.start)} when "{row.id}" starts; '
                    f"the account allows {limit}"
                )
                return

    def _on_lambda(self) -> Iterator[Row]:
        return (row for row in self.rows.values() if row.platform == "lambda")

    def _ramp(self) -> Iterator[str]:
        limit = int(self.model.books.exact("lambda_scale_per_10_s"))
        starts: dict[str, list[int]] = defaultdict(list)
        for worker in self.plan.workers:
            rows = self.by_worker[worker.id]
            if worker.platform == "lambda" and rows:
                starts[worker.type].append(rows[0].start)
        for kind, times in sorted(starts.items()):
            times.sort()
            for first, over in zip(times, times[limit:], strict=False):
                if over - first < _RAMP_MS:
                    yield (
                        f"{limit + 1} new environments of {kind} start from {_s(first)} to "
                        f"{_s(over)}; {limit} may in 10 s"
                    )
                    break

    # Nodes

    def _node(self, worker: Worker) -> Iterator[str]:
        where, model = f'worker "{worker.id}"', self.model
        if worker.platform not in model.books.types:
            yield f'{where} is on an unknown platform "{worker.platform}"'
            return
        if worker.type not in model.books.types[worker.platform]:
            yield f'{where} is "{worker.type}", which is not offered for {worker.platform}'
            return
        node, rows = model.books.nodes[worker.type], self.by_worker[worker.id]
        yield from self._differs(where, [("vcpus", worker.vcpus, node.vcpus, 0)])
        room = model.node_room_bytes(node)
        if worker.memory_bytes not in {node.memory_bytes, room}:
            yield (
                f"{where} has memory_bytes {worker.memory_bytes}; it should be "
                f"{node.memory_bytes}, or {room} without the reserve"
            )
        yield from self._lease(worker, rows)
        yield from self._capacity(worker, node, rows)
        yield from self._node_tasks(worker, node, rows)
        files = (
            file
            for row in rows
            for part in (model.graph.needs[row.id].inputs, model.graph.needs[row.id].outputs)
            for file in part
        )
        usd = model.node_usd(worker.type, worker.release - worker.launch, files)
        yield from self._money_differs(where, worker.usd, usd)

    def _lease(self, worker: Worker, rows: Sequence[Row]) -> Iterator[str]:
        where, model = f'worker "{worker.id}"', self.model
        if worker.launch < model.run_start_ms:
            yield (
                f"{where} is launched at {_s(worker.launch)}; the run starts at "
                f"{_s(model.run_start_ms)}"
            )
        ready = worker.launch + model.boot_ms[worker.platform]
        yield from self._times_differ(where, [("ready", worker.ready, ready, TOLERANCE_MS)])
        if worker.release < worker.ready:
            yield f"{where} is released at {_s(worker.release)}, ready at {_s(worker.ready)}"
        for row in rows:
            if row.start < worker.ready:
                yield (
                    f'task "{row.id}" starts at {_s(row.start)}; its {where} is ready at '
                    f"{_s(worker.ready)}"
                )
            if row.end > worker.release:
                yield (
                    f'task "{row.id}" ends at {_s(row.end)}; its {where} is released at '
                    f"{_s(worker.release)}"
                )

    def _capacity(self, worker: Worker, node: Node, rows: Sequence[Row]) -> Iterator[str]:
        needs, room = self.model.graph.needs, self.model.node_room_bytes(node)
        running: list[tuple[int, str]] = []
        cores = memory = 0
        # What the schedule says a task holds is checked elsewhere; what it needs counts here.
        for row in rows:
            while running and running[0][0] <= row.start:
                ended = needs[heapq.heappop(running)[1]]
                cores, memory = cores - ended.cores, memory - ended.memory_bytes
            heapq.heappush(running, (row.end, row.id))
            cores += needs[row.id].cores
            memory += needs[row.id].memory_bytes
            when = f'worker "{worker.id}" at {_s(row.start)}, when "{row.id}" starts:'
            if cores > node.vcpus:
                yield f"{when} {cores} cores are used; it has {node.vcpus}"
            if memory > room:
                yield f"{when} {memory} bytes of memory are used; it has {room}"
            if cores > node.vcpus or memory > room:
                return

    def _node_tasks(self, worker: Worker, node: Node, rows: Sequence[Row]) -> Iterator[str]:
        model = self.model
        # When a file was first there. Tasks come by their starts, and what a task brings is there
        # later than its start, so all that matters for a task is known when it is looked at.
        there: dict[str, int] = {}
        for row in rows:
            need = model.graph.needs[row.id]
            fetched = [f for f in need.inputs if f not in there or there[f] > row.start]
            in_ms, out_ms = model.node_moves_ms(need, fetched, node)
            for file in fetched:
                there[file] = min(there.get(file, sys.maxsize), row.start + row.startup + in_ms)
            for file in need.outputs:
                there[file] = min(there.get(file, sys.maxsize), row.end)
            where = f'task "{row.id}"'
            startup = model.task_start_ms[worker.platform]
            yield from self._times_differ(
                where,
                [
                    ("startup", row.startup, startup, TOLERANCE_MS),
                    ("transfer", row.transfer, in_ms + out_ms, TOLERANCE_MS),
                    ("compute", row.compute, model.node_compute_ms(need), TOLERANCE_MS),
                ],
            )
            yield from self._money_differs(where, row.usd, model.s3_usd(fetched, need.outputs))

    # The run

    def _others(self) -> Iterator[str]:
        """Compare the other lines by unit and unit price: their names and cuts are free."""
        model, needs = self.model, self.model.graph.needs
        expected = model.other_lines(
            ((needs[row.id].group, row.platform) for row in self.rows.values()),
            self.plan.makespan_ms,
            hpc=any(worker.platform == "hpc" for worker in self.plan.workers),
        )
        for each in self.plan.other:
            usd = line(each.what, each.quantity, each.unit, each.unit_usd).usd
            yield from self._money_differs(f'other "{each.what}"', each.usd, usd)
        want, have = _sums(expected), _sums(self.plan.other)
        for key in sorted(want.keys() | have.keys()):
            nothing: tuple[Decimal, list[str]] = (Decimal(0), [])
            want_quantity, want_names = want.get(key, nothing)
            have_quantity, have_names = have.get(key, nothing)
            if abs(have_quantity - want_quantity) > Decimal("1e-6"):
                names = ", ".join(want_names or have_names)
                yield (
                    f'other "{names}": {_plain(have_quantity)} {key[0]} at {_plain(key[1])} USD; '
                    f"it should be {_plain(want_quantity)}"
                )

    def _totals(self) -> Iterator[str]:
        plan = self.plan
        last = max((row.end for row in plan.rows), default=0)
        makespan = last + self.model.run_end_ms
        yield from self._times_differ("the schedule", [("makespan", plan.makespan_ms, makespan, 0)])
        lines: tuple[Sequence[Row | Worker | Line], ...] = (plan.rows, plan.workers, plan.other)
        with localcontext(prec=60):
            cost = sum((each.usd for part in lines for each in part), Decimal(0))
        if plan.cost_usd != cost:
            have, want = _plain(plan.cost_usd), _plain(cost)
            yield f"the schedule has cost_usd {have}; its lines sum up to {want}"

    # Comparisons

    def _times_differ(
        self, where: str, times: Iterable[tuple[str, int, int, int]]
    ) -> Iterator[str]:
        for what, have, want, allowed in times:
            if abs(have - want) > allowed:
                yield f"{where} has {what} {_s(have)}; it should be {_s(want)}"

    def _differs(
        self, where: str, figures: Iterable[tuple[str, float, float, float]]
    ) -> Iterator[str]:
        for what, have, want, allowed in figures:
            if abs(have - want) > allowed:
                yield f"{where} has {what} {have:g}; it should be {want:g}"

    def _money_differs(self, where: str, have: Decimal, want: Decimal) -> Iterator[str]:
        if abs(have - want) > TOLERANCE_USD:
            yield f"{where} has usd {_plain(have)}; it should be {_plain(want)}"


def _sums(lines: Iterable[Line]) -> dict[tuple[str, Decimal], tuple[Decimal, list[str]]]:
    """Return quantity and names by unit and unit price."""
    sums: dict[tuple[str, Decimal], tuple[Decimal, list[str]]] = {}
    for each in lines:
        key = (each.unit, rounded(each.unit_usd, 15))
        quantity, names = sums.get(key, (Decimal(0), []))
        sums[key] = (quantity + each.quantity, [*names, each.what])
    return sums


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a schedule from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Check a schedule against its trace and the books."
    )
    parser.add_argument("trace", help='a WfFormat 1.5 trace, or "-" for the schedule\'s own graph')
    parser.add_argument("schedule", type=Path)
    parser.add_argument("--books", type=Path, default=BOOKS, help="the folder of the books")
    asked = parser.parse_args(arguments)
    try:
        trace = None if asked.trace == "-" else _json(Path(asked.trace))
        schedule = _json(asked.schedule)
        found = check(trace, schedule, asked.books)
    except (OSError, ValueError, TypeError, KeyError) as error:
        sys.stderr.write(f"cannot check: {error!r}\n")
        return 2
    for problem in found[:_SHOWN]:
        sys.stdout.write(f"{problem}\n")
    if len(found) > _SHOWN:
        sys.stdout.write(f"and {len(found) - _SHOWN} more\n")
    if not found:
        sys.stdout.write(
            f"right: {len(schedule['tasks'])} tasks on {len(schedule['workers'])} workers, "
            f"{schedule['makespan_s']} s, {schedule['cost_usd']} USD\n"
        )
    return 1 if found else 0


def _json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise TypeError(f"{path} holds no JSON object")
    return data


if __name__ == "__main__":
    sys.exit(main())
