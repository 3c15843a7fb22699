"""The account of a schedule by step and kind, as lines that add up to its cost to the last digit.

A node's price is shared out among the steps as `placement.engine.steps` does it: by what their
tasks take of its cores or its memory, and for how long. Each step's share is then divided by what
the node did: it boots until it is ready; of the rest, what tasks take is start-up, transfer and
computing in proportion to their own, and what nobody takes is idle. A node on which tasks take
more together than it has (one its cores, one its memory) is not idle.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

from placement import account
from placement.account import QUANTITY_STEP, USD_STEP, Item, LambdaCall, total
from placement.books import PlatformBook, PriceBook
from placement.engine.schedule import Schedule, TaskRun, Worker
from reporting.comparing.dividing import divided
from reporting.comparing.kinds import kind_of, shared_kind_of
from reporting.comparing.outcome import Kind, Line, StepName

_MS_PER_S, _BYTES_PER_MB = 1000, 1_000_000
_WORK: tuple[Kind, ...] = ("startup", "transfer", "compute")

type _Key = tuple[StepName, Kind, str, str, str, Decimal]  # as in Line, without its amounts


def schedule_lines(schedule: Schedule, prices: PriceBook, book: PlatformBook) -> tuple[Line, ...]:
    """Return what every step pays for what, and what belongs to none, in the steps' order."""
    return _Bookkeeper(schedule, prices, book).lines()


@dataclass(slots=True)
class _Amount:
    quantity: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)


@dataclass(slots=True)
class _Use:
    """What the tasks of one step take of one node: shares of it times milliseconds, by kind."""

    whole: float = 0.0
    by_kind: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))


