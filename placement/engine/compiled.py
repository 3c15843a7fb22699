"""A task graph and the books as arrays: what the list scheduler reads.

Times are whole milliseconds; a time or a cost that does not exist is `NEVER` or infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from placement.books import InstanceType, PlatformBook, PriceBook
from placement.engine.taskgraph import TaskGraph
from placement.workflow import Platform

type Ints = npt.NDArray[np.int64]
type Floats = npt.NDArray[np.float64]

NEVER = 1 << 60
_BYTES_PER_MB = 1_000_000
_MIB = 1 << 20
_GIB = 1 << 30
_MB_PER_GBIT = 125
_INCLUDED_TMP_MB = 512
NODE_PLATFORMS: tuple[Platform, ...] = ("ray", "hpc")


@dataclass(frozen=True, slots=True)
class LambdaSize:
    """A function: its memory and its architecture."""

    memory_mb: int
    arch: str

    def __str__(self) -> str:
        """Return the size as schedules name it, for example "1769 MB arm64"."""
        return f"{self.memory_mb} MB {self.arch}"


@dataclass(frozen=True, slots=True)
class NodeType:
    """An instance type on one platform."""

    platform: Platform
    name: str


class Arrays(NamedTuple):
    """The arrays, as the compiled code takes them.

    Shapes: one entry per task (t), file (f), Lambda size (s) or node type (y); `*_ptr` and `*_idx`
    are compressed rows: the entries of row i lie from ptr[i] to ptr[i + 1].
    """

    pred_ptr: Ints
    pred_idx: Ints
    succ_ptr: Ints
    succ_idx: Ints
    in_ptr: Ints
    in_idx: Ints
    out_ptr: Ints
    out_idx: Ints
    file_bytes: Ints
    file_parts: Ints  # GET requests that fetch it
    cores: Ints
    memory: Ints
    node_compute_ms: Ints
    node_ok: npt.NDArray[np.bool_]  # (t, y)
    lambda_ms: Ints  # (t, s), start-up of a cold environment left out; NEVER: not possible
    lambda_usd: Floats  # (t, s), of a warm one
    out_bytes: Ints
    out_parts: Ints
    vcpus: Ints
    node_memory: Ints
    node_mb_per_s: Floats
    node_usd_per_ms: Floats  # without its disk
    boot_ms: Ints
    task_start_ms: Ints  # (y)
    lambda_init_usd: Floats  # (s) what a cold start adds
    # s3_get_s, s3_put_s, requests at once, MB/s per connection, USD per GET and per PUT, USD for a
    # GB of a node's disk for a ms, GB of a node's image
    figures: Floats
    limits: Ints  # run_start_ms, run_end_ms, gap_ms, init_ms, concurrency, ramp, minimum_ms


@dataclass(frozen=True, slots=True)
class Compiled:
    """A graph's arrays, and what their columns stand for."""

    graph: TaskGraph
    arrays: Arrays
    lambda_sizes: tuple[LambdaSize, ...]
    node_types: tuple[NodeType, ...]

    @property
    def run_start_ms(self) -> int:
        """When the first task may start, at the earliest."""
        return int(self.arrays.limits[0])

    @property
    def run_end_ms(self) -> int:
        """What passes from the last task's end to the end of the run."""
        return int(self.arrays.limits[1])


def to_ms(seconds: float) -> int:
    """Return seconds as whole milliseconds, rounded up, but not for how floats are kept."""
    return math.ceil(round(seconds * 1000, 6))


