"""What each platform and size would mean for the tasks of a group, each task by itself.

A time is that of a task in a cold environment, or on a node that is up and has none of its inputs;
a cost is what the task takes of a node that is used in full. The least time and the least cost are
those of a warm environment, or of a node that has every input that it can have already: no schedule
goes below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from placement.books import PlatformBook, PriceBook
from placement.engine.clause import Clause, Quantity, count, mib, ms, name
from placement.engine.compiled import (
    NEVER,
    NODE_PLATFORMS,
    Arrays,
    Compiled,
    Floats,
    Ints,
    compile_graph,
    row_sums,
    to_ms,
)
from placement.engine.ladder import RUNGS, build_ladder
from placement.engine.node_times import NodeTimes
from placement.engine.timetable import NO_WORKER
from placement.workflow import PLATFORMS, Platform

type Bools = npt.NDArray[np.bool_]

_MIB = 1 << 20
_LONG_S = Decimal(10**9)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A platform and size for one group; the arrays have an entry per task of it.

    `ms` is `NEVER`, and the other three mean nothing, for tasks that do not fit, of which `misfit`
    says why. A node is paid for at `usd_per_ms` while it boots and as long as it is up.
    """

    platform: Platform
    size: str
    misfit: Clause | None
    ms: Ints
    usd: Floats
    least_ms: Ints
    least_usd: Floats
    boot_ms: int = 0
    usd_per_ms: float = 0.0
    least_requests_usd: float = 0.0  # what `least_usd` holds of S3 requests, for all tasks


