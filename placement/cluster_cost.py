"""What a plan's clusters cost beside its steps, by the definition that measurements have.

In a run's account is every cluster on which the run has a job, from the run's start to its end.
Each node that is up then and held by no job is idle; a node boots before the first job that it is
launched for, and stays up to the run's end. A head node and a file system are up all the time.

What is up anyway (warm nodes, heads, their disks, file systems) is in the run's account, and no
reason to place a step here or there: it costs the same whatever is placed, and other runs may use
it. What is launched for a step (its boot, its disk, its idle time until the run's end) is there
because of the placement.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, Self

from placement.account import Item, fsx_items, gp3_item, merge_items, node_item, total
from placement.account.items import exact_seconds
from placement.books import PlatformBook, PriceBook
from placement.situation import ClusterState
from placement.workflow import Platform

type SharedKind = Literal["idle", "boot", "head", "disk", "file-system"]


@dataclass(frozen=True, slots=True)
class Hold:
    """Nodes that a step's job holds for `job_s`.

    Nodes that are launched for it boot for `boot_s` before; None: they are up anyway.
    """

    platform: Platform
    instance_type: str
    nodes: int
    job_s: float
    boot_s: float | None = None


@dataclass(frozen=True, slots=True)
class SharedCost:
    """A line that belongs to no step; `up_anyway` says whether it would be there without it."""

    kind: SharedKind
    platform: Platform
    up_anyway: bool
    item: Item

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        named = {"kind": self.kind, "platform": self.platform, "up_anyway": self.up_anyway}
        return named | self.item.to_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(data["kind"], data["platform"], data["up_anyway"], Item.from_json(data))


@dataclass(frozen=True, slots=True)
class ClusterCost:
    """The books that price nodes beside the steps.

    Every method that returns money raises UserError where the book lacks a price, which is named.
    """

    prices: PriceBook
    book: PlatformBook

    def launch(self, hold: Hold) -> tuple[SharedCost, ...]:
        """Return what nodes launched for a job cost beside it, up to its end."""
        if hold.boot_s is None:
            return ()
        up_s = exact_seconds(hold.boot_s + hold.job_s)
        return (
            self._nodes("boot", hold, exact_seconds(hold.boot_s) * hold.nodes),
            self._disk(hold, up_s * hold.nodes),
        )

    def least_idle_s(self, hold: Hold) -> Decimal:
        """Return how long launched nodes are paid for after their job, whenever the run ends."""
        if hold.boot_s is None:
            return Decimal(0)
        used_s = exact_seconds(hold.boot_s + hold.job_s)
        return max(Decimal(0), self.prices.rule("instance_minimum_s") - used_s)

    def idle_usd_per_s(self, hold: Hold) -> Decimal:
        """Return what a second after the job costs, until the run's end: nodes and their disks."""
        return sum((line.item.unit_usd * line.item.quantity for line in self._idle(hold, 1)), _ZERO)

    def launched(self, held: Sequence[tuple[Hold, float]], run_s: float) -> tuple[SharedCost, ...]:
        """Return all that launched nodes cost beside their jobs, which end at these moments (s)."""
        found: list[SharedCost] = []
        for hold, end_s in held:
            found += self.launch(hold)
            idle_s = max(exact_seconds(run_s - end_s), self.least_idle_s(hold))
            found += self._idle(hold, idle_s)
        return tuple(_merged(found))

    def up_anyway(
        self, clusters: Iterable[ClusterState], holds: Sequence[Hold], run_s: float
    ) -> tuple[SharedCost, ...]:
        """Return what the warm nodes and heads of the clusters that are used cost beside jobs.

        A head that is stopped now is not up anyway: the run has it started.
        """
        found = []
        for cluster in clusters:
            mine = [
                hold
                for hold in holds
                if (hold.platform, hold.instance_type) == (cluster.platform, cluster.instance_type)
            ]
            if not mine:
                continue
            all_s = exact_seconds(run_s)
            free_s = all_s - min(all_s, exact_seconds(busy_s(cluster, self.book)))
            held = sum(
                (exact_seconds(hold.job_s) * hold.nodes for hold in mine if hold.boot_s is None),
                _ZERO,
            )
            idle = max(_ZERO, free_s * cluster.warm_nodes - held)
            found.append(self._line("idle", "idle", cluster, cluster.instance_type, idle))
            found += self._equipment(cluster, idle + held, all_s)
        return tuple(line for line in found if line.item.quantity)

    def _equipment(
        self, cluster: ClusterState, node_s: Decimal, all_s: Decimal
    ) -> Iterator[SharedCost]:
        """Yield what warm nodes that are up for `node_s`, and their cluster, are equipped with."""
        has = cluster.equipment
        if has.head_type is not None:
            head = self._line("head", "head", cluster, has.head_type, all_s)
            yield replace(head, up_anyway=not cluster.head_off)
        disk_gb_s = node_s * (has.node_disk_gb or 0) + all_s * (has.head_disk_gb or 0)
        disks = gp3_item(self.prices, disk_gb_s)
        yield SharedCost("disk", cluster.platform, up_anyway=True, item=disks)
        for item in fsx_items(self.prices, has.file_system_gb or 0, float(all_s)):
            yield SharedCost("file-system", cluster.platform, up_anyway=True, item=item)

    def _idle(self, hold: Hold, seconds: Decimal | int) -> tuple[SharedCost, ...]:
        if hold.boot_s is None:
            return ()
        node_s = Decimal(seconds) * hold.nodes
        return (self._nodes("idle", hold, node_s), self._disk(hold, node_s))

    def _nodes(self, kind: Literal["idle", "boot"], hold: Hold, node_s: Decimal) -> SharedCost:
        word = "booting" if kind == "boot" else "idle"
        name = f"{word} {hold.instance_type} nodes"
        item = node_item(self.prices, name, hold.instance_type, node_s)
        return SharedCost(kind, hold.platform, up_anyway=False, item=item)

    def _disk(self, hold: Hold, node_s: Decimal) -> SharedCost:
        gb = Decimal(str(self.book.value("node_disk_gb")))
        return SharedCost(
            "disk", hold.platform, up_anyway=False, item=gp3_item(self.prices, node_s * gb)
        )

    def _line(
        self,
        kind: SharedKind,
        word: str,
        cluster: ClusterState,
        instance_type: str,
        node_s: Decimal,
    ) -> SharedCost:
        item = node_item(self.prices, f"{word} {instance_type} nodes", instance_type, node_s)
        return SharedCost(kind, cluster.platform, up_anyway=True, item=item)


_ZERO = Decimal(0)


def up_anyway_usd(lines: Iterable[SharedCost]) -> Decimal:
    """Return what of these lines would be there whatever is placed where."""
    return total(line.item for line in lines if line.up_anyway)


def busy_s(cluster: ClusterState, book: PlatformBook) -> float:
    """Return the seconds until a cluster's warm nodes are free."""
    if cluster.idle:
        return 0.0
    known = cluster.busy_for_s
    return book.value("busy_cluster_s") if known is None else known


def _merged(lines: Iterable[SharedCost]) -> Iterator[SharedCost]:
    """Put lines of one kind, platform and price together."""
    found: dict[tuple[SharedKind, Platform, bool], list[Item]] = {}
    for line in lines:
        found.setdefault((line.kind, line.platform, line.up_anyway), []).append(line.item)
    for (kind, platform, up_anyway), items in found.items():
        for item in merge_items(items):
            if item.quantity:
                yield SharedCost(kind, platform, up_anyway, item)
