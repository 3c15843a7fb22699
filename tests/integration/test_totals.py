"""Totals equal the sums of their items exactly, at every level, for whatever was on record."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.attempt_record import Attempt
from control.reporting import report_run
from control.shared_lines import split_usd
from control.stack import Stack
from placement.account import Item, item
from placement.walltime import WallTime
from reporting.report import check_totals, parse_report
from runtime.cluster_log import ClusterLog
from runtime.keys import RunKeys
from tests.attempts import an_attempt, job_of, place_attempt, put_attempt, settled
from tests.support import FakeClock

BEGUN = 1_700_000_000.0
STEPS = ("pieces", "sizes", "words")
NUMBERS = itertools.count()

amounts = st.integers(0, 10**15).map(lambda pico: Decimal(pico) * Decimal("1e-12"))
items = st.lists(
    st.builds(
        item,
        st.sampled_from(["a", "b"]),
        st.decimals(0, 10**6, places=9),
        st.just("unit"),
        st.sampled_from([Decimal("0.0000166667"), Decimal("0.000000000000123")]),
    ),
    max_size=4,
).map(tuple)
outcomes = st.sampled_from(["succeeded", "failed", "replaced"])
# Of each step: its attempts on record, each on Lambda with items or on Ray from when to when.
lambda_attempts = st.tuples(st.just("lambda"), outcomes, items)
ray_attempts = st.tuples(
    st.just("ray"), outcomes, st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 4))
)
runs = st.fixed_dictionaries(
    {step: st.lists(lambda_attempts | ray_attempts, max_size=3) for step in STEPS}
)


def given_run(stack: Stack, run: str, plan: dict[str, Any]) -> None:
    run_item = {"run": run, "workflow": "word-count", "execution": "a:b:c", "started_s": BEGUN}
    stack.ledger.put(f"run#{run}", "run", run_item | {"status": "running"})
    estimate = {"seconds": 1.0, "usd": "0.1"}
    steps = [{"step": name, "estimate": estimate, "rejected": []} for name in STEPS]
    stack.store.put_json(RunKeys(run).plan, {"steps": steps, "estimate": estimate})
    for order, (step, attempts) in enumerate(plan.items()):
        placement = {"platform": "lambda", "size": {}, "share": 1.0}
        fields = {"step": step, "status": "done", "tasks": 1, "order": order}
        stack.ledger.put(f"run#{run}", f"step#{step}", fields | {"placements": [[placement]]})
        for number, (platform, outcome, what) in enumerate(attempts, 1):
            record = an_attempt(run, step, number, platform=platform, queued_s=BEGUN)
            record = _with_size(record, what)
            if platform == "ray":
                _given_job(stack, record, what)
            else:
                _given_items(stack, record, outcome, what)


def _with_size(record: Attempt, what: Any) -> Attempt:
    if record.platform == "lambda":
        return record
    size = {"instance_type": "c7i.large", "nodes": 1, "slots": what[2], "batches": 4}
    return an_attempt(
        record.run, record.step, record.attempt, platform="ray", size=size, queued_s=BEGUN
    )


def _given_items(stack: Stack, record: Attempt, outcome: Any, what: tuple[Item, ...]) -> None:
    wall = WallTime(0, 0, 0, 1)
    put_attempt(
        stack, settled(record, outcome, started_s=BEGUN, ended_s=BEGUN + 1, wall=wall, items=what)
    )


def _given_job(stack: Stack, record: Attempt, what: tuple[int, int, int]) -> None:
    begin, length, _ = what
    place_attempt(stack, record)
    log = ClusterLog(stack.ledger, "ray")
    log.correct_job(job_of(record), BEGUN + begin + 0.1, BEGUN + begin + length + 0.1)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=runs, nodes=st.integers(1, 3))
def test_attempts_steps_lines_and_the_run_are_the_sums_of_their_items(
    stack: Stack, clock: FakeClock, plan: dict[str, Any], nodes: int
) -> None:
    for noted in stack.ledger.query("held#ray"):  # of the example before
        stack.ledger.delete("held#ray", noted["sk"])
    run = f"word-count-{next(NUMBERS):012d}"
    clock.at_s = BEGUN + 120
    up = {"instance_type": "c7i.large", "warm_nodes": nodes, "head_type": "c6i.large"}
    ClusterLog(stack.ledger, "ray").note_nodes(BEGUN, BEGUN + 120, up)
    given_run(stack, run, plan)
    report_run(stack, run, None)
    report = stack.store.get_json(RunKeys(run).report_json)
    check_totals(parse_report(report))
    records = stack.ledger.query(f"run#{run}", "attempt#")
    assert not any(record["open"] for record in records)
    for record in records:
        assert Decimal(record["usd"]) == _sum(record["items"])
    for row in report["steps"]:
        mine = [record for record in records if record["step"] == row["step"]]
        assert Decimal(row["measured"]["usd"]) == _sum(mine) == _sum(row["attempts"])
    account = stack.ledger.get(f"run#{run}", "account") or {}
    for line in account["shared_items"]:
        assert Decimal(line["usd"]) == _sum(line["split"])
    parts = [*records, *account["shared_items"], *account["other_items"]]
    assert Decimal(account["measured"]["usd"]) == _sum(parts)
    assert account["measured"] == report["measured"]
    _check_node_time(records, account["shared_items"], nodes)


def _check_node_time(records: list[Any], lines: list[Any], nodes: int) -> None:
    """Check that jobs and idle time add up to what the nodes were up, where a job ran at all."""
    held = [line for record in records for line in record["items"]]
    held = [line for line in held if line["what"] == "c7i.large nodes"]
    idle = [line for line in lines if line["kind"] == "idle"]
    used = sum((Decimal(line["quantity"]) for line in [*held, *idle]), Decimal(0))
    if held:
        assert used == 120 * nodes


def _sum(parts: list[Any]) -> Decimal:
    return sum((Decimal(part["usd"]) for part in parts), Decimal(0))


@given(amounts, st.dictionaries(st.text(max_size=3), st.integers(0, 10**12), min_size=1))
def test_a_split_adds_up_to_the_line_to_the_last_digit(
    usd: Decimal, weights: dict[str, int]
) -> None:
    split = split_usd(usd, weights)
    assert sum(split.values(), Decimal(0)) == usd
    assert split.keys() == weights.keys()
    assert all(part >= 0 for part in split.values())
