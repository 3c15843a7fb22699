"""What a schedule would save if a step's tasks were not in it, all others being as they are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from placement.books import PlatformBook, PriceBook
from placement.engine.schedule import Schedule, Worker

_BYTES_PER_GB = 1_000_000_000
_SEVERAL = -1


@dataclass(slots=True)
class _Use:
    """What the groups do on one node: from when to when (ms), and who alone uses which file."""

    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)


def saved_usd(schedule: Schedule, prices: PriceBook, book: PlatformBook) -> list[float]:
    """Return for every group what the run would cost less without it (USD).

    Its tasks cost nothing then; a node would be up for the other groups' tasks only, and hold only
    their files.
    """
    graph = schedule.graph
    saved = [0.0] * len(graph.groups)
    used: dict[str, _Use] = defaultdict(_Use)
    for run in schedule.tasks:
        task = graph.tasks[run.task]
        saved[task.group] += float(run.usd)
        if run.platform == "lambda":
            continue
        use = used[run.worker]
        first, last = use.spans.get(task.group, (run.start_ms, run.end_ms))
        use.spans[task.group] = (min(first, run.start_ms), max(last, run.end_ms))
        for file in (*task.inputs, *task.outputs):
            if use.owners.setdefault(file, task.group) != task.group:
                use.owners[file] = _SEVERAL
    for worker in schedule.workers:
        for group, usd in _saved_on(worker, used[worker.id], schedule, prices, book):
            saved[group] += usd
    return saved


def _saved_on(
    worker: Worker, use: _Use, schedule: Schedule, prices: PriceBook, book: PlatformBook
) -> list[tuple[int, float]]:
    if len(use.spans) < 2:  # noqa: PLR2004  (nobody else is there: the whole node is saved)
        return [(group, float(worker.usd)) for group in use.spans]
    sizes = schedule.graph.file_bytes
    own: dict[int, int] = defaultdict(int)
    for file, owner in use.owners.items():
        own[owner] += sizes[file]
    gb_s = float(prices.usd("ebs_gp3_gb_month")) / float(prices.rule("month_s"))
    per_s = float(prices.instance_usd_per_hour(worker.type)) / 3600
    least_s = float(prices.rule("instance_minimum_s"))
    found = []
    for group in use.spans:
        up_s = (worker.release_ms - worker.launch_ms - _spared_ms(use.spans, group)) / 1000
        gb = (sum(own.values()) - own[group]) / _BYTES_PER_GB + book.value("node_image_gb")
        left = max(up_s, least_s) * (per_s + math.ceil(gb) * gb_s)
        found.append((group, float(worker.usd) - left))
    return found


def _spared_ms(spans: Mapping[int, tuple[int, int]], group: int) -> int:
    """Return by how much later the other groups begin, and by how much earlier they end."""
    first, last = spans[group]
    others = [span for other, span in spans.items() if other != group]
    earliest, latest = min(span[0] for span in others), max(span[1] for span in others)
    return max(0, earliest - first) + max(0, last - latest)
