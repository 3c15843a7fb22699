"""The candidates of a plan: figures as an independent model has them, and clauses that are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from placement.account import total
from placement.books import PlatformBook
from placement.engine.candidates import Candidate, StepPlan, step_plans
from placement.engine.compiled import Compiled, compile_graph
from placement.engine.leaving import saved_usd
from placement.engine.policies.goal import Goal
from placement.engine.schedule import Schedule
from placement.engine.steps import moved_steps, step_runs
from placement.engine.taskgraph import TaskGraph
from placement.workflow import PLATFORMS, Platform
from reporting.plan_text import clause_text
from tests.checker.model import Model
from tests.checker.tasks import Need, schedule_graph
from tests.unit.brute_force import books_of, pareto
from tests.unit.by_hand import BOOK, PRICES, by_hand, graph_of, soonest, task
from tests.unit.graphs import MIB, task_graphs

# The compiled code is compiled by the first example.
quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Case:
    """A schedule of a graph, and what is said of it."""

    graph: TaskGraph
    schedule: Schedule
    steps: tuple[StepPlan, ...]

    def candidate(self, platform: Platform, size: str, step: int = 0) -> Candidate:
        found = [
            each
            for each in self.steps[step].candidates
            if (each.platform, each.size) == (platform, size)
        ]
        assert len(found) == 1, self.steps[step].candidates
        return found[0]

    def why(self, platform: Platform, size: str, step: int = 0) -> str:
        clause = self.candidate(platform, size, step).why
        return clause_text(clause) if clause else ""


def explained(
    graph: TaskGraph,
    goal: Goal | None = None,
    book: PlatformBook = BOOK,
    schedule: Callable[[Compiled, PlatformBook], Schedule] = soonest,
) -> Case:
    compiled = compile_graph(graph, PRICES, book)
    made = schedule(compiled, book)
    steps = step_plans(compiled, made, goal or Goal("time"), "trivium", PRICES, book)
    return Case(graph, made, steps)


def model_of(schedule: Schedule) -> Model:
    told = json.loads(json.dumps(schedule.to_json()))["graph"]
    return Model(books_of(PRICES, BOOK), schedule_graph(told))


# what holds of any graph


@quiet
@given(task_graphs())
def test_times_and_costs_are_those_of_an_independent_model(graph: TaskGraph) -> None:
    assume(possible(graph))
    case = explained(graph)
    model = model_of(case.schedule)
    for number, step in enumerate(case.steps):
        needs = [model.graph.needs[each.id] for each in graph.tasks if each.group == number]
        for candidate in step.candidates:
            if not candidate.size or candidate.size.startswith(("any", "up to")):
                continue
            alone = [run_alone(model, need, candidate) for need in needs]
            assert candidate.feasible == all(each is not None for each in alone)
            if candidate.feasible:
                figures = [each for each in alone if each is not None]
                assert candidate.time_ms == max(ms for ms, _ in figures)
                assert candidate.usd is not None
                assert float(candidate.usd) == pytest.approx(sum(usd for _, usd in figures), 1e-6)


def run_alone(model: Model, need: Need, candidate: Candidate) -> tuple[int, float] | None:
    """Return time and cost of a task by itself, by the checker's model; None: it does not fit."""
    books = model.books
    if candidate.platform == "lambda":
        memory_mb, _, arch = candidate.size.split()
        held = sum(model.graph.file_bytes[file] for file in (*need.inputs, *need.outputs))
        took = model.init_ms + sum(model.lambda_moves_ms(need))
        took += model.lambda_compute_ms(need, int(memory_mb))
        fits = need.memory_bytes <= int(memory_mb) * MIB and took <= model.timeout_ms
        fits = fits and held <= books.value("lambda_tmp_mb") * MIB
        cost = float(model.lambda_usd(need, int(memory_mb), arch, took))
        return (took, cost) if fits else None
    node = books.nodes[candidate.size]
    room = model.node_room_bytes(node)
    if need.cores > node.vcpus or need.memory_bytes > room:
        return None
    took = model.task_start_ms[candidate.platform] + model.node_compute_ms(need)
    took += sum(model.node_moves_ms(need, need.inputs, node))
    disk = books.value("node_image_gb") * float(
        books.usd("ebs_gp3_gb_month") / books.usd("month_s")
    )
    per_ms = (float(books.hourly[candidate.size]) / 3600 + disk) / 1000
    share = max(need.cores / node.vcpus, need.memory_bytes / room)
    return took, took * share * per_ms + float(model.s3_usd(need.inputs, need.outputs))


def possible(graph: TaskGraph) -> bool:
    """Whether each group fits somewhere as a whole, and each task on what is chosen for it."""
    used = {each.group for each in graph.tasks}
    return used == set(range(len(graph.groups)))


