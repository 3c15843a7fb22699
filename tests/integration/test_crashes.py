"""A crash after any write loses no charge and doubles none: whoever comes later settles it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from moto import mock_aws

from control.attempts import all_attempts, find_attempt
from control.placing import place
from control.planning import plan_run
from control.replacing import replace
from control.reporting import report_run
from control.settling import settle
from control.stack import Stack
from runtime.cluster_log import ClusterLog
from runtime.keys import RunKeys, StepKeys
from tests.attempts import job_of
from tests.support import ENVIRONMENT, FakeClock, make_stack, set_environment

RUN, STEP = "word-count-0123456789ab", "words"
KEYS = StepKeys(RUN, STEP)
BEGUN = 1_700_000_000.0
RAY_SIZE = {"instance_type": "c7i.large", "nodes": 1, "slots": 2, "batches": 2, "start": "warm"}
RAY = {"platform": "ray", "size": RAY_SIZE, "share": 1.0}
LAMBDA = {"platform": "lambda", "size": {"memory_mb": 1024, "batches": 2}, "share": 1.0}
PLANS: list[Any] = []
WRITES = {"PutObject", "PutItem", "UpdateItem", "DeleteItem"}

SHOWN = ("measured", "makespan_s", "shared_items", "other_items", "not_known", "status")

type Act = Callable[[], Any]


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


@dataclass
class Crash:
    """Ends the process after one of its writes."""

    after: int | None
    writes: int = 0

    def __call__(self, model: Any, **_: Any) -> None:
        self.writes += model.name in WRITES
        if self.writes == self.after and model.name in WRITES:
            self.after = None
            raise Killed


def given_run(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN
    item = {
        "run": RUN,
        "workflow": "word-count",
        "execution": "arn:aws:states:us-east-1:123456789012:execution:w-workflow:event",
        "inputs": {"texts": [["raw/word-count/a.txt", 2_000_000]]},
        "options": {"policy": "all-lambda"},
        "started_s": BEGUN,
        "status": "running",
    }
    stack.ledger.put(f"run#{RUN}", "run", item)
    if PLANS:  # the same for all
        stack.store.put_json(RunKeys(RUN).plan, PLANS[0])
    plan_run(stack, RUN)
    PLANS[:] = [stack.store.get_json(RunKeys(RUN).plan)]
    placed = {"placements": [[RAY], [LAMBDA]]}
    stack.ledger.set(f"run#{RUN}", f"step#{STEP}", placed)
    shards = [[f"runs/{RUN}/steps/pieces/out/{n:06d}.txt", 100] for n in range(2)]
    stack.store.put_json(StepKeys(RUN, "pieces").output, {"shards": shards, "counts": {}})
    ClusterLog(stack.ledger, "ray").note_nodes(BEGUN, BEGUN + 600, NODES)


NODES = {
    "instance_type": "c7i.large",
    "warm_nodes": 1,
    "slots_per_node": 2,
    "max_nodes": 1,
    "head_type": "c6i.large",
    "head_disk_gb": 20,
    "node_disk_gb": 50,
    "file_system_gb": 1200,
}


def lose_the_job(stack: Stack, clock: FakeClock) -> None:
    """Do what an agent does whose job is killed after 20 s, beside a job of another run."""
    record = find_attempt(stack, KEYS, 1, 0)
    assert record is not None
    log, facts = ClusterLog(stack.ledger, "ray"), job_of(record)
    log.note_job(facts, submitted_s=clock.at_s, started_s=clock.at_s + 1)
    log.note_job(facts, ended_s=clock.at_s + 21)
    log.note_job(_another(facts), started_s=clock.at_s + 11, ended_s=clock.at_s + 41)
    clock.forward(22)


def _another(facts: Any) -> Any:
    return type(facts)("another-run", "x", 1, 0, facts.queued_s, nodes=1, slots=2, kind="map")


def call_lambda(stack: Stack, clock: FakeClock) -> None:
    """Do what two calls of RunTask do."""
    for batch in range(2):
        record = {
            "attempt": 2,
            "part": 0,
            "batch": batch,
            "call": f"c{batch}",
            "worker": "w",
            "memory_mb": 1024,
            "tmp_mb": 10_240,
            "started_s": clock.at_s,
            "startup_s": 0.5,
            "outcome": "succeeded",
            "error": None,
            "reason": None,
            "ended_s": clock.at_s + 3 + batch,
            "compute_s": 2.0,
            "requests": {"s3_get": 2, "s3_put": 3},
            "events": [],
        }
        stack.store.put_json(KEYS.call(2, 0, batch, f"c{batch}"), record)
        entry = {"task": batch, "outputs": [["k", 1]], "counts": {}}
        stack.store.put_json(KEYS.result(2, 0, batch), [entry])
    clock.forward(5)


def whole_run(stack: Stack, clock: FakeClock, crash: Crash) -> dict[str, Any]:
    """Run a step to its end on its second placement; a function that dies is called again."""

    def again(act: Act) -> None:
        try:
            act()
        except Killed:
            clock.forward(2)  # comes later, and must not count
            act()
            clock.at_s -= 2

    def done(act: Act) -> None:
        crash.after, after = None, crash.after
        writes = crash.writes
        act()
        crash.after, crash.writes = after, writes

    again(lambda: place(stack, RUN, STEP, 1))
    done(lambda: lose_the_job(stack, clock))
    again(lambda: replace(stack, RUN, STEP, 1, {"Error": "JobLost", "Cause": "gone"}))
    again(lambda: place(stack, RUN, STEP, 2))
    done(lambda: call_lambda(stack, clock))
    again(lambda: settle(stack, RUN, STEP, 2))
    again(lambda: report_run(stack, RUN, None))
    return outcome(stack)


def outcome(stack: Stack) -> dict[str, Any]:
    """Return how attempts ended and what they cost, and what the account and the report say."""
    records = [one.to_json() for one in all_attempts(stack, RUN)]
    kept = ("attempt", "platform", "outcome", "reason", "calls", "usd", "items", "open")
    report = stack.store.get_json(RunKeys(RUN).report_json)
    return {
        "attempts": [{name: one[name] for name in kept} for one in records],
        "account": stack.ledger.get(f"run#{RUN}", "account"),
        "report": {name: report[name] for name in SHOWN},
        "items": [row["items"] for row in report["steps"]],
        "steps": [row["measured"]["usd"] for row in report["steps"]],
    }


def played(
    patch: pytest.MonkeyPatch,
    clock: FakeClock,
    play: Callable[[Stack, FakeClock, Crash], dict[str, Any]],
    after: int | None,
) -> tuple[dict[str, Any], Crash]:
    set_environment(patch, ENVIRONMENT)
    with mock_aws():
        stack = make_stack()
        given_run(stack, clock)
        crash = Crash(after)
        for service in ("s3", "dynamodb"):
            stack.aws.client(service).meta.events.register("after-call", crash)
        return play(stack, clock, crash), crash


def test_a_function_that_dies_after_any_write_and_is_called_again_changes_no_figure(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    clean, counted = played(monkeypatch, clock, whole_run, None)
    assert [one["outcome"] for one in clean["attempts"]] == ["replaced", "succeeded"]
    nodes = clean["attempts"][0]["items"][0]
    # 20 s on the one node, of which the last 10 s were shared with as large a job.
    assert (nodes["what"], nodes["quantity"]) == ("c7i.large nodes", "15")
    assert counted.writes > 15
    for after in range(1, counted.writes + 1):
        crashed, crash = played(monkeypatch, clock, whole_run, after)
        assert crash.after is None, "the crash did not happen"
        assert crashed == clean, f"after write {after}"


def lost_for_good(stack: Stack, clock: FakeClock, crash: Crash) -> dict[str, Any]:
    """Run a step whose Replace dies and is never called again; Report finds what is left."""
    after, crash.after = crash.after, None
    place(stack, RUN, STEP, 1)
    lose_the_job(stack, clock)
    crash.after, crash.writes = after, 0
    with contextlib.suppress(Killed):
        replace(stack, RUN, STEP, 1, {"Error": "JobLost", "Cause": "gone"})
    replaced = crash.writes
    report_run(stack, RUN, {"Error": "X", "Cause": "x"})
    return outcome(stack) | {"writes": replaced}


def test_a_charge_survives_a_replace_that_dies_after_any_write_for_good(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    clean, _ = played(monkeypatch, clock, lost_for_good, None)
    for after in range(1, clean["writes"] + 1):
        crashed, _ = played(monkeypatch, clock, lost_for_good, after)
        [before], [found] = clean["attempts"], crashed["attempts"]
        assert (found["usd"], found["items"]) == (before["usd"], before["items"])
        assert crashed["report"]["measured"] == clean["report"]["measured"]


def test_what_belongs_to_no_step_is_a_line_of_its_own_and_split_beside_it(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    clean, _ = played(monkeypatch, clock, whole_run, None)
    report = clean["report"]
    lines = {line["kind"]: line for line in report["shared_items"]}
    # The run took 27 s on a cluster of one node, on which jobs ran from second 1 on.
    assert lines["idle"]["quantity"] == "1"
    assert lines["head"]["quantity"] == "27"
    assert lines["file-system"]["quantity"] == str(1200 * 27)
    # The node was up all the time: idle for a second, and else held by this run's job.
    held = [item for item in clean["attempts"][0]["items"] if item["what"] == "c7i.large nodes"]
    node_s = 1 + sum(Decimal(item["quantity"]) for item in held)
    assert Decimal(lines["disk"]["quantity"]) == 50 * node_s + 20 * 27
    for line in lines.values():
        assert line["split"] == [{"step": STEP, "usd": line["usd"]}]
    assert report["not_known"] == [
        "ray: this cluster does not tell of nodes that boot or stop.",
    ]
    parts = list(clean["steps"])
    parts += [line["usd"] for line in [*report["shared_items"], *report["other_items"]]]
    assert Decimal(report["measured"]["usd"]) == sum(map(Decimal, parts))
