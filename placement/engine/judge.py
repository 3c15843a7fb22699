"""Why a step's tasks are not elsewhere: a clause for each platform and size, from its figures.

What a place would mean is compared with what the schedule does, in this order; the first that holds
is said.

1. The tasks do not fit there.
2. The other architecture has the same memory, is as fast, and is cheaper.
3. The run would break its limit, even if every other task ran where it runs fastest.
4. A place that was chosen is as fast and as cheap or better. Nodes are compared with nodes as if
   both were used in full; what was chosen on Lambda is compared with every place.
5. The least that the tasks can cost there is more than they cost in the schedule. For hpc nodes
   that includes head node and file system where the schedule does without.
6. The run would break its limit with all other tasks as they are.
7. The tasks are on nodes that are up for other steps too, and to leave them saves less.
8. A node of its own would cost more, since it has to boot.
9. It would be cheaper: if a node were used well enough, or, where one task alone would use a node
   so well, at best.

Complexity: O(t + e) for each place of the third kind; t tasks, e edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from placement import account
from placement.books import PlatformBook, PriceBook
from placement.engine.clause import Clause, count, ms, name, share, usd
from placement.engine.compiled import Compiled, Ints
from placement.engine.lateness import Lateness
from placement.engine.leaving import saved_usd
from placement.engine.places import Place
from placement.engine.policies.goal import Goal
from placement.engine.schedule import Schedule
from placement.engine.steps import StepRun

_SAME = 5e-4  # costs that differ by less are as good as equal


@dataclass(frozen=True, slots=True)
class _Group:
    """A group's tasks, its run in the schedule, and its places by platform and size."""

    number: int
    tasks: Ints
    run: StepRun
    places: Mapping[tuple[str, str], Place]

    @property
    def chosen(self) -> list[Place]:
        """The places that were chosen, that with the most tasks first."""
        return [self.places[part.platform, part.size] for part in self.run.parts]

    @property
    def paid_usd(self) -> float:
        return float(self.run.usd)


