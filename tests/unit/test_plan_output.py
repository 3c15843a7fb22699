"""What people and programs read of a plan."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Literal

import jsonschema
import pytest

from placement.account import item
from placement.engine.candidates import step_plans
from placement.engine.clause import Clause, Quantity, share
from placement.engine.compiled import compile_graph
from placement.engine.planner import Bound, GraphPlan
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.schedule import Schedule, TaskRun
from placement.engine.taskgraph import TaskGraph
from placement.workflow import PLATFORMS, Platform
from reporting.change import against_text, amount_text, share_text
from reporting.comparing.from_plan import bound_of, outcome_of_schedule
from reporting.comparing.plan_file import parse_plan, plan_schema_text
from reporting.plan_json import comparison_json, front_json, plan_json
from reporting.plan_table import comparison_table, front_table, plan_table
from reporting.plan_text import clause_text, comparison_sentence, goal_text, plan_headline
from reporting.planned import Asked, Comparison, Front, Planned
from reporting.text import short_names
from tests.command import PLAN_KEYS
from tests.unit.by_hand import BOOK, PRICES, by_hand, graph_of, task
from tests.unit.shown import check_golden, shown


def sample_graph() -> TaskGraph:
    """Make a step that bridges a boot on Lambda, one on nodes, one that is on hpc alone."""
    first = [task(f"cut_{n}", 4) for n in range(6)]
    second = [task(f"sort_{n}", 30, 1, (n,), mib=700) for n in range(2)]
    last = task("solve", 40, 2, (6, 7), cores=4)
    made = graph_of(*first, *second, last, platforms=(PLATFORMS, PLATFORMS, ("hpc",)))
    names = ("cut", "sort", "solve")
    groups = [replace(group, name=name) for group, name in zip(made.groups, names, strict=True)]
    said = ("a core of the trace's machine is taken to be as fast as one reference core",)
    return replace(made, name="sample", groups=tuple(groups), assumptions=said)


def sample() -> Planned:
    graph, goal = sample_graph(), Goal("cost", 120_000)
    compiled = compile_graph(graph, PRICES, BOOK)
    places: list[tuple[int, int | None, int]] = [(2, None, 0), (3, None, 0)]
    places += [(21, 0, 0), (21, 0, 0), (24, 0, 0), (24, 0, 0)]
    places += [(27, 0, 0), (43, 0, 0), (59, 1, 0)]
    schedule = by_hand(places, [("n2", 1, 59), ("h4", 28, 80)])(compiled, BOOK)
    plan = GraphPlan("trivium", goal, 0, schedule, Bound(Decimal("0.25"), 70_000))
    steps = step_plans(compiled, schedule, goal, "trivium", PRICES, BOOK)
    asking = asked(graph, goal)
    outcome = outcome_of_schedule("trivium", "trivium", asking, schedule, PRICES, BOOK, steps)
    return Planned(asking, "trivium", plan, steps, replace(outcome, bound=bound_of(plan)))


def asked(graph: TaskGraph, goal: Goal) -> Asked:
    return Asked(graph, goal, 0, (PRICES.stamp, BOOK.stamp))


def infeasible(reason: str = "the shortest takes 70 s") -> Planned:
    return Planned(asked(sample_graph(), Goal("cost", 1000)), "trivium", Infeasible(reason))


def at_cost(usd: str, seconds: float, platforms: tuple[Platform, ...] = ("ray",)) -> Schedule:
    """Make a schedule of nothing but its totals, and of a task per step on the given platforms."""
    tasks = [task(f"t{n}", 1, n) for n in range(len(platforms))]
    runs = [
        TaskRun(n, platform, "w", 0, 0, 0, 0, 0, Decimal(0)) for n, platform in enumerate(platforms)
    ]
    graph = graph_of(*tasks, platforms=(PLATFORMS,) * len(platforms))
    other = (item("all", 1, "run", Decimal(usd)),)
    return Schedule(graph, tuple(runs), (), other, int(seconds * 1000))


def compared(*results: tuple[str, Schedule | Infeasible]) -> Comparison:
    return Comparison(asked(sample_graph(), Goal("cost", 120_000)), results)


@pytest.mark.parametrize("width", [80, 120])
def test_a_plan_reads_well_in_a_terminal(width: int) -> None:
    text = shown(plan_table(sample(), width), width)
    assert max(map(len, text.splitlines())) <= width
    check_golden(f"plan_{width}.txt", text)


def test_a_plan_as_json() -> None:
    check_golden("plan.json", json.dumps(plan_json(sample(), 1.25), indent=2) + "\n")


def test_the_json_has_the_promised_keys_and_types() -> None:
    data = plan_json(sample(), 1.25)
    assert PLAN_KEYS | {"deadline_s"} == set(data)
    assert isinstance(data["cost_usd"], str)
    assert set(data["bound"]) == {"cost_usd", "makespan_s"}
    assert data["gap"]["cost"] == pytest.approx(float(data["cost_usd"]) / 0.25 - 1)
    assert data["gap"]["time"] == pytest.approx(data["makespan_s"] / 70 - 1)


def test_the_steps_in_the_json_add_up_to_no_more_than_the_whole() -> None:
    data = plan_json(sample(), 1.25)
    for step in data["steps"]:
        assert sum(Decimal(part["usd"]) for part in step["parts"]) == Decimal(step["usd"])
        chosen = {(x["platform"], x["size"], x["tasks"]) for x in step["candidates"] if x["chosen"]}
        assert chosen == {(x["platform"], x["size"], x["tasks"]) for x in step["parts"]}
    assert sum(Decimal(step["usd"]) for step in data["steps"]) <= Decimal(data["cost_usd"])


def test_the_json_is_as_its_schema_says_and_can_be_read_again() -> None:
    data = json.loads(json.dumps(plan_json(sample(), 1.25)))
    schema = json.loads(plan_schema_text())
    for each in (data, plan_json(infeasible(), 0.5)):
        jsonschema.validate(json.loads(json.dumps(each)), schema)
    again, planned = parse_plan(data, "plan.json"), sample()
    assert planned.outcome is not None
    assert again.lines == planned.outcome.lines
    assert again.activity == planned.outcome.activity
    assert again.bound == planned.outcome.bound
    assert again.goal == planned.outcome.goal
    assert again.usd == Decimal(data["cost_usd"])


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[2] / "reporting" / "plan.schema.json"
    assert published.read_text() == plan_schema_text()


def test_an_infeasible_plan_as_json_says_why() -> None:
    data = plan_json(infeasible(), 0.5)
    assert PLAN_KEYS | {"deadline_s", "reason"} == set(data)
    assert data["feasible"] is False
    assert data["reason"] == "the shortest takes 70 s"
    assert (data["makespan_s"], data["cost_usd"], data["bound"], data["gap"]) == (None,) * 4
    assert plan_headline(infeasible()) == "There is no plan for sample: the shortest takes 70 s."


def test_what_no_one_would_notice_is_the_same() -> None:
    assert against_text(1_000_400, 1_000_000) == "same"
    assert against_text(1_000_600, 1_000_000) == "+0.1 %"
    assert against_text(Decimal("0.9"), Decimal(1)) == "-10 %"


def test_a_deadline_that_the_file_states_is_named_where_it_cannot_be_kept() -> None:
    planned = infeasible()
    stated = replace(planned, asked=replace(planned.asked, from_file=("deadline",)))
    assert plan_headline(stated) == (
        "There is no plan for sample with the deadline that its file states: "
        "the shortest takes 70 s."
    )


@pytest.mark.parametrize(
    ("goal", "from_file", "said"),
    [
        (Goal("cost"), (), "least cost"),
        (Goal("cost", 300_000), (), "least cost, deadline 5m 00s"),
        (Goal("time", None, Decimal("2.50")), (), "least time, budget $2.50"),
        (
            Goal("time", 300_000),
            ("objective", "deadline"),
            "least time (as the file states), deadline 5m 00s (as the file states)",
        ),
    ],
)
def test_the_goal_is_told_with_where_it_comes_from(
    goal: Goal, from_file: tuple[Literal["objective", "deadline"], ...], said: str
) -> None:
    assert goal_text(replace(asked(sample_graph(), goal), from_file=from_file)) == said


def test_a_budget_stands_in_the_json_as_a_decimal_string() -> None:
    goal = Goal("time", None, Decimal("2.50"))
    data = plan_json(Planned(asked(sample_graph(), goal), "heft", Infeasible("no")), 0)
    assert data["budget_usd"] == "2.5"
    assert "deadline_s" not in data


def test_a_front_in_a_terminal_and_as_json() -> None:
    bound = Bound(Decimal("0.01"), 50_000)
    plans = [
        GraphPlan("trivium", Goal("cost", limit), 7, at_cost(usd, limit / 1000 - 1), bound)
        for limit, usd in ((61_500, "0.03"), (123_456, "0.02"))
    ]
    front = Front(replace(asked(sample_graph(), Goal("cost")), seed=7), tuple(plans))
    check_golden("front_80.txt", shown(front_table(front), 80))
    again = "trivium plan FILE --deadline DEADLINE --seed 7"
    thorough = replace(front, asked=replace(front.asked, thorough=True))
    for each, words in ((front, again), (thorough, f"{again} --thorough")):
        assert f"all details: {words} " in " ".join(shown(front_table(each), 200).split()) + " "
        assert front_json(each, 2)["thorough"] == each.asked.thorough
    points = front_json(front, 2)["points"]
    assert [(point["deadline_s"], point["seed"]) for point in points] == [(61.5, 7), (123.456, 7)]
    assert all(one["makespan_s"] < other["makespan_s"] for one, other in pairwise(points))


def test_a_comparison_in_a_terminal_and_as_json() -> None:
    found = compared(
        ("trivium", at_cost("0.69", 88)),
        ("static-ec2", at_cost("1", 100)),
        ("all-lambda", Infeasible("task x takes 913 s, and a call ends at 900 s")),
    )
    check_golden("comparison_80.txt", shown(comparison_table(found), 80))
    data = comparison_json(found, 2)
    assert data["summary"] == comparison_sentence(found)
    assert [each["feasible"] for each in data["policies"]] == [True, True, False]
    assert data["policies"][2]["reason"] == "task x takes 913 s, and a call ends at 900 s"


@pytest.mark.parametrize(
    ("usd", "seconds", "said"),
    [
        ("0.69", 88, "31 % cheaper and 12 % faster than the best fixed cluster"),
        ("0.69", 112, "31 % cheaper but 12 % slower than the best fixed cluster"),
        ("1.31", 88, "31 % dearer but 12 % faster than the best fixed cluster"),
        ("1.31", 112, "31 % dearer and 12 % slower than the best fixed cluster"),
        ("1", 88, "12 % faster than the best fixed cluster and as cheap"),
        ("1", 112, "12 % slower than the best fixed cluster and as cheap"),
        ("0.69", 100, "31 % cheaper than the best fixed cluster and as fast"),
        ("1.31", 100, "31 % dearer than the best fixed cluster and as fast"),
        ("1", 100, "as cheap and as fast as the best fixed cluster"),
        ("0.996", 99.5, "0.4 % cheaper and 0.5 % faster than the best fixed cluster"),
        ("1.89", 15, "89 % dearer than the best fixed cluster but 6.7 times as fast"),
        ("0.69", 250, "31 % cheaper than the best fixed cluster but 2.5 times as slow"),
        ("0.5", 4, "50 % cheaper than the best fixed cluster and 25 times as fast"),
        ("1", 20, "5 times as fast as the best fixed cluster and as cheap"),
    ],
)
def test_the_sentence_fits_every_combination_of_better_and_worse(
    usd: str, seconds: float, said: str
) -> None:
    found = compared(("trivium", at_cost(usd, seconds)), ("static-ec2", at_cost("1", 100)))
    assert comparison_sentence(found) == f"trivium is {said}; no step moved."


@pytest.mark.parametrize(
    ("platforms", "said"),
    [(("ray", "lambda"), "1 step moved"), (("lambda", "hpc"), "2 steps moved")],
)
def test_the_sentence_counts_the_steps_on_another_platform(
    platforms: tuple[Platform, ...], said: str
) -> None:
    ours, theirs = at_cost("0.5", 50, platforms), at_cost("1", 100, ("ray", "ray"))
    sentence = comparison_sentence(compared(("trivium", ours), ("static-ec2", theirs)))
    assert sentence.endswith(f"; {said}.")


def test_the_sentence_says_who_has_no_plan() -> None:
    plan, none = at_cost("1", 100), Infeasible("too slow")
    for ours, theirs, said in (
        (plan, none, "trivium takes 1m 40s and costs $1.00; the best fixed cluster has no plan."),
        (none, plan, "trivium has no plan; the best fixed cluster takes 1m 40s and costs $1.00."),
        (none, none, "Neither trivium nor the best fixed cluster has a plan."),
    ):
        assert comparison_sentence(compared(("trivium", ours), ("static-ec2", theirs))) == said


def test_without_a_fixed_cluster_the_next_policy_is_compared_with() -> None:
    ours, theirs = at_cost("0.5", 100), at_cost("1", 100)
    assert comparison_sentence(compared(("trivium", ours), ("heft", theirs))) == (
        "trivium is 50 % cheaper than heft and as fast; no step moved."
    )
    assert comparison_sentence(compared(("heft", theirs))) == "heft takes 1m 40s and costs $1.00."


def test_names_from_files_cannot_redraw_a_terminal() -> None:
    hostile = "x\x1b[2J[red]\ny"
    planned = sample()
    graph = replace(planned.asked.graph, name=hostile, assumptions=(hostile,))
    text = shown(plan_table(replace(planned, asked=asked(graph, Goal("cost")))), 80)
    assert "\x1b" not in text
    assert "[red]" in text


def test_figures_are_written_as_people_say_them() -> None:
    assert [
        share_text(value) for value in (0.0004, 0.005, 0.0096, 0.31, 0.996, 1.0, 4.58, 12.44)
    ] == [
        "<0.1 %",
        "0.5 %",
        "1 %",
        "31 %",
        ">99 %",
        "100 %",
        "460 %",
        "1,200 %",
    ]
    assert [amount_text(value) for value in (0.000123456, 0.0513, 2.345, 1234.5)] == [
        "$0.000123",
        "$0.0513",
        "$2.34",
        "$1,234.50",
    ]


def test_long_names_are_cut_to_what_tells_them_apart() -> None:
    long = "NFCORE_RNASEQ.RNASEQ.QUALITY"
    names = [f"{long}.SAMTOOLS.STATISTICS", f"{long}.SAMTOOLS.FLAGSTAT", f"{long}.PICARD.FLAGSTAT"]
    assert short_names([*names, "a.b", "-"]) == [
        "STATISTICS",
        "SAMTOOLS.FLAGSTAT",
        "PICARD.FLAGSTAT",
        "a.b",
        "-",
    ]
    assert short_names([names[0], names[0]]) == [names[0]] * 2


def test_of_very_many_steps_the_dearest_are_shown() -> None:
    planned = sample()
    steps = [
        replace(step, run=replace(step.run, step=f"{step.run.step}{n}", tasks=100 * n))
        for n in range(1, 9)
        for step in planned.steps
    ]
    many = replace(planned, steps=tuple(steps))
    text = shown(plan_table(many), 80)
    assert "The other 8 steps cost $0.164 in all; --all-steps" in text
    assert text.count("why not") == 16
    assert shown(plan_table(many, all_steps=True), 80).count("why not") == 24


def test_clauses_that_differ_in_figures_only_are_told_together() -> None:
    said = "at least {} dearer"
    clauses = [Clause(said, (share(value),)) for value in (0.31, 0.07, 0.55)]
    assert clause_text(*clauses) == "at least 7 to 55 % dearer"
    assert clause_text(clauses[0], clauses[0]) == "at least 31 % dearer"
    assert clause_text(Clause("{}", (Quantity("a b", "name"),))) == "a b"
