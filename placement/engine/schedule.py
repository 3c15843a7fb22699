"""A schedule with its exact account: every task, every worker, and what the run costs besides."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from placement import account
from placement.account import Item, LambdaCall, decimal_text, total
from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled, LambdaSize
from placement.engine.taskgraph import TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from placement.model import run_items
from placement.workflow import Platform

_MIB = 1 << 20
_BYTES_PER_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task: where and when it runs (ms), and what it costs itself (USD)."""

    task: int
    platform: Platform
    worker: str
    start_ms: int
    end_ms: int
    startup_ms: int
    transfer_ms: int
    compute_ms: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Worker:
    """A node, from its launch to its release, or a Lambda environment; times in ms."""

    id: str
    platform: Platform
    type: str
    vcpus: float
    memory_bytes: int
    launch_ms: int
    ready_ms: int
    release_ms: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Schedule:
    """All tasks in topological order, all workers, and the items that belong to neither."""

    graph: TaskGraph
    tasks: tuple[TaskRun, ...]
    workers: tuple[Worker, ...]
    other: tuple[Item, ...]
    makespan_ms: int

    @property
    def usd(self) -> Decimal:
        """The exact sum of all tasks, workers and other items."""
        tasks = sum((each.usd for each in self.tasks), Decimal(0))
        return sum((each.usd for each in self.workers), tasks) + total(self.other)

    def to_json(self) -> dict[str, Any]:
        """Return everything that is needed to check the schedule without this code."""
        return {
            "tasks": [_task_json(self.graph, each) for each in self.tasks],
            "workers": [_worker_json(each) for each in self.workers],
            "other": [item.to_json() for item in self.other],
            "makespan_s": self.makespan_ms / 1000,
            "cost_usd": decimal_text(self.usd),
            "graph": _graph_json(self.graph),
        }


def _task_json(graph: TaskGraph, run: TaskRun) -> dict[str, Any]:
    task = graph.tasks[run.task]
    return {
        "id": task.id,
        "platform": run.platform,
        "worker": run.worker,
        "start_s": run.start_ms / 1000,
        "end_s": run.end_ms / 1000,
        "startup_s": run.startup_ms / 1000,
        "transfer_s": run.transfer_ms / 1000,
        "compute_s": run.compute_ms / 1000,
        "cores": task.cores,
        "memory_bytes": task.memory_bytes,
        "usd": decimal_text(run.usd),
    }


def _worker_json(worker: Worker) -> dict[str, Any]:
    return {
        "id": worker.id,
        "platform": worker.platform,
        "type": worker.type,
        "vcpus": worker.vcpus,
        "memory_bytes": worker.memory_bytes,
        "launch_s": worker.launch_ms / 1000,
        "ready_s": worker.ready_ms / 1000,
        "release_s": worker.release_ms / 1000,
        "usd": decimal_text(worker.usd),
    }


def _graph_json(graph: TaskGraph) -> dict[str, Any]:
    return {
        "tasks": [
            {
                "id": task.id,
                "group": graph.groups[task.group].name,
                "runtime_s": task.runtime_s,
                "cores": task.cores,
                "memory_bytes": task.memory_bytes,
                "inputs": [graph.file_names[file] for file in task.inputs],
                "outputs": [graph.file_names[file] for file in task.outputs],
                "predecessors": [graph.tasks[before].id for before in task.predecessors],
            }
            for task in graph.tasks
        ],
        "files": dict(zip(graph.file_names, graph.file_bytes, strict=True)),
        "groups": [
            {"name": group.name, "kind": group.kind, "platforms": list(group.platforms)}
            for group in graph.groups
        ],
    }


def make_schedule(
    compiled: Compiled, table: Timetable, prices: PriceBook, book: PlatformBook
) -> Schedule:
    """Give a timetable its account."""
    return _Accountant(compiled, table, prices, book).schedule()


@dataclass(frozen=True, slots=True)
class _Plain:
    """What is read of every task as lists: single entries of arrays take ten times as long."""

    start_ms: list[int]
    end_ms: list[int]
    startup_ms: list[int]
    in_ms: list[int]
    node: list[int]
    compute_ms: list[int]
    out_parts: list[int]
    file_parts: list[int]

    @classmethod
    def of(cls, compiled: Compiled, table: Timetable) -> _Plain:
        """Read a timetable."""
        arrays = compiled.arrays
        return cls(
            table.start_ms.tolist(),
            table.end_ms.tolist(),
            table.startup_ms.tolist(),
            table.in_ms.tolist(),
            table.node.tolist(),
            arrays.node_compute_ms.tolist(),
            arrays.out_parts.tolist(),
            arrays.file_parts.tolist(),
        )