class Places:
    """The places that there are for each group of a graph, under the two books."""

    def __init__(self, compiled: Compiled, prices: PriceBook, book: PlatformBook) -> None:
        self._compiled, self._prices, self._book = compiled, prices, book
        self._a = compiled.arrays
        group = np.array([task.group for task in compiled.graph.tasks], dtype=np.int64)
        order = np.argsort(group, kind="stable")
        sizes = np.bincount(group, minlength=len(compiled.graph.groups))
        self._tasks = np.split(order, np.cumsum(sizes)[:-1])
        self._times, self._least_times = NodeTimes(self._a), NodeTimes(self._least)
        self._ladders = {
            each: build_ladder(compiled, self._times, each).types for each in NODE_PLATFORMS
        }
        self._node_ms = cache(self._node_times)

    def tasks(self, group: int) -> Ints:
        """Return the tasks of a group."""
        return self._tasks[group]

    def of(self, group: int, used: Iterable[tuple[Platform, str]]) -> tuple[Place, ...]:
        """Return the places for a group, by platform and size.

        They are all sizes of Lambda, of Ray nodes the cheapest type of each number of vCPUs, of
        hpc nodes the smallest, the cheapest and the fastest type, and all that are `used`.
        """
        allowed = self._compiled.graph.groups[group].platforms
        found: list[Place] = []
        for platform in PLATFORMS:
            if platform not in allowed:
                found.append(_nowhere(platform, _only_on(allowed), len(self._tasks[group])))
            elif platform == "lambda":
                found += self._on_lambda(group)
            else:
                columns = {
                    column
                    for column in self._columns(platform)
                    if (platform, self._compiled.node_types[column].name) in used
                }
                found += self._on_nodes(group, platform, columns)
        return tuple(found)

    # Lambda

    def _on_lambda(self, group: int) -> Iterator[Place]:
        a, tasks = self._a, self._tasks[group]
        init_ms = int(a.limits[3])
        for column, size in enumerate(self._compiled.lambda_sizes):
            least_ms, least_usd = a.lambda_ms[tasks, column], a.lambda_usd[tasks, column]
            yield Place(
                platform="lambda",
                size=str(size),
                misfit=self._lambda_misfit(tasks, column),
                ms=np.where(least_ms < NEVER, least_ms + init_ms, NEVER),
                usd=least_usd + a.lambda_init_usd[column],
                least_ms=least_ms,
                least_usd=least_usd,
            )

    def _lambda_misfit(self, tasks: Ints, column: int) -> Clause | None:
        a, memory = self._a, self._compiled.lambda_sizes[column].memory_mb * _MIB
        misfit = self._misfit(tasks, a.memory[tasks], memory, "need", "of memory", mib)
        if misfit is None:
            tmp = int(self._book.value("lambda_tmp_mb") * _MIB)
            held = self._in_bytes[tasks] + a.out_bytes[tasks]
            misfit = self._misfit(tasks, held, tmp, "need", "for their files", mib)
        if misfit is None and (a.lambda_ms[tasks, column] >= NEVER).any():
            limit = to_ms(self._book.value("lambda_timeout_s"))
            took = self._unlimited_ms[tasks, column] + int(a.limits[3])
            misfit = self._misfit(tasks, took, limit, "take", "", ms)
        return misfit

    @cached_property
    def _unlimited_ms(self) -> Ints:
        """Return what `lambda_ms` would be if tasks might take any time."""
        limit = replace(self._book.figures["lambda_timeout_s"], value=_LONG_S)
        figures = {**self._book.figures, "lambda_timeout_s": limit}
        book = replace(self._book, figures=figures)
        return compile_graph(self._compiled.graph, self._prices, book).arrays.lambda_ms

    @cached_property
    def _in_bytes(self) -> Ints:
        return row_sums(self._a.in_ptr, self._a.file_bytes[self._a.in_idx])

    # nodes

    def _on_nodes(self, group: int, platform: Platform, used: set[int]) -> Iterator[Place]:
        """Yield the node types to show, those with the fewest vCPUs first."""
        rungs = self._ladders[platform][self._tasks[group][0]]
        columns = used | {int(column) for column in rungs if column != NO_WORKER}
        if platform == "hpc":
            columns = used | self._few(group, int(rungs[-1]))
        sizes = self._a.vcpus
        shown = [(int(sizes[y]), self._type_name(y), self._node(group, y)) for y in columns]
        if platform == "ray":
            shown += self._too_small(group, rungs)
        if not columns:
            largest = max(self._columns(platform), key=lambda y: (self._a.node_memory[y], sizes[y]))
            place = replace(self._node(group, largest), size=f"up to {self._type_name(largest)}")
            shown.append((int(sizes[largest]), "", place))
        for _, _, place in sorted(shown, key=lambda each: each[:2]):
            yield place

    def _few(self, group: int, smallest: int) -> set[int]:
        """Return the smallest, the cheapest and the fastest hpc type for a group; none if none."""
        tasks = self._tasks[group]
        fit = [y for y in self._columns("hpc") if self._a.node_ok[tasks, y].all()]
        if not fit:
            return set()
        places = {y: self._node(group, y) for y in fit}
        usd = {y: float(each.usd.sum()) for y, each in places.items()}
        longest = {y: int(each.ms.max()) for y, each in places.items()}
        cheapest = min(fit, key=lambda y: (usd[y], self._type_name(y)))
        fastest = min(fit, key=lambda y: (longest[y], usd[y], self._type_name(y)))
        return {smallest, cheapest, fastest}

    def _too_small(self, group: int, rungs: Ints) -> Iterator[tuple[int, str, Place]]:
        """Yield a place for each number of vCPUs of which no type holds every task."""
        a = self._a
        for rung, vcpus in enumerate(RUNGS):
            columns = [y for y in self._columns("ray") if a.vcpus[y] == vcpus]
            if rungs[rung] == NO_WORKER and columns:
                roomiest = max(columns, key=lambda y: (a.node_memory[y], self._type_name(y)))
                size = "any type of 1 vCPU" if vcpus == 1 else f"any type of {vcpus} vCPUs"
                yield vcpus, "", replace(self._node(group, roomiest), size=size)

    def _node(self, group: int, column: int) -> Place:
        a, tasks = self._a, self._tasks[group]
        ok = a.node_ok[tasks, column]
        took, least_ms = (each[tasks] for each in self._node_ms(column))
        usd_per_ms = self._usd_per_ms(column)
        share = np.maximum(
            a.cores[tasks] / a.vcpus[column], a.memory[tasks] / a.node_memory[column]
        )
        requests_usd, least_requests_usd = (each[tasks] for each in self._requests_usd)
        kind = self._compiled.node_types[column]
        return Place(
            platform=kind.platform,
            size=kind.name,
            misfit=self._node_misfit(tasks, column),
            ms=np.where(ok, took, NEVER),
            usd=took * share * usd_per_ms + requests_usd,
            least_ms=np.where(ok, least_ms, NEVER),
            least_usd=least_ms * share * usd_per_ms + least_requests_usd,
            boot_ms=int(a.boot_ms[column]),
            usd_per_ms=usd_per_ms,
            least_requests_usd=float(least_requests_usd.sum()),
        )

    def _node_misfit(self, tasks: Ints, column: int) -> Clause | None:
        a = self._a
        misfit = self._misfit(tasks, a.cores[tasks], int(a.vcpus[column]), "need", "cores", count)
        return misfit or self._misfit(
            tasks, a.memory[tasks], int(a.node_memory[column]), "need", "of memory", mib
        )

    def _usd_per_ms(self, column: int) -> float:
        """Return what a millisecond of a node costs, the disk for its image included."""
        hourly = float(self._prices.instance_usd_per_hour(self._type_name(column)))
        monthly = float(self._prices.usd("ebs_gp3_gb_month")) * self._book.value("node_image_gb")
        return (hourly / 3600 + monthly / float(self._prices.rule("month_s"))) / 1000

    def _node_times(self, column: int) -> tuple[Ints, Ints]:
        """Return every task's time on nodes of a type, with and without bringing its inputs."""
        return self._times.all_ms(column), self._least_times.all_ms(column)

    @cached_property
    def _requests_usd(self) -> tuple[Floats, Floats]:
        """Return what every task's S3 requests cost on a node, at first and at least."""
        return self._request_costs(self._a), self._request_costs(self._least)

    def _request_costs(self, a: Arrays) -> Floats:
        get_usd, put_usd = (float(self._prices.usd(name)) for name in ("s3_get", "s3_put"))
        gets = row_sums(a.in_ptr, a.file_parts[a.in_idx])
        return np.asarray(gets * get_usd + a.out_parts * put_usd, dtype=np.float64)

    @cached_property
    def _least(self) -> Arrays:
        return surely_fetched(self._a)

    def _columns(self, platform: Platform) -> list[int]:
        kinds = self._compiled.node_types
        return [column for column, kind in enumerate(kinds) if kind.platform == platform]

    def _type_name(self, column: int) -> str:
        return self._compiled.node_types[column].name

    def _misfit(
        self,
        tasks: Ints,
        wants: Ints,
        limit: int,
        verb: str,
        of: str,
        unit: Callable[[float], Quantity] | Callable[[int], Quantity],
    ) -> Clause | None:
        """Say which tasks want more than there is; None: none does."""
        bad = wants > limit
        if not bad.any():
            return None
        worst = int(wants.argmax())
        most = unit(int(wants[worst]))
        of = f" {of}" if of else ""
        if len(tasks) == 1:
            of = of.replace("their", "its")
            return Clause(f"{verb}s {{}}{of}, {{}} is the most", (most, unit(limit)))
        who, figures = _how_many(int(bad.sum()), len(tasks))
        verb = f"{verb}s" if bad.sum() == 1 else verb
        if wants.min() == wants.max():
            return Clause(
                f"{who} tasks {verb} {{}}{of}, {{}} is the most", (*figures, most, unit(limit))
            )
        task = self._compiled.graph.tasks[int(tasks[worst])]
        return Clause(
            f"{who} tasks {verb} over {{}}{of}, {{}} {{}}",
            (*figures, unit(limit), name(task.id), most),
        )


def _how_many(some: int, of_all: int) -> tuple[str, tuple[Quantity, ...]]:
    if some < of_all:
        return "{} of {}", (count(some), count(of_all))
    if of_all == 2:  # noqa: PLR2004  (what two are called)
        return "both", ()
    return "all {}", (count(of_all),)


def surely_fetched(a: Arrays) -> Arrays:
    """Return the arrays with those inputs only that no node can have when their task starts.

    That is what no task makes and no other task reads.
    """
    alone = np.bincount(a.in_idx, minlength=len(a.file_bytes)) == 1
    alone[a.out_idx] = False
    kept = alone[a.in_idx]
    return a._replace(
        in_ptr=np.concatenate([[0], np.cumsum(kept)])[a.in_ptr], in_idx=a.in_idx[kept]
    )


def _only_on(platforms: tuple[Platform, ...]) -> Clause:
    return Clause("may run on {} only", (name(" and ".join(platforms)),))


def _nowhere(platform: Platform, why: Clause, tasks: int) -> Place:
    never, nothing = np.full(tasks, NEVER, dtype=np.int64), np.zeros(tasks)
    return Place(platform, "", why, never, nothing, never, nothing)
