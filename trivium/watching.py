"""Follows a run: where every step stands, what it has taken and cost so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from control.attempt_record import Attempt
from control.attempts import find_attempt, measure
from control.stack import Stack
from placement.errors import UserError
from reporting.live import State, StepProgress
from reporting.text import size_text
from runtime.clock import now_s
from runtime.keys import StepKeys
from runtime.store import Store

LOOK_EVERY_S = 1.0
APPEARS_WITHIN_S = 60.0
NAMED_PARTS = 2
STATES: dict[str, State] = {
    "waiting": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "stopped": "failed",
}


class Watch:
    """One run, seen from outside: it can be taken up and left at any time."""

    def __init__(self, stack: Stack, run: str) -> None:
        self._stack, self._run = stack, run
        self._done_by_object: dict[tuple[str, int], int] = {}

    def follow(self) -> Iterator[list[StepProgress]]:
        """Yield where every step stands, about once a second, until the run has ended.

        Raises:
            UserError: there is no such run.

        """
        self._wait_for_run()
        while True:
            ended = self.item()["status"] != "running"
            yield self.steps()
            if ended:
                return
            time.sleep(LOOK_EVERY_S)

    def item(self) -> dict[str, Any]:
        """Return the run's ledger item.

        Raises:
            UserError: there is none.

        """
        item = self._stack.ledger.get(f"run#{self._run}", "run")
        if item is None:
            raise UserError(f"There is no run {self._run!r}; `trivium runs` lists them.")
        return item

    def steps(self) -> list[StepProgress]:
        """Return where every step stands now, in topological order."""
        items = self._stack.ledger.query(f"run#{self._run}")
        attempts = [Attempt.from_json(item) for item in items if item["sk"].startswith("attempt#")]
        steps = [item for item in items if item["sk"].startswith("step#")]
        return [
            self._progress(item, attempts)
            for item in sorted(steps, key=lambda item: int(item["order"]))
        ]

    def _wait_for_run(self) -> None:
        deadline = time.monotonic() + APPEARS_WITHIN_S
        while self._stack.ledger.get(f"run#{self._run}", "run") is None:
            if time.monotonic() > deadline:
                self.item()
            time.sleep(LOOK_EVERY_S / 4)

    def _progress(self, item: dict[str, Any], attempts: list[Attempt]) -> StepProgress:
        number = int(item.get("attempt", 1))
        parts = item["placements"][number - 1]
        state = STATES[item["status"]]
        # The attempt under way is on record for a moment before its step is done.
        counted = [
            one.measured.usd
            for one in attempts
            if one.step == item["step"] and (state != "running" or one.attempt != number)
            if one.measured is not None
        ]
        usd = sum(counted, Decimal(0))
        tasks, done = int(item["tasks"]), int(item["tasks"])
        if state == "running":
            done = self._done(StepKeys(self._run, item["step"]))
            usd += self._spent_so_far(item, len(parts))
        elif state != "done":
            done = 0
        begun_s = item.get("ready_s")
        ended_s = float(item.get("ended_s", now_s()))
        return StepProgress(
            step=item["step"],
            platform=_where(parts),
            state=state,
            done_tasks=min(done, tasks),
            tasks=tasks,
            elapsed_s=max(0.0, ended_s - float(begun_s)) if begun_s is not None else 0.0,
            usd=usd,
        )

    def _done(self, keys: StepKeys) -> int:
        return sum(
            self._tasks_in(self._stack.store, stored.key, stored.size_bytes)
            for stored in self._stack.store.listing(keys.results)
        )

    def _tasks_in(self, store: Store, key: str, size_bytes: int) -> int:
        if (key, size_bytes) not in self._done_by_object:
            self._done_by_object[key, size_bytes] = len(store.get_json(key))
        return self._done_by_object[key, size_bytes]

    def _spent_so_far(self, item: dict[str, Any], parts: int) -> Decimal:
        keys, attempt = StepKeys(self._run, item["step"]), int(item["attempt"])
        usd = Decimal(0)
        for number in range(parts):
            record = find_attempt(self._stack, keys, attempt, number)
            if record is not None:
                usd += measure(self._stack, record, "running", None)[0].usd
        return usd


def _where(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return where a step runs; a probe runs it in more places than a line can name."""
    if len(parts) > NAMED_PARTS:
        return f"{len(parts)} places"
    return " + ".join(f"{part['platform']} {size_text(part['size'])}" for part in parts)