class _Accountant:
    """Costs one timetable."""

    def __init__(
        self, compiled: Compiled, table: Timetable, prices: PriceBook, book: PlatformBook
    ) -> None:
        self._compiled, self._table, self._prices, self._book = compiled, table, prices, book
        self._graph = compiled.graph
        self._plain = _Plain.of(compiled, table)
        # The same calls and the same leases come again and again.
        self._lambda_usd = cache(self._cost_of_call)
        self._request_usd = cache(self._cost_of_requests)

    def schedule(self) -> Schedule:
        """Return the timetable with its account."""
        environments, workers = self._environments()
        on_nodes = self._tasks_by_node()
        runs = [
            self._on_lambda(task, environments[task]) if node == NO_WORKER else None
            for task, node in enumerate(self._plain.node)
        ]
        for node in range(len(self._table.node_type)):
            files: set[int] = set()
            for run in self._on_node(node, on_nodes[node], files):
                runs[run.task] = run
            workers.append(self._node(node, files))
        done = tuple(run for run in runs if run is not None)
        return Schedule(
            self._graph, done, tuple(workers), self._other(done, workers), self._table.makespan_ms
        )

    # Lambda

    def _environments(self) -> tuple[dict[int, str], list[Worker]]:
        """Return which environment runs which task, and the environments.

        A warm task goes to the environment of its size that became free last. Where the start of
        an environment takes no time, warm and cold look alike, and a task is cold if none is free.
        """
        table, init_ms = self._table, int(self._compiled.arrays.limits[3])
        order = sorted(
            (self._plain.start_ms[task], self._plain.end_ms[task], task)
            for task, node in enumerate(self._plain.node)
            if node == NO_WORKER
        )
        used: dict[str, list[int]] = {}
        free: dict[int, list[tuple[int, str]]] = defaultdict(list)
        of_task: dict[int, str] = {}
        for start, _, task in order:
            size = int(table.size[task])
            at = None if table.startup_ms[task] else _free_last(free[size], start)
            if at is None:
                assert table.startup_ms[task] == init_ms
                name = f"lambda-{len(used) + 1:05d}"
                used[name] = [start, size, 0]
            else:
                _, name = free[size].pop(at)
            of_task[task] = name
            used[name][2] = int(table.end_ms[task])
            free[size].append((int(table.end_ms[task]), name))
        return of_task, [
            self._environment(name, self._compiled.lambda_sizes[size], first, last, init_ms)
            for name, (first, size, last) in used.items()
        ]

    def _environment(
        self, name: str, size: LambdaSize, first: int, last: int, init_ms: int
    ) -> Worker:
        vcpus = size.memory_mb / self._book.value("lambda_mb_per_vcpu")
        return Worker(
            id=name,
            platform="lambda",
            type=str(size),
            vcpus=min(vcpus, self._book.value("lambda_max_vcpus")),
            memory_bytes=size.memory_mb * _MIB,
            launch_ms=first,
            ready_ms=first + init_ms,
            release_ms=last,
            usd=Decimal(0),
        )

    def _on_lambda(self, task: int, environment: str) -> TaskRun:
        table, arrays = self._table, self._compiled.arrays
        size = self._compiled.lambda_sizes[int(table.size[task])]
        start, end = int(table.start_ms[task]), int(table.end_ms[task])
        scale = self._book.value("trace_core_speed") / self._book.value("lambda_core_speed")
        one = self._graph.tasks[task]
        vcpus = min(
            size.memory_mb / self._book.value("lambda_mb_per_vcpu"),
            self._book.value("lambda_max_vcpus"),
        )
        factor = one.cores / min(one.cores, vcpus)
        compute = math.ceil(round(one.runtime_s * scale * factor * 1000, 6))
        gets = sum(self._plain.file_parts[file] for file in one.inputs)
        startup = int(table.startup_ms[task])
        return TaskRun(
            task=task,
            platform="lambda",
            worker=environment,
            start_ms=start,
            end_ms=end,
            startup_ms=startup,
            transfer_ms=end - start - startup - compute,
            compute_ms=compute,
            usd=self._lambda_usd(size, end - start)
            + self._request_usd(int(arrays.out_parts[task]), gets),
        )

    def _cost_of_call(self, size: LambdaSize, billed_ms: int) -> Decimal:
        call = LambdaCall(
            size.memory_mb,
            billed_ms,
            tmp_mb=int(self._book.value("lambda_tmp_mb")),
            arch=size.arch,
        )
        transitions = int(self._book.value("transitions_per_lambda_batch"))
        return total(account.lambda_items(self._prices, [call])) + total(
            account.transition_items(self._prices, transitions)
        )

    def _cost_of_requests(self, put: int, get: int) -> Decimal:
        return total(account.s3_request_items(self._prices, put=put, get=get))

    # nodes

    def _tasks_by_node(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        starts, nodes = self._plain.start_ms, self._plain.node
        for task in sorted(range(len(nodes)), key=lambda t: (starts[t], t)):
            if nodes[task] != NO_WORKER:
                found[nodes[task]].append(task)
        return found

    def _on_node(self, node: int, tasks: Iterable[int], files: set[int]) -> Iterable[TaskRun]:
        """Return the runs of a node's tasks, given in the order of their starts.

        `files` becomes the files that lie on its disk in the end.
        """
        plain, there_since = self._plain, dict[int, int]()
        kind = self._compiled.node_types[int(self._table.node_type[node])]
        name = _node_name(kind.platform, node)
        for task in tasks:
            one = self._graph.tasks[task]
            start, end = plain.start_ms[task], plain.end_ms[task]
            startup, compute = plain.startup_ms[task], plain.compute_ms[task]
            brought, gets = start + startup + plain.in_ms[task], 0
            for file in one.inputs:
                since = there_since.get(file, end)
                if since > start:
                    gets += plain.file_parts[file]
                if since > brought or file not in there_since:
                    there_since[file] = brought
            for file in one.outputs:
                there_since[file] = min(end, there_since.get(file, end))
            yield TaskRun(
                task=task,
                platform=kind.platform,
                worker=name,
                start_ms=start,
                end_ms=end,
                startup_ms=startup,
                transfer_ms=end - start - startup - compute,
                compute_ms=compute,
                usd=self._request_usd(plain.out_parts[task], gets),
            )
        files.update(there_since)

    def _node(self, node: int, files: set[int]) -> Worker:
        table = self._table
        column = int(table.node_type[node])
        kind = self._compiled.node_types[column]
        launch, release = int(table.launch_ms[node]), int(table.release_ms[node])
        data_gb = sum(self._graph.file_bytes[file] for file in files) / _BYTES_PER_GB
        items = account.instance_items(
            self._prices,
            kind.name,
            (release - launch) / 1000,
            1,
            launched=True,
            disk_gb=math.ceil(self._book.value("node_image_gb") + data_gb),
        )
        return Worker(
            id=_node_name(kind.platform, node),
            platform=kind.platform,
            type=kind.name,
            vcpus=int(self._compiled.arrays.vcpus[column]),
            memory_bytes=int(self._compiled.arrays.node_memory[column]),
            launch_ms=launch,
            ready_ms=launch + int(self._compiled.arrays.boot_ms[column]),
            release_ms=release,
            usd=total(items),
        )

    # what belongs to no task and no worker

    def _other(self, runs: Iterable[TaskRun], workers: Iterable[Worker]) -> tuple[Item, ...]:
        book, prices = self._book, self._prices
        parts = {(self._graph.tasks[run.task].group, run.platform) for run in runs}
        on_clusters = sum(platform != "lambda" for _, platform in parts)
        items = [
            *run_items(len(self._graph.groups), prices, book),
            *account.transition_items(prices, len(parts) * int(book.value("transitions_per_part"))),
            *account.sqs_items(prices, on_clusters * int(book.value("sqs_requests_per_job"))),
        ]
        if any(worker.platform == "hpc" for worker in workers):
            seconds = self._table.makespan_ms / 1000
            items += account.instance_items(prices, book.hpc_head_type, seconds, 1, launched=False)
            items += account.fsx_items(prices, book.value("fsx_gb"), seconds)
        return tuple(items)


def _free_last(environments: Sequence[tuple[int, str]], now: int) -> int | None:
    """Return the position of the last one that is free by then; None: none is."""
    return next(
        (at for at in range(len(environments) - 1, -1, -1) if environments[at][0] <= now), None
    )


def _node_name(platform: Platform, node: int) -> str:
    return f"{platform}-{node + 1:05d}"