@quiet
@given(task_graphs())
def test_the_parts_of_the_steps_and_what_belongs_to_none_add_up_exactly(graph: TaskGraph) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    schedule = soonest(compiled, BOOK)
    runs = step_runs(schedule)
    assert sum(run.usd for run in runs) + total(schedule.other) == schedule.usd
    assert sum(run.tasks for run in runs) == len(graph.tasks)
    assert all(run.tasks == sum(part.tasks for part in run.parts) for run in runs)
    assert moved_steps(schedule, schedule) == 0


@quiet
@given(task_graphs())
def test_every_place_that_was_not_chosen_says_why(graph: TaskGraph) -> None:
    assume(possible(graph))
    for goal in (Goal("time"), Goal("cost")):
        for step in explained(graph, goal).steps:
            assert sum(each.tasks for each in step.candidates) == step.run.tasks
            for candidate in step.candidates:
                assert candidate.tasks or candidate.why is not None
                assert candidate.why is None or "{}" not in clause_text(candidate.why)
                figures = candidate.why.figures if candidate.why else ()
                assert all(isinstance(x.value, str) or 0 <= x.value < 1 << 50 for x in figures)


@settings(quiet, max_examples=25)
@given(task_graphs(most_tasks=3), st.sampled_from((1.0, 1.3, 2.0)))
def test_no_schedule_at_all_contradicts_what_is_said_to_break_the_limit(
    graph: TaskGraph, stretch: float
) -> None:
    assume(possible(graph))
    book = replace(BOOK, lambda_sizes={"x86_64": (4096,)})
    compiled = compile_graph(graph, PRICES, book)
    limit = int(soonest(compiled, book).makespan_ms * stretch)
    case = explained(graph, Goal("cost", limit), book)
    for group, step in enumerate(case.steps):
        for candidate in step.candidates:
            if candidate.why is not None and "at least {} past" in candidate.why.text:
                late = int(candidate.why.figures[-1].value)
                assert fastest_with(graph, group, candidate.platform, book) >= limit + late


def fastest_with(graph: TaskGraph, group: int, platform: Platform, book: PlatformBook) -> int:
    """Return the shortest makespan of all schedules with a group on a platform, by trying all."""
    groups = list(graph.groups)
    groups[group] = replace(groups[group], platforms=(platform,))
    found = pareto(
        replace(graph, groups=tuple(groups)),
        PRICES,
        book,
        lambda_kinds=[(4096, "x86_64")],
        node_kinds=[("ray", "n2"), ("hpc", "h4")],
        max_nodes=3,
    )
    return found[0].makespan_ms if found else 1 << 60


@quiet
@given(task_graphs())
def test_what_leaving_saves_is_what_the_nodes_cost_less_without_the_step(graph: TaskGraph) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    schedule = soonest(compiled, BOOK)
    model = model_of(schedule)
    groups = {each.id: each.group for each in graph.tasks}
    saved = saved_usd(schedule, PRICES, BOOK)
    for group in range(len(graph.groups)):
        own = sum(run.usd for run in schedule.tasks if graph.tasks[run.task].group == group)
        for worker in schedule.workers:
            runs = [run for run in schedule.tasks if run.worker == worker.id]
            others = [run for run in runs if graph.tasks[run.task].group != group]
            if worker.platform == "lambda" or len(others) == len(runs):
                continue
            left = Decimal(0)
            if others:
                names = [graph.tasks[run.task].id for run in others]
                needs = [model.graph.needs[name] for name in names]
                files = [file for need in needs for file in (*need.inputs, *need.outputs)]
                boot_ms = worker.ready_ms - worker.launch_ms
                launch = min(run.start_ms for run in others) - boot_ms
                release = max(run.end_ms for run in others)
                left = model.node_usd(worker.type, release - launch, files)
            own += worker.usd - left
        assert saved[group] == pytest.approx(float(own), abs=1e-6)
    assert set(groups.values()) <= set(range(len(graph.groups)))


# clauses on paper; figures of the tiny books: n2 has 2 vCPUs and 1,000 MB for tasks and is up at
# 21 s, h4 4 vCPUs and is up at 31 s; both are twice as fast as Lambda, where 1,024 MB are a vCPU


def test_what_does_not_fit_says_which_task_and_by_how_much() -> None:
    case = explained(graph_of(task("a", 1), task("big", 1, mib=2000), task("c", 1, mib=600)))
    assert case.why("lambda", "512 MB arm64") == (
        "2 of 3 tasks need over 512 MB of memory, big 2,000 MB"
    )
    assert case.why("ray", "any type of 2 vCPUs") == (
        "1 of 3 tasks needs over 1,000 MB of memory, big 2,000 MB"
    )
    assert not case.candidate("lambda", "512 MB arm64").feasible


