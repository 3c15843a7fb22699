"""What every task takes and costs at the least, on Lambda and on every kind of node.

Independent of deadline and prices. Times are milliseconds, money is USD; `NEVER` and infinity stand
for what is not possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placement import account
from placement.books import PlatformBook, PriceBook
from placement.engine.bounding.arrays import NEVER, Bools, Floats, Ints, Rows, all_ms, ms, usd
from placement.engine.bounding.nodes import NodeType, Weights, alike, node_types, resource_weights
from placement.engine.taskgraph import TaskGraph
from placement.model import run_items
from placement.workflow import Platform

_MIB = 1 << 20
_BYTES_PER_MB = 1_000_000
_INCLUDED_TMP_MB = 512


@dataclass(frozen=True, slots=True)
class OnLambda:
    """Times and costs by task and size, of warm environments; sizes that never help left out."""

    ms: Ints
    usd: Floats


@dataclass(frozen=True, slots=True)
class NodeKind:
    """Node types of one platform that move data about equally fast, and the tasks on them.

    A task holds its cores for at least `before_ms` (its start, and the fetch of files that only it
    reads), then for `main_ms` (computing, and putting its outputs). When that second part begins,
    its node has been ready for at least `age_ms`: in the beginning nothing lies on a node. A fetch
    of the file of set f takes at least `fetch_ms[f]`.
    """

    platform: Platform
    boot_ms: int
    types: tuple[NodeType, ...]
    fits: Bools
    before_ms: Ints
    main_ms: Ints
    age_ms: Ints
    fetch_ms: Floats


@dataclass(frozen=True, slots=True)
class FileSets:
    """Tasks of one group that read one initial file: where one of them is on a node, it is fetched.

    `of_task` is a task's set or -1, `readers` are all tasks that read the set's file. `usd_per_ms`
    is what a fetch holds at the least, `get_usd` the requests of one.
    """

    of_task: Ints
    file: Ints
    readers: Rows
    usd_per_ms: Floats
    get_usd: Floats


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of groups with edges between them, for prices on waiting.

    A task of the later group weighs 1 in a pair if it waits for any task of the earlier one; that 1
    is shared out among those that it waits for. `into` and `out_of` hold the pairs of each task,
    `weight` stands beside the entries of `out_of`; `groups` are the two of each pair.
    """

    groups: Ints
    into: Rows
    out_of: Rows
    weight: Floats

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the bounds of one graph need of it and of the books."""

    tasks: int
    groups: int
    group: Ints
    before: Rows
    run_start_ms: int
    run_end_ms: int
    gap_ms: int
    on_lambda: OnLambda
    kinds: tuple[NodeKind, ...]
    weights: Weights
    usd_per_ms: Floats
    sets: FileSets
    pairs: Pairs
    own_get_usd: Floats
    constant_usd: float
    part_on_lambda_usd: float
    part_on_nodes_usd: float
    hpc_usd_per_ms: float


def facts_of(graph: TaskGraph, prices: PriceBook, book: PlatformBook) -> Facts:
    """Read a graph and the books."""
    return _Reader(graph, prices, book).facts()


class _Reader:
    def __init__(self, graph: TaskGraph, prices: PriceBook, book: PlatformBook) -> None:
        self.graph, self.prices, self.book = graph, prices, book
        self.inputs = Rows.of(task.inputs for task in graph.tasks)
        self.outputs = Rows.of(task.outputs for task in graph.tasks)
        self.size = np.array(graph.file_bytes, dtype=np.int64)
        part = int(book.value("s3_part_mb") * _BYTES_PER_MB)
        self.parts = np.maximum(1, -(-self.size // part))
        self.cores = np.array([task.cores for task in graph.tasks], dtype=np.int64)
        self.memory = np.array([task.memory_bytes for task in graph.tasks], dtype=np.int64)
        self.group = np.array([task.group for task in graph.tasks], dtype=np.int64)
        self.runtime_s = np.array([task.runtime_s for task in graph.tasks], dtype=np.float64)
        self.runtime_s *= book.value("trace_core_speed")
        self.initial = np.bincount(self.outputs.entries, minlength=len(self.size)) == 0
        self.readers = np.bincount(self.inputs.entries, minlength=len(self.size))
        # The widest reader of a file moves it fastest.
        self.reader_cores = np.ones(len(self.size), dtype=np.int64)
        np.maximum.at(self.reader_cores, self.inputs.entries, self.cores[self.inputs.owners()])

    def facts(self) -> Facts:
        """Work everything out."""
        prices, book = self.prices, self.book
        compute_ms = all_ms(self.runtime_s / book.value("instance_core_speed"))
        types = node_types(prices, book, int(self._bytes_touched().min()))
        weights = resource_weights(types, compute_ms, self.cores, self.memory)
        usd_per_ms = weights.core_usd_per_ms * self.cores + weights.byte_usd_per_ms * self.memory
        sets = self._sets(usd_per_ms)
        own = self._own()
        before = Rows.of(task.predecessors for task in self.graph.tasks)
        run = account.total(run_items(len(self.graph.groups), prices, book))
        puts = int(self.outputs.sums(self.parts[self.outputs.entries]).sum())
        part_usd = book.value("transitions_per_part") * usd(prices.usd("state_transition"))
        jobs_usd = book.value("sqs_requests_per_job") * usd(prices.usd("sqs_request"))
        return Facts(
            tasks=len(self.graph.tasks),
            groups=len(self.graph.groups),
            group=self.group,
            before=before,
            run_start_ms=ms(book.value("run_start_s")),
            run_end_ms=ms(book.value("run_end_s")),
            gap_ms=ms(book.value("state_gap_s")),
            on_lambda=self._on_lambda(),
            kinds=tuple(
                self._kind(alike, compute_ms, own, sets)
                for alike in alike(types, weights, self._thread(), self._moved_mb_per_s(usd_per_ms))
            ),
            weights=weights,
            usd_per_ms=usd_per_ms,
            sets=sets,
            pairs=_pairs(self.group, len(self.graph.groups), before),
            own_get_usd=np.float64(usd(prices.usd("s3_get")))
            * self.inputs.sums(np.where(own, self.parts[self.inputs.entries], 0)),
            constant_usd=float(run) + puts * usd(prices.usd("s3_put")),
            part_on_lambda_usd=part_usd,
            part_on_nodes_usd=part_usd + jobs_usd,
            hpc_usd_per_ms=self._hpc_usd_per_ms(),
        )

    def _thread(self) -> float:
        return self.book.value("s3_thread_mb_per_s")

    def _moved_mb_per_s(self, usd_per_ms: Floats) -> float:
        """Return what tasks move per second of computing, in the mean by what they hold."""
        largest = np.zeros(len(self.cores), dtype=np.int64)
        np.maximum.at(largest, self.inputs.owners(), self.size[self.inputs.entries])
        moved_mb = (largest + self._bytes_out()) / _BYTES_PER_MB / self.cores
        worked_s = max(
            1e-3, float((usd_per_ms * self.runtime_s).sum() / max(1e-300, usd_per_ms.sum()))
        )
        return float((usd_per_ms * moved_mb).sum() / max(1e-300, usd_per_ms.sum()) / worked_s)

    def _bytes_touched(self) -> Ints:
        """Return by task the bytes of its files; one that it reads and writes is one file."""
        both = [
            sum(self.graph.file_bytes[file] for file in {*task.inputs}.intersection(task.outputs))
            for task in self.graph.tasks
        ]
        return self._bytes_in() + self._bytes_out() - np.array(both, dtype=np.int64)

    def _bytes_in(self) -> Ints:
        return self.inputs.sums(self.size[self.inputs.entries])

    def _bytes_out(self) -> Ints:
        return self.outputs.sums(self.size[self.outputs.entries])

    def _own(self) -> Bools:
        """Whether an input is an initial file that nobody else reads: its task has to fetch it."""
        file = self.inputs.entries
        own: Bools = self.initial[file] & (self.readers[file] == 1)
        return own

    # Lambda

    def _on_lambda(self) -> OnLambda:
        prices, book, graph = self.prices, self.book, self.graph
        allowed = np.array(["lambda" in group.platforms for group in graph.groups])[self.group]
        tmp_mb = book.value("lambda_tmp_mb")
        allowed &= self._bytes_in() + self._bytes_out() <= tmp_mb * _MIB
        moved_ms = self._lambda_moving_ms(self._bytes_in(), self.inputs.counts(), "s3_get_s")
        moved_ms += self._lambda_moving_ms(self._bytes_out(), self.outputs.counts(), "s3_put_s")
        each_usd = (
            usd(prices.usd("lambda_request"))
            + book.value("transitions_per_lambda_batch") * usd(prices.usd("state_transition"))
            + self.inputs.sums(self.parts[self.inputs.entries]) * usd(prices.usd("s3_get"))
        )
        tmp_usd = max(0.0, tmp_mb - _INCLUDED_TMP_MB) * usd(prices.usd("lambda_storage_gb_s"))
        times, costs = [], []
        for arch, sizes in sorted(book.lambda_sizes.items()):
            for memory in sizes:
                vcpus = min(
                    memory / book.value("lambda_mb_per_vcpu"), book.value("lambda_max_vcpus")
                )
                slower = self.cores / np.minimum(self.cores, vcpus)
                compute = self.runtime_s * slower / book.value("lambda_core_speed")
                took = moved_ms + all_ms(compute)
                fits = allowed & (self.memory <= memory * _MIB)
                fits &= took <= ms(book.value("lambda_timeout_s"))
                usd_per_ms = (memory * usd(prices.lambda_usd_per_gb_s(arch)) + tmp_usd) / 1_024_000
                times.append(np.where(fits, took, NEVER))
                costs.append(np.where(fits, each_usd + took * usd_per_ms, np.inf))
        return _without_useless(np.array(times).T, np.array(costs).T)

    def _lambda_moving_ms(self, size: Ints, count: Ints, latency: str) -> Ints:
        book = self.book
        burst = book.value("lambda_burst_mb") * _BYTES_PER_MB
        seconds = (
            np.ceil(count / book.value("s3_requests_at_once")) * book.value(latency)
            + np.minimum(size, burst) / 1e6 / book.value("lambda_burst_mb_per_s")
            + np.maximum(0, size - burst) / 1e6 / book.value("lambda_transfer_mb_per_s")
        )
        return np.where(count > 0, all_ms(seconds), 0)

    # nodes

    def _kind(
        self, types: tuple[NodeType, ...], compute_ms: Ints, own: Bools, sets: FileSets
    ) -> NodeKind:
        book, platform = self.book, types[0].platform
        core_mb_per_s = max(each.core_mb_per_s for each in types)
        start_ms = ms(book.value(f"{platform}_task_start_s"))
        mb_per_s = np.minimum(self._thread(), core_mb_per_s * self.cores)
        file_mb_per_s = np.minimum(self._thread(), core_mb_per_s * self.reader_cores)
        at_once, get_s = book.value("s3_requests_at_once"), book.value("s3_get_s")
        out_s = (
            np.ceil(self.outputs.counts() / at_once) * book.value("s3_put_s")
            + self._bytes_out() / 1e6 / mb_per_s
        )
        main_ms = compute_ms + np.where(self.outputs.counts() > 0, all_ms(out_s), 0)
        own_count = self.inputs.sums(own.astype(np.int64))
        own_s = (
            np.ceil(own_count / at_once) * get_s
            + self.inputs.sums(np.where(own, self.size[self.inputs.entries], 0)) / 1e6 / mb_per_s
        )
        made_ms = np.full(len(self.size), NEVER, dtype=np.int64)
        np.minimum.at(made_ms, self.outputs.entries, main_ms[self.outputs.owners()])
        there_ms = np.minimum(all_ms(get_s + self.size / 1e6 / file_mb_per_s), made_ms)
        age_ms = np.zeros(len(self.cores), dtype=np.int64)
        np.maximum.at(age_ms, self.inputs.owners(), there_ms[self.inputs.entries])
        allowed = np.array([platform in group.platforms for group in self.graph.groups])
        room = np.zeros(len(self.cores), dtype=np.bool_)
        for each in types:
            room |= (self.cores <= each.vcpus) & (self.memory <= each.memory_bytes)
        return NodeKind(
            platform=platform,
            boot_ms=_boot_ms(platform, book),
            types=types,
            fits=allowed[self.group] & room,
            before_ms=start_ms + np.where(own_count > 0, all_ms(own_s), 0),
            main_ms=main_ms,
            age_ms=start_ms + age_ms,
            fetch_ms=self.size[sets.file] / 1e3 / file_mb_per_s[sets.file],
        )

    def _sets(self, usd_per_ms: Floats) -> FileSets:
        """Put tasks together by the largest initial file that they share; one group per file."""
        file, task = self.inputs.entries, self.inputs.owners()
        shared = self.initial[file] & (self.readers[file] > 1)
        least = np.full(len(self.size), np.inf)
        np.minimum.at(least, file, usd_per_ms[task])
        file, task = file[shared], task[shared]
        order = np.lexsort((file, -self.size[file], task))
        first = np.unique(task[order], return_index=True)[1]
        file, task = file[order][first], task[order][first]
        key = file * len(self.graph.groups) + self.group[task]
        keys, index, count = np.unique(key, return_inverse=True, return_counts=True)
        of_file = keys // len(self.graph.groups)
        best = np.lexsort((keys, -count, of_file))
        kept = best[np.unique(of_file[best], return_index=True)[1]]
        number = np.full(len(keys), -1, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        of_task = np.full(len(self.cores), -1, dtype=np.int64)
        of_task[task] = number[index]
        chosen = of_file[kept]
        get_usd = self.parts[chosen] * usd(self.prices.usd("s3_get"))
        return FileSets(of_task, chosen, self._readers_of(chosen), least[chosen], get_usd)

    def _readers_of(self, files: Ints) -> Rows:
        number = np.full(len(self.size), -1, dtype=np.int64)
        number[files] = np.arange(len(files))
        of_entry = number[self.inputs.entries]
        order = np.argsort(of_entry, kind="stable")
        order = order[np.count_nonzero(of_entry < 0) :]
        ptr = np.concatenate([[0], np.cumsum(np.bincount(of_entry[order], minlength=len(files)))])
        return Rows(ptr.astype(np.int64), self.inputs.owners()[order])

    def _hpc_usd_per_ms(self) -> float:
        """Return what an MPI cluster costs besides its nodes: its head node and its file system."""
        prices, book = self.prices, self.book
        head = prices.instance_usd_per_hour(book.hpc_head_type) / 3600
        disk = prices.usd("fsx_scratch2_gb_month") / prices.rule("month_s")
        return (usd(head) + usd(disk) * book.value("fsx_gb")) / 1000


def _boot_ms(platform: Platform, book: PlatformBook) -> int:
    if platform == "ray":
        return ms(book.value("ec2_boot_s") + book.value("ray_setup_s"))
    return ms(book.value("hpc_launch_s"))


def _without_useless(took_ms: Ints, cost: Floats) -> OnLambda:
    """Leave out every size that another one beats, or equals, in time and cost for all tasks."""
    kept: list[int] = []
    for size in range(took_ms.shape[1]):
        for other in range(took_ms.shape[1]):
            slower = (took_ms[:, other] <= took_ms[:, size]).all()
            beaten = slower and (cost[:, other] <= cost[:, size]).all()
            same = (took_ms[:, other] == took_ms[:, size]).all() and np.array_equal(
                cost[:, other], cost[:, size]
            )
            if beaten and other != size and (not same or other < size):
                break
        else:
            kept.append(size)
    return OnLambda(np.ascontiguousarray(took_ms[:, kept]), np.ascontiguousarray(cost[:, kept]))


def _pairs(group: Ints, groups: int, before: Rows) -> Pairs:
    earlier, later = before.entries, before.owners()
    pairs, pair = np.unique(group[earlier] * groups + group[later], return_inverse=True)
    count = max(1, len(pairs))
    waits, waiting, times = np.unique(later * count + pair, return_inverse=True, return_counts=True)
    serves, serving = np.unique(earlier * count + pair, return_inverse=True)
    weight = np.bincount(serving, 1 / times[waiting], len(serves))
    return Pairs(
        np.stack([pairs // groups, pairs % groups], axis=1).astype(np.int64),
        _split(waits, count, len(group)),
        _split(serves, count, len(group)),
        weight.astype(np.float64),
    )


def _split(keys: Ints, count: int, rows: int) -> Rows:
    """Return rows from sorted keys row * count + entry."""
    ptr = np.searchsorted(keys, np.arange(rows + 1) * count).astype(np.int64)
    return Rows(ptr, keys % count)
