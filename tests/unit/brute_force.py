"""Best plans of tiny task graphs by trying all: an oracle for the planner and for its bounds.

Tasks are placed one by one in the order of their starts. Each may go to every Lambda size, in a
fresh environment or in one that is there (waiting for it), to every node that is there, and to a
new node of every type. It then starts at the earliest moment at which it fits beside those that
start before it (the schedules are semi-active); on a node also at every later moment at which a
file that it reads has come, so that it fetches less. A node is launched so that it is ready when
its first task starts, and not before the run starts. In a whole plan tasks are then held back, the
last first, as far as they can be without moving another one, its fetches, or the end of a lease:
leases begin later. Partial plans that cannot become better than a whole plan that was found, in
time or in cost, are cut off.

Not tried: holding tasks back further, so that the whole run ends later; giving up a semi-active
order for a shorter lease in another way; nodes launched early or kept without work; more than
`max_nodes` leases, which includes releasing a node and launching another instead of letting it
idle. A plan that does so can be cheaper than all that are found here at its time. Only more nodes
can make one faster.

Times and money are those of the checker's model, which shares no code with the planner. The number
of plans grows about as (tasks! x choices^tasks): four or five tasks and few choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any

from placement.books import PlatformBook, PriceBook
from placement.engine.taskgraph import TaskGraph
from tests.checker.books import Books, Node
from tests.checker.model import Model
from tests.checker.tasks import Need, schedule_graph

type LambdaKind = tuple[int, str]
type NodeKind = tuple[str, str]

_MIB = 1 << 20
_RAMP_MS = 10_000
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Found:
    """A plan that no other one beats in both time and cost, and its schedule file's content."""

    makespan_ms: int
    cost_usd: Decimal
    schedule: dict[str, Any]


def pareto(
    graph: TaskGraph,
    prices: PriceBook,
    platforms: PlatformBook,
    *,
    lambda_kinds: Sequence[LambdaKind] = (),
    node_kinds: Sequence[NodeKind] = (),
    max_nodes: int = 2,
) -> tuple[Found, ...]:
    """Return the best plans, the fastest first; of equal ones, the first found. () if none is.

    `lambda_kinds` are pairs of memory in MB and architecture, `node_kinds` of platform ("ray",
    "hpc") and instance type. With as many nodes as tasks, no lease that could help is left out.
    """
    told = _graph_json(graph)
    model = Model(books_of(prices, platforms), schedule_graph(told))
    search = _Search(model, tuple(lambda_kinds), tuple(node_kinds), max_nodes)
    search.extend(_State())
    return tuple(
        Found(makespan, cost, _schedule(search, state) | {"graph": told})
        for makespan, cost, state in sorted(search.front, key=lambda each: each[0])
    )