def test_tasks_that_are_split_because_some_do_not_fit_say_which() -> None:
    graph = graph_of(task("a", 4), task("big", 4, mib=2000))
    schedule = by_hand([(2, None, 0), (31, 0, 0)], [("h4", 1, 34)])
    case = explained(graph, Goal("cost"), schedule=schedule)
    assert case.candidate("lambda", "512 MB arm64").tasks == 1
    assert case.why("lambda", "512 MB arm64") == (
        "1 of 2 tasks needs over 512 MB of memory, big 2,000 MB"
    )
    # On 4,096 MB 4.5 s: 18 GB-s, 2.25 of /tmp, 0.0022 a call; 0.126 and 0.00715 are paid.
    assert case.why("lambda", "4096 MB x86_64").startswith("would save $0.0940 at most, ")


def test_what_takes_too_long_for_lambda_says_how_long() -> None:
    # 100 s are the limit; half a vCPU doubles the time, and a start takes 0.5 s.
    case = explained(graph_of(task("slow", 60)))
    assert case.why("lambda", "512 MB arm64") == "takes 2m 00s, 1m 40s is the most"


def test_a_step_that_is_kept_off_a_platform_says_so() -> None:
    case = explained(graph_of(task("a", 1), platforms=(("hpc",),)))
    assert case.why("lambda", "") == "may run on hpc only"
    assert case.why("ray", "") == "may run on hpc only"


def test_equal_tasks_are_not_told_apart() -> None:
    case = explained(graph_of(task("a", 1, mib=600), task("b", 1, mib=600)))
    assert case.why("lambda", "512 MB arm64") == (
        "both tasks need 600 MB of memory, 512 MB is the most"
    )


def test_the_dearer_architecture_is_compared_with_the_cheaper_one() -> None:
    # 16.5 s: 8.25 GB-s at 0.001 or 0.0005 and of /tmp at 0.0001, and 0.0022 a call: 0.011275 or
    # 0.00715.
    case = explained(graph_of(task("a", 8)))
    assert case.why("lambda", "512 MB x86_64") == (
        "as fast as arm64 with the same memory, and 58 % dearer"
    )


def test_a_node_that_boots_too_late_for_the_deadline_says_by_how_much() -> None:
    # On Lambda from 1.1 to 5.6 s and 1 s after; on n2 from 21 to 23.1 s.
    case = explained(graph_of(task("a", 4)), Goal("cost", 10_000))
    assert case.why("ray", "n2") == "boots too late: at least 14.1 s past the deadline"
    assert case.why("hpc", "h4") == "boots too late: at least 24.2 s past the deadline"


def test_where_time_counts_a_slower_place_says_how_much_longer_the_run_would_take() -> None:
    # 0.5 + 4 s on 4,096 MB; 8 s on half a vCPU, warm at the least.
    case = explained(graph_of(task("a", 4)), Goal("time"))
    assert (
        case.why("lambda", "512 MB arm64") == "too slow: the run would take at least 3.5 s longer"
    )


def test_where_time_counts_a_deadline_that_is_far_away_is_no_limit() -> None:
    case = explained(graph_of(task("a", 4)), Goal("time", 20_000))
    assert (
        case.why("lambda", "512 MB arm64") == "too slow: the run would take at least 3.5 s longer"
    )
    # n2 is up at 21 s, and the run would end 3.1 s later.
    assert case.why("ray", "n2") == "boots too late: at least 4.1 s past the deadline"


def test_with_all_else_as_planned_a_slower_place_may_be_late_all_the_same() -> None:
    # The second task starts at 30 s on a node that could be up sooner: 9.1 s later is too late for
    # the deadline only because the second one is where it is.
    graph = graph_of(task("a", 4), task("b", 40, 1, (0,)), platforms=(PLATFORMS, PLATFORMS))
    schedule = by_hand([(2, None, 2), (30, 0, 0)], [("h4", 0, 60)])
    case = explained(graph, Goal("cost", 51_200), schedule=schedule)
    assert case.why("hpc", "h4", step=0).startswith(("all else as planned", "boots too late"))


def test_the_same_speed_at_a_higher_price_is_said_of_nodes() -> None:
    # h4 costs as much per vCPU as n2, and its tasks start 0.1 s later; disks of 10 GB are shared
    # by four instead of two.
    case = explained(
        graph_of(task("a", 40), task("b", 40)),
        Goal("cost"),
        schedule=by_hand([(21, 0, 0), (21, 0, 0)], [("n2", 1, 42)]),
    )
    assert case.candidate("ray", "n2").tasks == 2
    assert case.why("hpc", "h4").startswith("the MPI cluster's head node and file system cost")