def compile_graph(graph: TaskGraph, prices: PriceBook, book: PlatformBook) -> Compiled:
    """Turn a graph and the books into arrays."""
    sizes, types = _offered(book)
    files = _Files.of(graph, book)
    lambda_ms, lambda_usd, init_usd = _on_lambda(graph, files, sizes, prices, book)
    nodes = [book.instance(each.name) for each in types]
    pred_ptr, pred_idx = _rows(task.predecessors for task in graph.tasks)
    succ_ptr, succ_idx = _turned(pred_ptr, pred_idx)
    cores = _ints(task.cores for task in graph.tasks)
    memory = _ints(task.memory_bytes for task in graph.tasks)
    vcpus, node_memory = _ints(node.vcpu for node in nodes), _node_memory(nodes, book)
    scale = book.value("trace_core_speed") / book.value("instance_core_speed")
    arrays = Arrays(
        pred_ptr=pred_ptr,
        pred_idx=pred_idx,
        succ_ptr=succ_ptr,
        succ_idx=succ_idx,
        in_ptr=files.in_ptr,
        in_idx=files.in_idx,
        out_ptr=files.out_ptr,
        out_idx=files.out_idx,
        file_bytes=files.bytes,
        file_parts=files.parts,
        cores=cores,
        memory=memory,
        node_compute_ms=_ints(to_ms(task.runtime_s * scale) for task in graph.tasks),
        node_ok=_allowed_on_nodes(graph, types)
        & (cores[:, None] <= vcpus[None, :])
        & (memory[:, None] <= node_memory[None, :]),
        lambda_ms=lambda_ms,
        lambda_usd=lambda_usd,
        out_bytes=files.out_bytes,
        out_parts=files.out_parts,
        vcpus=vcpus,
        node_memory=node_memory,
        node_mb_per_s=np.array([node.network_gbps * _MB_PER_GBIT for node in nodes]),
        node_usd_per_ms=np.array(
            [float(prices.instance_usd_per_hour(each.name)) / 3_600_000 for each in types]
        ),
        boot_ms=_ints(_boot_ms(each.platform, book) for each in types),
        task_start_ms=_ints(to_ms(book.value(f"{each.platform}_task_start_s")) for each in types),
        lambda_init_usd=init_usd,
        figures=_figures(prices, book),
        limits=_limits(prices, book),
    )
    return Compiled(graph, arrays, sizes, types)


def _offered(book: PlatformBook) -> tuple[tuple[LambdaSize, ...], tuple[NodeType, ...]]:
    """Return the sizes of Lambda and the types of nodes that a book has."""
    sizes = tuple(
        LambdaSize(memory, arch)
        for arch in sorted(book.lambda_sizes)
        for memory in book.lambda_sizes[arch]
    )
    types = tuple(
        NodeType(platform, name)
        for platform, names in zip(NODE_PLATFORMS, (book.ray_types, book.hpc_types), strict=True)
        for name in names
    )
    return sizes, types


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)


def _node_memory(nodes: Iterable[InstanceType], book: PlatformBook) -> Ints:
    """Return what tasks may use of each node's memory (bytes)."""
    reserved = int(book.value("node_reserved_mb")) * _MIB
    return _ints(int(node.memory_gib * _GIB) - reserved for node in nodes)


def _figures(prices: PriceBook, book: PlatformBook) -> Floats:
    return np.array(
        [
            book.value("s3_get_s"),
            book.value("s3_put_s"),
            book.value("s3_requests_at_once"),
            book.value("s3_thread_mb_per_s"),
            float(prices.usd("s3_get")),
            float(prices.usd("s3_put")),
            float(prices.usd("ebs_gp3_gb_month") / prices.rule("month_s")) / 1000,
            book.value("node_image_gb"),
        ]
    )


def _limits(prices: PriceBook, book: PlatformBook) -> Ints:
    times = ("run_start_s", "run_end_s", "state_gap_s", "lambda_init_s")
    counts = ("lambda_concurrency", "lambda_scale_per_10_s")
    return _ints(
        [
            *(to_ms(book.value(name)) for name in times),
            *(int(book.value(name)) for name in counts),
            int(prices.rule("instance_minimum_s") * 1000),
        ]
    )


def _boot_ms(platform: Platform, book: PlatformBook) -> int:
    if platform == "ray":
        return to_ms(book.value("ec2_boot_s") + book.value("ray_setup_s"))
    return to_ms(book.value("hpc_launch_s"))


def _rows(rows: Iterable[Sequence[int]]) -> tuple[Ints, Ints]:
    lengths, entries = [0], list[int]()
    for row in rows:
        entries.extend(row)
        lengths.append(len(entries))
    return np.array(lengths, dtype=np.int64), np.array(entries, dtype=np.int64)


def _turned(ptr: Ints, idx: Ints) -> tuple[Ints, Ints]:
    """Return the rows of the opposite direction."""
    n = len(ptr) - 1
    source = np.repeat(np.arange(n), np.diff(ptr))
    order = np.argsort(idx, kind="stable")
    counts = np.bincount(idx, minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), source[order]