class Judge:
    """Says why places lost in one schedule."""

    def __init__(
        self,
        compiled: Compiled,
        schedule: Schedule,
        goal: Goal,
        policy: str,
        prices: PriceBook,
        book: PlatformBook,
    ) -> None:
        self._schedule, self._policy = schedule, policy
        self._prices, self._book = prices, book
        self._lateness = Lateness(compiled, schedule, goal)
        self._saved_usd = saved_usd(schedule, prices, book)

    def why(
        self, number: int, tasks: Ints, run: StepRun, places: Sequence[Place]
    ) -> list[Clause | None]:
        """Return a clause for each place of a group; None: there is nothing to be said."""
        group = _Group(number, tasks, run, {(each.platform, each.size): each for each in places})
        chosen = {(part.platform, part.size) for part in run.parts}
        return [
            self._of_chosen(group, each)
            if (each.platform, each.size) in chosen
            else self._of_other(group, each)
            for each in places
        ]

    def _of_chosen(self, group: _Group, place: Place) -> Clause | None:
        if place.misfit is not None:
            return place.misfit
        nodes = {"ray", "hpc"} & {part.platform for part in group.run.parts}
        if place.platform == "lambda" and nodes:
            return self._bridge(group, place)
        return None

    def _bridge(self, group: _Group, place: Place) -> Clause | None:
        """Say how many of a group's tasks on Lambda start before the group's first node is up."""
        types = {worker.id: worker for worker in self._schedule.workers}
        mine = set(group.tasks.tolist())
        runs = [run for run in self._schedule.tasks if run.task in mine]
        up_ms = min(types[run.worker].ready_ms for run in runs if run.platform != "lambda")
        early = sum(run.start_ms < up_ms and types[run.worker].type == place.size for run in runs)
        if not early:
            return None
        verb = "starts" if early == 1 else "start"
        return Clause(f"{{}} of them {verb} before the step's first node is up", (count(early),))

    def _of_other(self, group: _Group, place: Place) -> Clause:
        return (
            place.misfit
            or self._against_twin(group, place)
            or self._lateness.at_least(group.tasks, place)
            or self._against_chosen(group, place)
            or self._dearer(group, place)
            or self._lateness.as_planned(group.tasks, place)
            or self._nodes_up(group, place)
            or self._own_node(group, place)
            or self._at_best(group, place)
        )

    def _against_twin(self, group: _Group, place: Place) -> Clause | None:
        if place.platform != "lambda":
            return None
        memory, _ = place.size.rsplit(" ", 1)
        for other in group.places.values():
            if other.platform != "lambda" or other.misfit or other.size == place.size:
                continue
            same, twin = other.size.rsplit(" ", 1)
            if same == memory and np.array_equal(other.ms, place.ms):
                more = _more(place.usd.sum(), other.usd.sum())
                if more > _SAME:
                    return Clause(
                        f"as fast as {twin} with the same memory, and {{}} dearer", (share(more),)
                    )
        return None

    def _against_chosen(self, group: _Group, place: Place) -> Clause | None:
        """Compare with what was chosen, if that is neither slower nor dearer."""
        for other in group.chosen:
            comparable = other.platform == "lambda" or place.platform != "lambda"
            if other.misfit is not None or not comparable:
                continue
            slower = int(place.ms.max()) - int(other.ms.max())
            more = _more(place.usd.sum(), other.usd.sum())
            if slower < 0 or more < -_SAME:
                continue
            if more <= _SAME:
                text, figures = "as dear as {}", (name(other.size),)
                return (
                    Clause(f"{text} and {{}} slower", (*figures, ms(slower)))
                    if slower
                    else Clause(f"{text} and no faster", figures)
                )
            if slower:
                return Clause(
                    "{} slower than {} and {} dearer", (ms(slower), name(other.size), share(more))
                )
            return Clause("as fast as {} and {} dearer", (name(other.size), share(more)))
        return None

    def _dearer(self, group: _Group, place: Place) -> Clause | None:
        """Compare the least that a place can cost with what the group costs in the schedule."""
        least = float(place.least_usd.sum())
        extra = self._hpc_usd if place.platform == "hpc" else 0.0
        if extra > group.paid_usd:
            return Clause(
                "the MPI cluster's head node and file system cost {} in this run, the step {}",
                (usd(extra), usd(group.paid_usd)),
            )
        more = _more(least + extra, group.paid_usd)
        if more < -_SAME:
            return None
        what = ", head node and file system included" if extra else ""
        took = [int(each.ms.max()) for each in group.chosen if each.misfit is None]
        faster = min(took, default=0) - int(place.ms.max())
        if more <= _SAME:
            return Clause(f"no cheaper at best{what}")
        if faster > 0:
            return Clause(f"{{}} faster, and at least {{}} dearer{what}", (ms(faster), share(more)))
        return Clause(f"at least {{}} dearer{what}", (share(more),))

    @cached_property
    def _hpc_usd(self) -> float:
        """Return what head node and file system would cost in a run of this length, if new."""
        if any(worker.platform == "hpc" for worker in self._schedule.workers):
            return 0.0
        seconds = self._schedule.makespan_ms / 1000
        head = account.instance_items(
            self._prices, self._book.hpc_head_type, seconds, 1, launched=False
        )
        disk = account.fsx_items(self._prices, self._book.value("fsx_gb"), seconds)
        return float(account.total([*head, *disk]))

    def _nodes_up(self, group: _Group, place: Place) -> Clause | None:
        saved, least = self._saved_usd[group.number], float(place.least_usd.sum())
        if saved >= group.paid_usd or least < saved:
            return None
        return Clause(
            "costs {} at least; leaving nodes that other steps use too saves {}",
            (usd(least), usd(saved)),
        )

    def _own_node(self, group: _Group, place: Place) -> Clause | None:
        if place.platform == "lambda" or place.size in self._types_up:
            return None
        least_ms = max(
            int(self._prices.rule("instance_minimum_s") * 1000),
            place.boot_ms + int(place.least_ms.max()),
        )
        least = place.usd_per_ms * least_ms
        if least <= group.paid_usd:
            return None
        return Clause("{} for one node at least, boot included", (usd(least),))

    @cached_property
    def _types_up(self) -> set[str]:
        return {worker.type for worker in self._schedule.workers}

    def _at_best(self, group: _Group, place: Place) -> Clause:
        least = float(place.least_usd.sum())
        if place.platform != "lambda" and group.paid_usd > 0:
            extra = self._hpc_usd if place.platform == "hpc" else 0.0
            fixed = place.least_requests_usd
            needed = (least - fixed) / (group.paid_usd - fixed - extra)
            if needed > self._use_alone(place):
                return Clause(
                    "pays only where over {} of a node is used, boot included", (share(needed),)
                )
        saved = group.paid_usd - least
        return Clause(
            f"would save {{}} at most, {{}} of the run; {self._policy} does not take it",
            (usd(saved), share(saved / float(self._schedule.usd))),
        )

    def _use_alone(self, place: Place) -> float:
        """Return which share of a node a group of one task would use; 0 for more tasks.

        How well many tasks use nodes depends on how many nodes they get.
        """
        if len(place.least_ms) > 1:
            return 0.0
        least_usd = float(place.least_usd.sum()) - place.least_requests_usd
        up_ms = max(
            float(self._prices.rule("instance_minimum_s") * 1000),
            place.boot_ms + float(place.least_ms.max()),
        )
        return least_usd / (place.usd_per_ms * up_ms)


def _more(value: float, base: float) -> float:
    """Return by which share of `base` a value is above it."""
    return float(value) / float(base) - 1 if base else float("inf" if value else 0)
