"""The account of schedules and reports by step and kind: exact sums, every second in its kind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.engine.compiled import compile_graph
from placement.engine.schedule import Schedule
from placement.engine.steps import step_runs
from reporting.comparing.dividing import divided
from reporting.comparing.from_plan import outcome_of_schedule
from reporting.comparing.from_report import outcome_of_report
from reporting.comparing.kinds import kind_of, shared_kind_of
from reporting.comparing.outcome import Kind, Line, total, usd_by_step
from reporting.comparing.schedule_lines import schedule_lines
from reporting.report import parse_report
from tests.unit.by_hand import BOOK, PRICES, by_hand, graph_of, soonest, task
from tests.unit.test_plan_output import sample, sample_graph

GOLDEN = Path(__file__).parent / "golden"
KINDS: tuple[Kind, ...] = ("compute", "idle", "startup", "transfer")
NANO_USD = Decimal("1e-9")


def quantity(lines: Iterable[Line], *kinds: Kind, what: str = "n2 nodes") -> Decimal:
    return sum((x.quantity for x in lines if x.kind in kinds and x.what == what), Decimal(0))


def one_node(seconds: float, cores: int, launch_s: int, release_s: int) -> Schedule:
    """Make a task on a node of two cores, which boots for ten seconds."""
    compiled = compile_graph(graph_of(task("t", seconds, cores=cores)), PRICES, BOOK)
    start_s = launch_s + 20
    return by_hand([(start_s, 0, 0)], [("n2", launch_s, release_s)])(compiled, BOOK)


def test_lines_add_up_to_the_schedule_and_to_each_step_exactly() -> None:
    outcome, plan = sample().outcome, sample().plan
    assert outcome is not None
    assert isinstance(plan.schedule, Schedule)  # type: ignore[union-attr]
    assert outcome.usd == plan.schedule.usd  # type: ignore[union-attr]
    runs = step_runs(plan.schedule)  # type: ignore[union-attr]
    assert {run.step: run.usd for run in runs} == {
        step: usd for step, usd in usd_by_step(outcome).items() if step is not None
    }


@pytest.mark.parametrize("seconds", [0.001, 1.0, 33.333, 90.0])
def test_what_the_engine_schedules_is_accounted_for_to_the_last_digit(seconds: float) -> None:
    tasks = [task(f"a{n}", seconds, n % 3, mib=100 * (n % 4 + 1)) for n in range(9)]
    graph = graph_of(*tasks, platforms=(("ray",), ("lambda", "ray"), ("lambda",)))
    schedule = soonest(compile_graph(graph, PRICES, BOOK), BOOK)
    lines = schedule_lines(schedule, PRICES, BOOK)
    assert total(lines) == schedule.usd
    for line in lines:
        assert line.usd == pytest.approx(line.quantity * line.unit_usd, abs=NANO_USD)


def test_a_node_boots_computes_and_idles_for_as_long_as_it_is_up() -> None:
    schedule = one_node(30, 1, 0, 100)
    (worker,) = schedule.workers
    (run,) = schedule.tasks
    lines = schedule_lines(schedule, PRICES, BOOK)
    boot_s = Decimal(worker.ready_ms - worker.launch_ms) / 1000
    half = Decimal(run.compute_ms) / 2000  # one core of two
    started = Decimal(run.startup_ms) / 2000
    assert quantity(lines, "startup") == boot_s + started
    assert quantity(lines, "compute") == half
    assert quantity(lines, *KINDS) == 100


def test_a_node_is_billed_for_its_least_time_and_that_time_is_idle_or_used() -> None:
    schedule = one_node(1, 2, 0, 25)
    lines = schedule_lines(schedule, PRICES, BOOK)
    assert quantity(lines, *KINDS) == PRICES.rule("instance_minimum_s")
    assert total(lines) == schedule.usd


def test_a_node_that_nobody_uses_belongs_to_no_step() -> None:
    used = one_node(30, 1, 0, 100)
    unused = replace(used.workers[0], id="ray-00009")
    schedule = replace(used, workers=(*used.workers, unused))
    lines = schedule_lines(schedule, PRICES, BOOK)
    shared = [line for line in lines if line.step is None and line.service == "EC2"]
    assert {line.kind for line in shared} == {"startup", "idle"}
    assert quantity(shared, *KINDS) == 100
    assert total(lines) == schedule.usd


def test_steps_that_take_more_than_a_node_has_leave_no_idle_time() -> None:
    one, other = task("cores", 30, 0, cores=2), task("memory", 30, 1, mib=900)
    graph = graph_of(one, other, platforms=(("ray",), ("ray",)))
    compiled = compile_graph(graph, PRICES, BOOK)
    schedule = by_hand([(20, 0, 0), (20, 0, 0)], [("n2", 10, 52)])(compiled, BOOK)
    lines = schedule_lines(schedule, PRICES, BOOK)
    assert total(lines) == schedule.usd
    assert quantity(lines, "idle") < 30


def test_a_runs_lines_add_up_to_what_was_measured() -> None:
    report = parse_report(json.loads((GOLDEN / "report.json").read_text()))
    outcome = outcome_of_report(report)
    assert outcome.usd == report.measured.usd
    costs = usd_by_step(outcome)
    assert [costs[step.step] for step in report.steps] == [
        step.measured.usd for step in report.steps
    ]
    assert outcome.basis == "measured"
    assert outcome.tells_idle
    beside = [line for line in outcome.lines if line.step is None and line.service == "EC2"]
    assert sum(line.usd for line in beside) == sum(item.usd for item in report.shared_items)
    assert [line.kind for line in beside] == ["idle", "orchestration"]
    assert outcome.estimate is not None


def test_the_time_of_a_run_is_divided_as_its_steps_time_was() -> None:
    report = parse_report(json.loads((GOLDEN / "report.json").read_text()))
    lines = [x for x in outcome_of_report(report).lines if x.what == "EC2 c7i.xlarge"]
    measured = report.steps[1].measured
    by_kind = {line.kind: line.usd for line in lines}
    assert float(by_kind["compute"] / by_kind["transfer"]) == pytest.approx(
        measured.compute_s / measured.transfer_s, rel=1e-6
    )


@given(
    quantity=st.decimals(0, 10**9, places=9),
    usd=st.decimals(0, 10**6, places=12),
    weights=st.dictionaries(st.sampled_from(KINDS), st.floats(0, 1e12), max_size=4),
)
def test_what_is_divided_adds_up_exactly(
    quantity: Decimal, usd: Decimal, weights: dict[Kind, float]
) -> None:
    parts = list(divided(quantity, usd, weights))
    assert sum((part for _, part, _ in parts), Decimal(0)) == quantity
    assert sum((part for _, _, part in parts), Decimal(0)) == usd


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("Lambda compute 1769 MB arm64", ("time", "Lambda")),
        ("Lambda requests", ("requests", "Lambda")),
        ("Lambda /tmp above 512 MB", ("storage", "Lambda")),
        ("Control functions compute 512 MB", ("orchestration", "Lambda")),
        ("c7i.large nodes", ("time", "EC2")),
        ("EBS gp3 disks", ("storage", "EBS")),
        ("S3 PUT", ("requests", "S3")),
        ("something new", ("other", "other")),
    ],
)
def test_items_are_told_by_what_they_are_called(what: str, found: tuple[str, str]) -> None:
    assert kind_of(what) == found


def test_what_directs_others_is_orchestration_and_what_idles_is_idle() -> None:
    assert shared_kind_of("c6g.large nodes") == ("orchestration", "EC2")
    assert shared_kind_of("Cluster head node") == ("orchestration", "EC2")
    assert shared_kind_of("Ray head node, idle") == ("idle", "EC2")


def test_tasks_wait_start_transfer_and_compute_for_as_long_as_they_do() -> None:
    planned = sample()
    assert planned.outcome is not None
    activity = planned.outcome.activity
    assert activity is not None
    runs = planned.plan.schedule.tasks  # type: ignore[union-attr]
    groups = sample_graph().tasks
    for position, step in enumerate(activity.steps):
        mine = [run for run in runs if groups[run.task].group == position]
        computed_s = sum(run.compute_ms for run in mine) / 1000
        assert step.seconds("compute", activity.bucket_s) == pytest.approx(computed_s, rel=0.01)


def test_a_schedule_of_nothing_but_shared_costs_has_an_outcome() -> None:
    planned = sample()
    empty = replace(planned.plan.schedule, workers=(), tasks=())  # type: ignore[union-attr]
    outcome = outcome_of_schedule("none", "none", planned.asked, empty, PRICES, BOOK)
    assert outcome.usd == empty.usd
    assert outcome.steps == ()