@dataclass(frozen=True, slots=True)
class _Files:
    bytes: Ints
    parts: Ints
    in_ptr: Ints
    in_idx: Ints
    out_ptr: Ints
    out_idx: Ints
    in_bytes: Ints
    in_count: Ints
    in_parts: Ints
    out_bytes: Ints
    out_parts: Ints

    @staticmethod
    def of(graph: TaskGraph, book: PlatformBook) -> _Files:
        """Read a graph's files."""
        size = np.array(graph.file_bytes, dtype=np.int64)
        part = int(book.value("s3_part_mb") * _BYTES_PER_MB)
        parts = np.maximum(1, -(-size // part))
        in_ptr, in_idx = _rows(task.inputs for task in graph.tasks)
        out_ptr, out_idx = _rows(task.outputs for task in graph.tasks)
        return _Files(
            bytes=size,
            parts=parts,
            in_ptr=in_ptr,
            in_idx=in_idx,
            out_ptr=out_ptr,
            out_idx=out_idx,
            in_bytes=row_sums(in_ptr, size[in_idx]),
            in_count=np.diff(in_ptr),
            in_parts=row_sums(in_ptr, parts[in_idx]),
            out_bytes=row_sums(out_ptr, size[out_idx]),
            out_parts=row_sums(out_ptr, parts[out_idx]),
        )


def row_sums(ptr: Ints, values: Ints) -> Ints:
    """Return the sum of each row's values; row i is from `ptr[i]` to `ptr[i + 1]`."""
    return np.diff(np.concatenate([[0], np.cumsum(values)])[ptr])


def _allowed_on_nodes(graph: TaskGraph, types: Sequence[NodeType]) -> npt.NDArray[np.bool_]:
    by_group = np.array(
        [[each.platform in group.platforms for each in types] for group in graph.groups]
    )
    return by_group[[task.group for task in graph.tasks]]


def _on_lambda(
    graph: TaskGraph,
    files: _Files,
    sizes: Sequence[LambdaSize],
    prices: PriceBook,
    book: PlatformBook,
) -> tuple[Ints, Floats, Floats]:
    """Return times (t, s), costs (t, s), and what a cold start adds to the cost (s)."""
    n = len(graph.tasks)
    runtime_s = np.array([task.runtime_s for task in graph.tasks])
    cores = np.array([task.cores for task in graph.tasks])
    memory = np.array([task.memory_bytes for task in graph.tasks])
    allowed = np.array(["lambda" in graph.groups[task.group].platforms for task in graph.tasks])
    fits = allowed & (files.in_bytes + files.out_bytes <= book.value("lambda_tmp_mb") * _MIB)
    moved_ms = _lambda_moving_ms(files.in_bytes, files.in_count, "s3_get_s", book)
    moved_ms += _lambda_moving_ms(files.out_bytes, np.diff(files.out_ptr), "s3_put_s", book)
    init_ms = to_ms(book.value("lambda_init_s"))
    times = np.full((n, len(sizes)), NEVER, dtype=np.int64)
    costs = np.full((n, len(sizes)), np.inf)
    per_call_usd = (
        float(prices.usd("lambda_request"))
        + book.value("transitions_per_lambda_batch") * float(prices.usd("state_transition"))
        + files.in_parts * float(prices.usd("s3_get"))
        + files.out_parts * float(prices.usd("s3_put"))
    )
    usd_per_ms = np.array([_lambda_usd_per_ms(size, prices, book) for size in sizes])
    for column, size in enumerate(sizes):
        vcpus = min(
            size.memory_mb / book.value("lambda_mb_per_vcpu"), book.value("lambda_max_vcpus")
        )
        factor = cores / np.minimum(cores, vcpus)
        compute_s = (
            runtime_s * book.value("trace_core_speed") * factor / book.value("lambda_core_speed")
        )
        ms = moved_ms + _ceil_ms(compute_s)
        ok = fits & (memory <= size.memory_mb * _MIB)
        ok &= ms + init_ms <= to_ms(book.value("lambda_timeout_s"))
        times[ok, column] = ms[ok]
        costs[ok, column] = (per_call_usd + ms * usd_per_ms[column])[ok]
    return times, costs, init_ms * usd_per_ms


def _lambda_usd_per_ms(size: LambdaSize, prices: PriceBook, book: PlatformBook) -> float:
    tmp_mb = max(0.0, book.value("lambda_tmp_mb") - _INCLUDED_TMP_MB)
    return (
        size.memory_mb * float(prices.lambda_usd_per_gb_s(size.arch))
        + tmp_mb * float(prices.usd("lambda_storage_gb_s"))
    ) / 1_024_000


def _lambda_moving_ms(size: Ints, count: Ints, latency: str, book: PlatformBook) -> Ints:
    burst = book.value("lambda_burst_mb") * _BYTES_PER_MB
    seconds = (
        np.ceil(count / book.value("s3_requests_at_once")) * book.value(latency)
        + np.minimum(size, burst) / 1e6 / book.value("lambda_burst_mb_per_s")
        + np.maximum(0, size - burst) / 1e6 / book.value("lambda_transfer_mb_per_s")
    )
    return np.where(count > 0, _ceil_ms(seconds), 0)


def _ceil_ms(seconds: Floats) -> Ints:
    return np.ceil(np.round(seconds * 1000, 6)).astype(np.int64)
