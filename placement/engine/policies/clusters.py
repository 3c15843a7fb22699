"""Fixed clusters: some Ray nodes of one type, and an hpc node for what Ray nodes cannot run.

All nodes are launched when the run starts and kept until its last task has ended. MPI programs, and
tasks that are too large for every Ray node, go to one node of the cheapest hpc type that holds each
of them; it takes other tasks too, where they may run on hpc. Tasks that no node may run go to
Lambda.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import NEVER, Compiled, Ints
from placement.engine.listscheduler import Work, pack
from placement.engine.policies.costing import Costing
from placement.engine.policies.heft import ON_LAMBDA, ON_NODES, Cluster, heft
from placement.engine.simulator import Simulated, play_assignment
from placement.engine.timetable import NO_WORKER
from placement.errors import UserError
from placement.workflow import Platform

type Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The fixed clusters that there are for one graph, under the two books."""

    compiled: Compiled
    prices: PriceBook
    book: PlatformBook

    @cached_property
    def work(self) -> Work:
        """The graph as the compiled functions read it."""
        return pack(self.compiled.arrays)

    @cached_property
    def costing(self) -> Costing:
        """What runs cost."""
        return Costing(self.compiled, self.prices, self.book)

    def cluster(self, kind: int, nodes: int) -> Cluster:
        """Return so many nodes of a type, and the hpc node where one is needed."""
        extra = [] if self.hpc_kind == NO_WORKER else [self.hpc_kind]
        kinds = np.array([kind] * nodes + extra, dtype=np.int64)
        return Cluster(kinds, np.full(len(kinds), self.compiled.run_start_ms, dtype=np.int64))

    def run(self, kind: int, nodes: int) -> Simulated:
        """Return the run on such a cluster, scheduled with HEFT."""
        assignment = heft(self.work, self.cluster(kind, nodes), self.where, whole_run=True)
        return play_assignment(self.work, assignment)

    @cached_property
    def where(self) -> Ints:
        """Where HEFT may put each task: on nodes, or where none holds it, on Lambda."""
        return np.where(self.on_no_node, ON_LAMBDA, ON_NODES)

    @cached_property
    def on_ray(self) -> Bools:
        """Whether some Ray node holds a task."""
        ok = self.compiled.arrays.node_ok
        return np.asarray(ok[:, self._columns("ray")].any(axis=1))

    @cached_property
    def on_hpc(self) -> Bools:
        """Whether no Ray node holds a task, and some hpc node does."""
        ok = self.compiled.arrays.node_ok
        return np.asarray(ok[:, self._columns("hpc")].any(axis=1) & ~self.on_ray)

    @cached_property
    def on_no_node(self) -> Bools:
        """Whether no node holds a task."""
        return np.asarray(~self.on_ray & ~self.on_hpc)

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """The columns of the Ray types that are worth a try, those with the cheapest vCPUs first.

        A type holds every task that is left to Ray nodes, and no type of as many vCPUs dominates
        it: none is as cheap or cheaper and has as much or more of network and memory. Network
        above one connection's rate per core does not count, nor does memory above what as many
        tasks as there are vCPUs can hold.
        """
        a = self.compiled.arrays
        fit = [kind for kind in self._columns("ray") if a.node_ok[self.on_ray, kind].all()]
        kept = [kind for kind in fit if not any(self._dominates(other, kind) for other in fit)]
        usd = a.node_usd_per_ms / a.vcpus
        return tuple(sorted(kept, key=lambda kind: (usd[kind], -a.vcpus[kind], self.name(kind))))

    @cached_property
    def hpc_kind(self) -> int:
        """The column of the hpc node's type; NO_WORKER: none is needed, or none holds all."""
        a = self.compiled.arrays
        fit = [kind for kind in self._columns("hpc") if a.node_ok[self.on_hpc, kind].all()]
        if not self.on_hpc.any() or not fit:
            return NO_WORKER
        return min(fit, key=lambda kind: (a.node_usd_per_ms[kind], self.name(kind)))

    @property
    def misfit(self) -> str | None:
        """Why no cluster runs all tasks, Lambda helping where no node may; None: one does."""
        stray = self.on_no_node & (self.work.lambda_ms.min(axis=1, initial=NEVER) >= NEVER)
        if stray.any():
            return f"{self._first(stray)} fits nothing that it may run on"
        if self.on_hpc.any() and self.hpc_kind == NO_WORKER:
            return f"no hpc type holds {self._first(self.on_hpc)} and all others that need one"
        if self.on_ray.any() and not self.kinds:
            return "no Ray node type holds every task"
        return None

    @property
    def misfit_without_lambda(self) -> str | None:
        """Why no cluster runs all tasks by itself; None: one does."""
        if self.on_no_node.any():
            return f"{self._first(self.on_no_node)} fits no node that it may run on"
        return self.misfit

    def misfit_of(self, kind: int) -> str | None:
        """Why nodes of a type do not run what is left to them; None: they do."""
        bad = self.on_ray & ~self.compiled.arrays.node_ok[:, kind]
        return f"{self._first(bad)} does not fit a {self.name(kind)}" if bad.any() else None

    def column(self, name: str) -> int:
        """Return the column of a Ray node type. Raises UserError where it is not offered."""
        check_ray_type(name, self.book)
        return next(kind for kind in self._columns("ray") if self.name(kind) == name)

    def name(self, kind: int) -> str:
        """Return a node type's name."""
        return self.compiled.node_types[kind].name

    def _columns(self, platform: Platform) -> list[int]:
        kinds = self.compiled.node_types
        return [column for column, kind in enumerate(kinds) if kind.platform == platform]

    def _first(self, which: Bools) -> str:
        return f'task "{self.compiled.graph.tasks[int(np.argmax(which))].id}"'

    def _dominates(self, one: int, other: int) -> bool:
        """Whether a type makes another superfluous; of two that are equal the first name stays."""
        a = self.compiled.arrays
        if one == other or a.vcpus[one] != a.vcpus[other]:
            return False
        mine, theirs = self._shortcomings(one), self._shortcomings(other)
        if mine == theirs:
            return self.name(one) < self.name(other)
        return all(x <= y for x, y in zip(mine, theirs, strict=True))

    def _shortcomings(self, kind: int) -> tuple[float, float, float]:
        """Return price, network and memory of a type, as far as they count; less is better."""
        a = self.compiled.arrays
        network = min(a.node_mb_per_s[kind], a.figures[3] * a.vcpus[kind] / a.cores.min())
        memory = min(a.node_memory[kind], a.vcpus[kind] * (a.memory / a.cores).max())
        return float(a.node_usd_per_ms[kind]), -float(network), -float(memory)


def check_ray_type(name: str, book: PlatformBook) -> None:
    """Refuse a type that is not offered for Ray nodes. Raises UserError: one sentence."""
    if name in book.ray_types:
        return
    family = name.partition(".")[0]
    same = [each for each in book.ray_types if each.partition(".")[0] == family]
    families = dict.fromkeys(each.partition(".")[0] for each in book.ray_types)
    has = ", ".join(same) if same else f"sizes of {', '.join(families)}"
    raise UserError(f'there is no Ray node type "{name}" in {book.stamp.name}; there are {has}.')