def test_what_costs_more_at_its_best_than_the_step_in_the_plan_is_dearer() -> None:
    # 80 s on half a vCPU: 40 GB-s at 0.0005, as many of /tmp at 0.0001, and 0.0022 a call, four
    # times 0.0262; the node is up for 62 s at 0.001, and its disk at 0.0001.
    tasks = [task(name, 40) for name in "abcd"]
    places: list[tuple[int, int | None, int]] = [(21, 0, 0), (21, 0, 0), (42, 0, 0), (42, 0, 0)]
    case = explained(graph_of(*tasks), Goal("cost"), schedule=by_hand(places, [("n2", 1, 63)]))
    assert case.steps[0].run.usd == 62 * Decimal("0.0011")
    assert case.why(
        "lambda", "512 MB arm64"
    ) == f"at least {0.1048 / 0.0682 - 1:.0%} dearer".replace("%", " %")


def test_nodes_that_are_up_for_others_are_a_reason_to_stay() -> None:
    # The second step's task is beside the first one's: without it the node is up as long. Its share
    # of 129 s at 0.0011 is 10.1 s of 60.2 s, more than 0.0142 on Lambda.
    graph = graph_of(task("a", 100), task("b", 20, 1), platforms=(PLATFORMS, PLATFORMS))
    schedule = by_hand([(21, 0, 0), (25, 0, 0)], [("n2", 1, 130)])
    case = explained(graph, Goal("cost"), schedule=schedule)
    assert case.why("lambda", "512 MB arm64", step=1) == (
        "costs $0.0142 at least; leaving nodes that other steps use too saves $0.00"
    )


def test_a_node_of_its_own_has_to_boot() -> None:
    # 17 s on Lambda: 8.5 GB-s and /tmp, 0.0073 in all; half of n2 for 4.1 s would be 0.0023.
    case = explained(graph_of(task("a", 8)), Goal("cost"), schedule=by_hand([(2, None, 0)], []))
    assert case.why("ray", "n2") == f"${60 * 0.0011:.4f} for one node at least, boot included"


def test_what_would_be_cheaper_in_full_use_says_how_full_a_node_must_be() -> None:
    # Two tasks on a node of four vCPUs, idle for most of the time that it is paid for.
    graph = graph_of(
        *(task(name, 40) for name in "ab"), task("c", 40, 1), platforms=(PLATFORMS, PLATFORMS)
    )
    schedule = by_hand([(31, 0, 0), (31, 0, 0), (21, 1, 0)], [("h4", 1, 400), ("n2", 1, 42)])
    case = explained(graph, Goal("cost"), schedule=schedule)
    used = 2 * 20.1 * 0.0011 / 2 / float(case.steps[0].run.usd)
    assert case.why("ray", "n2") == (
        f"pays only where over {used:.0%} of a node is used, boot included".replace("%", " %")
    )


def test_what_one_task_would_use_well_enough_is_said_to_be_passed_over() -> None:
    # Half of n2 for 20.1 of 60 s is a sixth of it; it would pay from a fortieth on.
    graph = graph_of(task("a", 40), task("c", 40, 1), platforms=(PLATFORMS, PLATFORMS))
    schedule = by_hand([(31, 0, 0), (21, 1, 0)], [("h4", 1, 400), ("n2", 1, 42)])
    case = explained(graph, Goal("cost"), schedule=schedule)
    saved = float(case.steps[0].run.usd) - 20.1 * 0.0011 / 2
    part = f"{saved / float(case.schedule.usd):.0%}".replace("%", " %")
    assert case.why("ray", "n2") == (
        f"would save ${saved:.3f} at most, {part} of the run; trivium does not take it"
    )


def test_tasks_that_bridge_the_boot_of_a_node_are_counted() -> None:
    graph = graph_of(task("a", 4), task("b", 4), task("c", 4))
    schedule = by_hand([(2, None, 0), (3, None, 0), (21, 0, 0)], [("n2", 1, 24)])
    case = explained(graph, Goal("cost"), schedule=schedule)
    assert case.why("lambda", "512 MB arm64") == (
        "2 of them start before the step's first node is up"
    )
    assert case.candidate("lambda", "512 MB arm64").tasks == 2
    assert case.why("ray", "n2") == ""


def test_steps_on_another_platform_have_moved() -> None:
    graph = graph_of(task("a", 4), task("b", 4, 1), platforms=(PLATFORMS, PLATFORMS))
    compiled = compile_graph(graph, PRICES, BOOK)
    nodes = [("n2", 1, 30)]
    here = by_hand([(21, 0, 0), (21, 0, 0)], nodes)(compiled, BOOK)
    there = by_hand([(21, 0, 0), (2, None, 0)], nodes)(compiled, BOOK)
    assert moved_steps(here, there) == 1
