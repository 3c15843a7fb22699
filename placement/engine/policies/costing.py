"""What a simulated run costs, fast: as floats, to about one part in a billion of the exact account.

For comparing many candidates; `placement.engine.schedule` accounts for what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from placement import account
from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled, Floats, Ints
from placement.engine.simulator import Simulated
from placement.engine.timetable import NO_WORKER
from placement.model import run_items

_BYTES_PER_GB = 1_000_000_000


@dataclass(frozen=True)
class Costing:
    """Costs of runs of one graph under the two books, in USD."""

    compiled: Compiled
    prices: PriceBook
    book: PlatformBook

    def usd(self, run: Simulated) -> float:
        """Return what a run costs: tasks, nodes with their disks, and what belongs to neither."""
        return self._tasks_usd(run) + self._nodes_usd(run) + self._other_usd(run)

    def _tasks_usd(self, run: Simulated) -> float:
        a, table = self.compiled.arrays, run.table
        away = np.flatnonzero(table.node == NO_WORKER)
        size = table.size[away]
        cold = table.startup_ms[away] > 0
        put = a.out_parts[table.node != NO_WORKER].sum()
        return float(
            a.lambda_usd[away, size].sum()
            + a.lambda_init_usd[size[cold]].sum()
            + run.get_requests * a.figures[4]
            + put * a.figures[5]
        )

    def _nodes_usd(self, run: Simulated) -> float:
        table = run.table
        least_ms = self.compiled.arrays.limits[6]
        seconds = np.maximum(table.release_ms - table.launch_ms, least_ms) / 1000
        disk_gb = np.ceil(self.book.value("node_image_gb") + run.disk_bytes / _BYTES_PER_GB)
        usd_per_s = self._usd_per_s[table.node_type] + disk_gb * self.usd_per_gb_s
        return float((seconds * usd_per_s).sum())

    def _other_usd(self, run: Simulated) -> float:
        parts, off_lambda, hpc = self._parts(run)
        usd = self._run_usd + parts * self._part_usd + off_lambda * self._job_usd
        return usd + hpc * self._hpc_usd_per_s * run.table.makespan_ms / 1000

    def _parts(self, run: Simulated) -> tuple[int, int, bool]:
        """Return how many pairs of group and platform there are, those off Lambda, any hpc node."""
        table, names = run.table, ("lambda", *dict.fromkeys(self._platforms))
        of_type = np.array([names.index(each) for each in self._platforms], dtype=np.int64)
        platform = np.zeros(len(table.node), dtype=np.int64)
        on_node = table.node != NO_WORKER
        platform[on_node] = of_type[table.node_type[table.node[on_node]]]
        used = np.unique(self._group * len(names) + platform)
        hpc = any(self._platforms[kind] == "hpc" for kind in np.unique(table.node_type))
        return len(used), int((used % len(names) > 0).sum()), hpc

    @cached_property
    def _group(self) -> Ints:
        return np.array([task.group for task in self.compiled.graph.tasks], dtype=np.int64)

    @cached_property
    def _platforms(self) -> tuple[str, ...]:
        return tuple(each.platform for each in self.compiled.node_types)

    @cached_property
    def _usd_per_s(self) -> Floats:
        """Return the price of a second of every node type, without its disk."""
        hourly = [self.prices.instance_usd_per_hour(each.name) for each in self.compiled.node_types]
        return np.array([float(usd / 3600) for usd in hourly])

    @cached_property
    def usd_per_gb_s(self) -> float:
        """The price of a gigabyte of disk for a second."""
        # The unit price as the account rounds it: what is lost shows in long runs.
        return float(account.gp3_item(self.prices, Decimal(1)).unit_usd)

    @cached_property
    def _run_usd(self) -> float:
        groups = len(self.compiled.graph.groups)
        return float(account.total(run_items(groups, self.prices, self.book)))

    @cached_property
    def _part_usd(self) -> float:
        transitions = int(self.book.value("transitions_per_part"))
        return float(account.total(account.transition_items(self.prices, transitions)))

    @cached_property
    def _job_usd(self) -> float:
        requests = int(self.book.value("sqs_requests_per_job"))
        return float(account.total(account.sqs_items(self.prices, requests)))

    @cached_property
    def _hpc_usd_per_s(self) -> float:
        hour = (
            *account.instance_items(self.prices, self.book.hpc_head_type, 3600, 1, launched=False),
            *account.fsx_items(self.prices, self.book.value("fsx_gb"), 3600),
        )
        return float(account.total(hour)) / 3600