def books_of(prices: PriceBook, platforms: PlatformBook) -> Books:
    """Return the planner's books as the checker knows them."""
    return Books(
        {name: figure.value for name, figure in platforms.figures.items()},
        {name: figure.value for name, figure in prices.figures.items()},
        {name: figure.value for name, figure in prices.instances.items()},
        {
            name: Node(has.vcpu, int(has.memory_gib * (1 << 30)), has.network_gbps * 125)
            for name, has in platforms.instances.items()
        },
        platforms.lambda_sizes,
        {"ray": platforms.ray_types, "hpc": platforms.hpc_types},
        platforms.hpc_head_type,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A task in its place; times in ms. `fetched` are the inputs that it brings itself."""

    need: Need
    start: int
    startup: int
    transfer_in: int
    transfer_out: int
    compute: int
    fetched: tuple[str, ...]
    usd: Decimal

    @property
    def end(self) -> int:
        return self.start + self.startup + self.transfer_in + self.compute + self.transfer_out


@dataclass(frozen=True, slots=True)
class _Worker:
    """An environment (size and architecture) or a node (type), its runs by their starts."""

    platform: str
    kind: LambdaKind | str
    runs: tuple[_Run, ...] = ()
    there: Mapping[str, int] = field(default_factory=dict)

    def plus(self, run: _Run) -> _Worker:
        """Return the worker with one more run, and when files are first there."""
        there = dict(self.there)
        for file in run.fetched:
            at = run.start + run.startup + run.transfer_in
            there[file] = min(at, there.get(file, _NEVER))
        for file in run.need.outputs:
            there[file] = min(run.end, there.get(file, _NEVER))
        return _Worker(self.platform, self.kind, (*self.runs, run), there)


@dataclass(frozen=True, slots=True)
class _State:
    """A partial plan; `last` is the start of the latest task and its place in the graph."""

    workers: tuple[_Worker, ...] = ()
    ends: Mapping[str, int] = field(default_factory=dict)
    last: tuple[int, int] = (-1, -1)
    tasks_usd: Decimal = Decimal(0)


class _Search:
    def __init__(
        self,
        model: Model,
        lambda_kinds: tuple[LambdaKind, ...],
        node_kinds: tuple[NodeKind, ...],
        max_nodes: int,
    ) -> None:
        self.model = model
        self.front: list[tuple[int, Decimal, _State]] = []
        self._needs = tuple(model.graph.needs.values())
        self._fresh = (
            *(_Worker("lambda", kind) for kind in lambda_kinds),
            *(_Worker(platform, kind) for platform, kind in node_kinds),
        )
        self._max_nodes = max_nodes
        self._node_usd = cache(model.node_usd)
        self._other_usd = cache(self._other)

    def extend(self, state: _State) -> None:
        """Try all that may follow a partial plan, and keep what is best."""
        if self._beaten(self.makespan_ms(state), self.cost(state, self._least_lease_ms)):
            return
        if len(state.ends) < len(self._needs):
            for following in sorted(self._following(state), key=lambda each: each.tasks_usd):
                self.extend(following)
            return
        held = hold_back(self.model, state)
        makespan, cost = self.makespan_ms(held), self.cost(held)
        if not self._beaten(makespan, cost):
            self.front = [each for each in self.front if each[0] < makespan or each[1] < cost]
            self.front.append((makespan, cost, held))

    def _beaten(self, makespan_ms: int, cost: Decimal) -> bool:
        return any(m <= makespan_ms and c <= cost for m, c, _ in self.front)

    def makespan_ms(self, state: _State) -> int:
        return max(state.ends.values(), default=0) + self.model.run_end_ms

    def launch_ms(self, node: _Worker) -> int:
        return node.runs[0].start - self.model.boot_ms[node.platform]

    def lease_ms(self, node: _Worker) -> int:
        return max(run.end for run in node.runs) - self.launch_ms(node)

    def _least_lease_ms(self, node: _Worker) -> int:
        """Return what a lease takes at the least, however its tasks may be moved."""
        takes = [run.end - run.start for run in node.runs]
        work = sum(run.need.cores * ms for run, ms in zip(node.runs, takes, strict=True))
        vcpus = self.model.books.nodes[str(node.kind)].vcpus
        return self.model.boot_ms[node.platform] + max(*takes, -(-work // vcpus))

    def node_usd(self, node: _Worker, lease_ms: int) -> Decimal:
        files = {f for run in node.runs for f in (*run.need.inputs, *run.need.outputs)}
        return self._node_usd(str(node.kind), lease_ms, frozenset(files))

    def cost(self, state: _State, lease_ms: Callable[[_Worker], int] | None = None) -> Decimal:
        """Return what a plan costs, with leases as long as they are unless told otherwise."""
        length = lease_ms or self.lease_ms
        nodes = [worker for worker in state.workers if worker.platform != "lambda"]
        on_hpc = any(node.platform == "hpc" for node in nodes)
        parts = frozenset(self.parts(state))
        other = self._other_usd(parts, self.makespan_ms(state) if on_hpc else 0)
        return state.tasks_usd + sum((self.node_usd(each, length(each)) for each in nodes), other)

    def parts(self, state: _State) -> set[tuple[str, str]]:
        """Return the pairs of a group and a platform that is used for it."""
        return {(r.need.group, worker.platform) for worker in state.workers for r in worker.runs}

    def _other(self, parts: frozenset[tuple[str, str]], hpc_ms: int) -> Decimal:
        lines = self.model.other_lines(parts, hpc_ms, hpc=hpc_ms > 0)
        return sum((line.usd for line in lines), Decimal(0))

    def _following(self, state: _State) -> Iterator[_State]:
        for place, need in enumerate(self._needs):
            if need.id in state.ends or any(p not in state.ends for p in need.predecessors):
                continue
            for at, worker in self._hosts(state, need):
                runs = self._on_lambda if worker.platform == "lambda" else self._on_node
                for run in runs(state, need, worker):
                    # One order for each plan: by the starts, and by the graph where they are equal.
                    if (run.start, place) > state.last:
                        yield _State(
                            (*state.workers[:at], worker.plus(run), *state.workers[at + 1 :]),
                            {**state.ends, need.id: run.end},
                            (run.start, place),
                            state.tasks_usd + run.usd,
                        )

    def _hosts(self, state: _State, need: Need) -> Iterator[tuple[int, _Worker]]:
        group = self.model.graph.groups[need.group]
        allowed = {"hpc"} & set(group.platforms) if group.kind == "mpi" else set(group.platforms)
        nodes = sum(worker.platform != "lambda" for worker in state.workers)
        # Environments of a kind that are free by now are the same to all tasks that follow.
        hosts: dict[Any, tuple[int, _Worker]] = {}
        for at, worker in enumerate(state.workers):
            free = worker.platform == "lambda" and worker.runs[-1].end <= state.last[0]
            hosts.setdefault(worker.kind if free else at, (at, worker))
        for fresh in self._fresh:
            if fresh.platform == "lambda" or nodes < self._max_nodes:
                hosts[fresh.platform, fresh.kind] = (len(state.workers), fresh)
        yield from ((at, worker) for at, worker in hosts.values() if worker.platform in allowed)

    def _ready_ms(self, state: _State, need: Need) -> int:
        return max(
            (state.ends[name] for name in need.predecessors), default=self.model.run_start_ms
        )

    # Lambda

    def _on_lambda(self, state: _State, need: Need, worker: _Worker) -> Iterator[_Run]:
        model = self.model
        assert isinstance(worker.kind, tuple)
        memory_mb, arch = worker.kind
        moved = sum(model.graph.file_bytes[file] for file in (*need.inputs, *need.outputs))
        tmp_bytes = model.books.value("lambda_tmp_mb") * _MIB
        startup = 0 if worker.runs else model.init_ms
        come, gone = model.lambda_moves_ms(need)
        compute = model.lambda_compute_ms(need, memory_mb)
        takes = startup + come + compute + gone
        too_large = need.memory_bytes > memory_mb * _MIB or moved > tmp_bytes
        if too_large or takes > model.timeout_ms:
            return
        earliest = self._ready_ms(state, need) + model.gap_ms
        if worker.runs:
            earliest = max(earliest, worker.runs[-1].end)
        start = self._lambda_start(state, worker, earliest, takes)
        usd = model.lambda_usd(need, memory_mb, arch, takes)
        yield _Run(need, start, startup, come, gone, compute, need.inputs, usd)

    def _lambda_start(self, state: _State, worker: _Worker, earliest: int, takes: int) -> int:
        """Return the first moment at which neither limit of Lambda stands against a start."""
        there = [each for each in state.workers if each.platform == "lambda"]
        moments = {earliest, *(run.end for each in there for run in each.runs)}
        moments |= {each.runs[0].start + _RAMP_MS for each in there}
        runs = [run for each in there for run in each.runs]
        cold = [each.runs[0].start for each in there if each.kind == worker.kind]
        for moment in sorted(each for each in moments if each >= earliest):
            starts = cold if worker.runs else [*cold, moment]
            if _lambda_allows(self.model, runs, starts, moment, takes):
                return moment
        raise AssertionError("all that runs ends")

    # Nodes

    def _on_node(self, state: _State, need: Need, worker: _Worker) -> Iterator[_Run]:
        model, platform = self.model, worker.platform
        node = model.books.nodes[str(worker.kind)]
        if need.cores > node.vcpus or need.memory_bytes > model.node_room_bytes(node):
            return
        earliest = self._ready_ms(state, need)
        if worker.runs:
            earliest = max(earliest, worker.runs[0].start)
        else:
            earliest = max(earliest, model.run_start_ms + model.boot_ms[platform])
        moments = {earliest, *(run.end for run in worker.runs)}
        moments |= {worker.there.get(file, earliest) for file in need.inputs}
        fewest = len(need.inputs) + 1
        for moment in sorted(each for each in moments if each >= earliest):
            run = _node_run(model, need, worker, node, moment)
            if _fits(model, node, worker.runs, run) and len(run.fetched) < fewest:
                fewest = len(run.fetched)
                yield run


def _lambda_allows(
    model: Model, runs: Sequence[_Run], cold: Sequence[int], start: int, takes: int
) -> bool:
    """Whether one more task may run beside `runs`; `cold` are all cold starts of its function."""
    limit = int(model.books.value("lambda_scale_per_10_s"))
    starts = sorted(cold)
    too_fast = any(
        over - first < _RAMP_MS for first, over in zip(starts, starts[limit:], strict=False)
    )
    together = _most(runs, start, takes, lambda _: 1)
    return together < model.books.value("lambda_concurrency") and not too_fast


def _node_run(model: Model, need: Need, worker: _Worker, node: Node, start: int) -> _Run:
    fetched = tuple(f for f in need.inputs if worker.there.get(f, _NEVER) > start)
    come, gone = model.node_moves_ms(need, fetched, node)
    return _Run(
        need,
        start,
        model.task_start_ms[worker.platform],
        come,
        gone,
        model.node_compute_ms(need),
        fetched,
        model.s3_usd(fetched, need.outputs),
    )


def _fits(model: Model, node: Node, runs: Sequence[_Run], run: _Run) -> bool:
    takes = run.end - run.start
    cores = _most(runs, run.start, takes, lambda need: need.cores) + run.need.cores
    memory = _most(runs, run.start, takes, lambda need: need.memory_bytes) + run.need.memory_bytes
    return cores <= node.vcpus and memory <= model.node_room_bytes(node)


def _most(runs: Sequence[_Run], start: int, takes: int, of: Callable[[Need], int]) -> int:
    """Return the most that `runs` hold at once while another one runs."""
    moments = {start, *(run.start for run in runs if start < run.start < start + takes)}
    return max(
        sum(of(run.need) for run in runs if run.start <= moment < run.end) for moment in moments
    )


def hold_back(model: Model, state: _State) -> _State:
    """Return a whole plan with every task as late as nothing else forbids, the last ones first."""
    workers = list(state.workers)
    order = [(run.start, at, run.need) for at, each in enumerate(workers) for run in each.runs]
    for _, at, need in sorted(order, key=lambda each: each[:2], reverse=True):
        worker = workers[at]
        run = next(each for each in worker.runs if each.need is need)
        others = tuple(each for each in worker.runs if each is not run)
        latest = _latest_end(model, workers, worker, run)
        ends = {latest, *(each.start for each in others)}
        for end in sorted((each for each in ends if run.end < each <= latest), reverse=True):
            later = replace(run, start=run.start + end - run.end)
            moved = _moved(model, worker, others, later)
            if moved and _still_allowed(model, workers, at, others, later):
                workers[at] = moved
                break
    ends_of = {run.need.id: run.end for each in workers for run in each.runs}
    return _State(tuple(workers), ends_of, state.last, state.tasks_usd)


def _latest_end(model: Model, workers: Sequence[_Worker], worker: _Worker, run: _Run) -> int:
    """Return when a task must have ended for what follows it, and for its worker's end."""
    latest = max(each.end for each in worker.runs)
    if worker.platform == "lambda":
        latest = max(each.end for other in workers for each in other.runs)
        latest = min([latest, *(each.start for each in worker.runs if each.start > run.start)])
    for other in workers:
        gap = model.gap_ms if other.platform == "lambda" else 0
        starts = [each.start for each in other.runs if run.need.id in each.need.predecessors]
        latest = min([latest, *(start - gap for start in starts)])
    return latest


def _moved(model: Model, worker: _Worker, others: Sequence[_Run], run: _Run) -> _Worker | None:
    """Return a worker with a task moved; None where it does not fit or a fetch would change."""
    runs = sorted((*others, run), key=lambda each: each.start)
    moved = _Worker(worker.platform, worker.kind)
    if worker.platform != "lambda":
        node = model.books.nodes[str(worker.kind)]
        if not _fits(model, node, others, run):
            return None
        for each in runs:
            again = _node_run(model, each.need, moved, node, each.start)
            if again.fetched != each.fetched:
                return None
            moved = moved.plus(each)
        return moved
    for each in runs:
        moved = moved.plus(each)
    return moved


def _still_allowed(
    model: Model, workers: Sequence[_Worker], at: int, others: Sequence[_Run], run: _Run
) -> bool:
    worker = workers[at]
    if worker.platform != "lambda":
        return True
    functions = [(i, each) for i, each in enumerate(workers) if each.platform == "lambda"]
    runs = [*others, *(each for i, other in functions if i != at for each in other.runs)]
    cold = [each.runs[0].start for i, each in functions if i != at and each.kind == worker.kind]
    cold.append(min(each.start for each in (*others, run)))
    return _lambda_allows(model, runs, cold, run.start, run.end - run.start)


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


def _schedule(search: _Search, state: _State) -> dict[str, Any]:
    names = [f"{worker.platform}-{place}" for place, worker in enumerate(state.workers)]
    makespan_ms = search.makespan_ms(state)
    on_hpc = any(worker.platform == "hpc" for worker in state.workers)
    return {
        "tasks": [
            _task_json(run, worker.platform, name)
            for worker, name in zip(state.workers, names, strict=True)
            for run in worker.runs
        ],
        "workers": [
            _environment_json(search, worker, name)
            if worker.platform == "lambda"
            else _node_json(search, worker, name)
            for worker, name in zip(state.workers, names, strict=True)
        ],
        "other": [
            {
                "what": line.what,
                "quantity": f"{line.quantity:f}",
                "unit": line.unit,
                "unit_usd": f"{line.unit_usd:f}",
                "usd": f"{line.usd:f}",
            }
            for line in search.model.other_lines(search.parts(state), makespan_ms, hpc=on_hpc)
        ],
        "makespan_s": makespan_ms / 1000,
        "cost_usd": f"{search.cost(state):f}",
    }


def _task_json(run: _Run, platform: str, worker: str) -> dict[str, Any]:
    return {
        "id": run.need.id,
        "platform": platform,
        "worker": worker,
        "start_s": run.start / 1000,
        "end_s": run.end / 1000,
        "startup_s": run.startup / 1000,
        "transfer_s": (run.transfer_in + run.transfer_out) / 1000,
        "compute_s": run.compute / 1000,
        "cores": run.need.cores,
        "memory_bytes": run.need.memory_bytes,
        "usd": f"{run.usd:f}",
    }


def _environment_json(search: _Search, worker: _Worker, name: str) -> dict[str, Any]:
    assert isinstance(worker.kind, tuple)
    memory_mb, arch = worker.kind
    start = worker.runs[0].start
    return {
        "id": name,
        "platform": "lambda",
        "type": f"{memory_mb} MB {arch}",
        "vcpus": search.model.lambda_vcpus(memory_mb),
        "memory_bytes": memory_mb * _MIB,
        "launch_s": start / 1000,
        "ready_s": (start + search.model.init_ms) / 1000,
        "release_s": worker.runs[-1].end / 1000,
        "usd": "0",
    }


def _node_json(search: _Search, worker: _Worker, name: str) -> dict[str, Any]:
    node = search.model.books.nodes[str(worker.kind)]
    return {
        "id": name,
        "platform": worker.platform,
        "type": worker.kind,
        "vcpus": node.vcpus,
        "memory_bytes": node.memory_bytes,
        "launch_s": search.launch_ms(worker) / 1000,
        "ready_s": worker.runs[0].start / 1000,
        "release_s": max(run.end for run in worker.runs) / 1000,
        "usd": f"{search.node_usd(worker, search.lease_ms(worker)):f}",
    }