class _Bookkeeper:
    """Adds up amounts by step, kind and price."""

    def __init__(self, schedule: Schedule, prices: PriceBook, book: PlatformBook) -> None:
        self._schedule, self._prices, self._book = schedule, prices, book
        self._workers = {worker.id: worker for worker in schedule.workers}
        self._amounts: dict[_Key, _Amount] = defaultdict(_Amount)
        part_bytes = int(book.value("s3_part_mb") * _BYTES_PER_MB)
        self._puts = [max(1, -(-size // part_bytes)) for size in schedule.graph.file_bytes]
        # The same calls and the same requests come again and again.
        self._call_items = cache(self._items_of_call)
        self._put_items = cache(self._items_of_puts)
        self._get_items = cache(self._items_of_gets)

    def lines(self) -> tuple[Line, ...]:
        """Return all lines: those of steps in the steps' order, then those of none."""
        for run in self._schedule.tasks:
            self._task(run)
        uses = self._uses()
        for worker in self._schedule.workers:
            if worker.platform != "lambda":
                self._node(worker, uses.get(worker.id, {}))
        for item in self._schedule.other:
            self._add(None, *shared_kind_of(item.what), item)
        order = {group.name: at for at, group in enumerate(self._schedule.graph.groups)}
        last = len(order)
        keys = sorted(self._amounts, key=lambda key: order.get(key[0] or "", last))
        return tuple(
            Line(*key[:4], amount.quantity.quantize(QUANTITY_STEP), *key[4:], amount.usd)
            for key in keys
            if (amount := self._amounts[key]).usd or amount.quantity
        )

    def _add(self, step: StepName, kind: Kind, service: str, item: Item) -> None:
        amount = self._amounts[step, kind, service, item.what, item.unit, item.unit_usd]
        amount.quantity += item.quantity
        amount.usd += item.usd

    def _step(self, run: TaskRun) -> str:
        graph = self._schedule.graph
        return graph.groups[graph.tasks[run.task].group].name

    def _task(self, run: TaskRun) -> None:
        step, left = self._step(run), run.usd
        if run.platform == "lambda":
            items = self._call_items(self._workers[run.worker].type, run.end_ms - run.start_ms)
            self._call(step, run, items)
            left -= total(items)
        puts = sum(self._puts[file] for file in self._schedule.graph.tasks[run.task].outputs)
        for item in self._put_items(puts):
            self._add(step, "requests", "S3", item)
            left -= item.usd
        if left:
            gets = self._get_items(left)
            assert total(gets) == left, f"{left} of task {run.task} is for nothing known"
            for item in gets:
                self._add(step, "requests", "S3", item)

    def _items_of_puts(self, puts: int) -> tuple[Item, ...]:
        return account.s3_request_items(self._prices, put=puts, get=0)

    def _items_of_gets(self, usd: Decimal) -> tuple[Item, ...]:
        """Return the GET requests that cost so much."""
        gets = int((usd / self._prices.usd("s3_get")).to_integral_value())
        return account.s3_request_items(self._prices, put=0, get=gets)

    def _items_of_call(self, size: str, billed_ms: int) -> tuple[Item, ...]:
        memory_mb, _, arch = size.partition(" MB ")
        tmp_mb = int(self._book.value("lambda_tmp_mb"))
        call = LambdaCall(int(memory_mb), billed_ms, tmp_mb=tmp_mb, arch=arch)
        transitions = int(self._book.value("transitions_per_lambda_batch"))
        return (
            *account.lambda_items(self._prices, [call]),
            *account.transition_items(self._prices, transitions),
        )

    def _call(self, step: str, run: TaskRun, items: Sequence[Item]) -> None:
        """Add a call's items; what it pays for its time is divided by what it did in it."""
        parts = (run.startup_ms, run.transfer_ms, run.compute_ms)
        took: dict[Kind, float] = dict(zip(_WORK, parts, strict=True))
        for item in items:
            kind, service = kind_of(item.what)
            if kind == "time":
                self._divide(step, service, item, took)
            else:
                self._add(step, kind, service, item)

    def _divide(
        self, step: StepName, service: str, item: Item, weights: Mapping[Kind, float]
    ) -> None:
        for kind, quantity, usd in divided(item.quantity, item.usd, weights):
            part = Item(item.what, quantity, item.unit, item.unit_usd, usd)
            self._add(step, kind, service, part)

    def _uses(self) -> dict[str, dict[str, _Use]]:
        """Return what each step takes of each node, the steps in the order of their first tasks."""
        found: dict[str, dict[str, _Use]] = defaultdict(lambda: defaultdict(_Use))
        for run in self._schedule.tasks:
            if run.platform != "lambda":
                use = found[run.worker][self._step(run)]
                taken = taken_share(self._schedule, run, self._workers[run.worker])
                use.whole += taken * max(1, run.end_ms - run.start_ms)
                parts = (run.startup_ms, run.transfer_ms, run.compute_ms)
                for kind, part_ms in zip(_WORK, parts, strict=True):
                    use.by_kind[kind] += taken * part_ms
        return found

    def _node(self, worker: Worker, uses: Mapping[str, _Use]) -> None:
        up_ms, boot_ms = worker.release_ms - worker.launch_ms, worker.ready_ms - worker.launch_ms
        items = self._items_of_node(worker, up_ms / _MS_PER_S)
        whole = sum(use.whole for use in uses.values())
        busy_ms = min(whole, max(0, up_ms - boot_ms))
        idle_ms = max(0.0, up_ms - boot_ms - busy_ms)
        if not whole:
            self._share(None, items, {"startup": boot_ms, "idle": idle_ms})
            return
        for step, share in zip(uses, _shares(items, uses), strict=True):
            use = uses[step]
            weights: dict[Kind, float] = {
                "startup": boot_ms * use.whole / whole,
                "idle": idle_ms * use.whole / whole,
            }
            for kind in _WORK:
                done = use.by_kind[kind] * busy_ms / whole
                weights[kind] = weights.get(kind, 0.0) + done
            self._share(step, share, weights)

    def _share(self, step: StepName, items: Sequence[Item], weights: Mapping[Kind, float]) -> None:
        node, *disks = items
        self._divide(step, "EC2", node, weights)
        for disk in disks:
            self._add(step, "storage", "EBS", disk)

    def _items_of_node(self, worker: Worker, up_s: float) -> tuple[Item, ...]:
        """Return the node and its disk; the disk's size follows from what the node cost."""
        (node, *_) = account.instance_items(self._prices, worker.type, up_s, 1, launched=True)
        left = worker.usd - node.usd
        if not left:
            return (node,)
        one_gb = account.gp3_item(self._prices, node.quantity)
        disk_gb = math.floor(left / (node.quantity * one_gb.unit_usd) + Decimal("0.5"))
        disk = account.gp3_item(self._prices, node.quantity * disk_gb)
        return (node, Item(disk.what, disk.quantity, disk.unit, disk.unit_usd, left))


def taken_share(schedule: Schedule, run: TaskRun, worker: Worker) -> float:
    """Return which share of a node a task takes: of its cores or of its memory."""
    task = schedule.graph.tasks[run.task]
    return max(task.cores / worker.vcpus, task.memory_bytes / worker.memory_bytes)


def _shares(items: Sequence[Item], uses: Mapping[str, _Use]) -> Iterator[list[Item]]:
    """Yield each step's share of a node's items; the last one's is what the others leave."""
    whole = sum(use.whole for use in uses.values())
    left, left_usd = list(items), total(items)
    *others, _ = uses.values()
    for use in others:
        share = Decimal(use.whole / whole)
        step_usd = (total(items) * share).quantize(USD_STEP)
        node, *disks = (_part(item, share) for item in items)
        node = _with_usd(node, step_usd - total(disks))
        yield [node, *disks]
        left = [_less(a, b) for a, b in zip(left, (node, *disks), strict=True)]
        left_usd -= step_usd
    assert total(left) == left_usd
    yield left


def _part(item: Item, share: Decimal) -> Item:
    quantity = (item.quantity * share).quantize(QUANTITY_STEP)
    usd = (item.usd * share).quantize(USD_STEP)
    return Item(item.what, quantity, item.unit, item.unit_usd, usd)


def _with_usd(item: Item, usd: Decimal) -> Item:
    return Item(item.what, item.quantity, item.unit, item.unit_usd, usd)


def _less(whole: Item, part: Item) -> Item:
    quantity, usd = whole.quantity - part.quantity, whole.usd - part.usd
    return Item(whole.what, quantity, whole.unit, whole.unit_usd, usd)
