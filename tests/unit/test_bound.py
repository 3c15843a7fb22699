"""Lower bounds: below every schedule, near the best ones, and clear about what cannot be had."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.books import default_books
from placement.engine.bound import COARSE, FINE, CostBound, UnreachableError, cost_bound, time_bound
from placement.engine.bounding import master
from placement.engine.bounding.arrays import Floats
from placement.engine.bounding.classes import _classified
from placement.engine.bounding.nodes import alike, node_types, resource_weights
from placement.engine.bounding.prices import PriceList, least_paid
from placement.engine.bounding.scenario import Scenario
from placement.engine.bounding.windows import windows_of
from placement.engine.planner import Planner
from placement.engine.policies.goal import Goal
from placement.engine.schedule import Schedule
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.workflow import PLATFORMS, Platform
from tests.unit.brute_force import pareto
from tests.unit.tiny_books import book_classes

PRICES, BOOK = default_books()
TINY_PRICES, TINY_BOOK = book_classes()
MIB = 1 << 20
LAMBDA_MB = 1769
NODE = "c6g.xlarge"


@dataclass(frozen=True)
class Shape:
    """A task of a graph to be made: its group, and which earlier tasks and files it reads."""

    runtime_s: float
    group: int = 0
    reads_tasks: tuple[int, ...] = ()
    reads_files: tuple[int, ...] = ()
    out_bytes: int | None = 1000
    cores: int = 1
    memory_mb: int = 500


def make_graph(
    shapes: list[Shape],
    files: tuple[int, ...] = (),
    platforms: tuple[tuple[Platform, ...], ...] = (PLATFORMS,) * 3,
) -> TaskGraph:
    sizes, tasks, made = list(files), [], {}
    for place, shape in enumerate(shapes):
        if shape.out_bytes is not None:
            made[place] = len(sizes)
            sizes.append(shape.out_bytes)
        from_tasks = tuple(made[before] for before in shape.reads_tasks if before in made)
        tasks.append(
            Task(
                f"t{place}",
                shape.group,
                shape.runtime_s,
                shape.cores,
                shape.memory_mb * MIB,
                shape.reads_files + from_tasks,
                (made[place],) if place in made else (),
                shape.reads_tasks,
            )
        )
    groups = tuple(Group(f"g{n}", "map", each) for n, each in enumerate(platforms))
    names = tuple(f"f{n}" for n in range(len(sizes)))
    return TaskGraph("test", "paper", tuple(tasks), groups, names, tuple(sizes), ())


# Schedules of the simplest kind, worked out here by hand: one task after the other.


def ms(seconds: float) -> int:
    return math.ceil(round(seconds * 1000, 6))


def parts(size: int) -> int:
    return max(1, math.ceil(size / (BOOK.value("s3_part_mb") * 1e6)))


def usd(name: str) -> float:
    return float(PRICES.usd(name))


def lambda_moving_s(sizes: list[int], latency: str) -> float:
    if not sizes:
        return 0.0
    burst, total = BOOK.value("lambda_burst_mb") * 1e6, sum(sizes)
    return (
        math.ceil(len(sizes) / BOOK.value("s3_requests_at_once")) * BOOK.value(latency)
        + min(total, burst) / 1e6 / BOOK.value("lambda_burst_mb_per_s")
        + max(0.0, total - burst) / 1e6 / BOOK.value("lambda_transfer_mb_per_s")
    )


def node_moving_s(sizes: list[int], latency: str, share: float) -> float:
    if not sizes:
        return 0.0
    network = BOOK.instance(NODE).network_gbps * 125 * share
    return math.ceil(len(sizes) / BOOK.value("s3_requests_at_once")) * BOOK.value(latency) + sum(
        sizes
    ) / 1e6 / min(BOOK.value("s3_thread_mb_per_s"), network)


def on_lambda(graph: TaskGraph, task: Task) -> tuple[int, float]:
    """Return ms and USD of a task in a fresh environment."""
    into = [graph.file_bytes[file] for file in task.inputs]
    out = [graph.file_bytes[file] for file in task.outputs]
    vcpus = min(LAMBDA_MB / BOOK.value("lambda_mb_per_vcpu"), BOOK.value("lambda_max_vcpus"))
    took = (
        ms(BOOK.value("lambda_init_s"))
        + ms(lambda_moving_s(into, "s3_get_s"))
        + ms(lambda_moving_s(out, "s3_put_s"))
        + ms(task.runtime_s * task.cores / min(task.cores, vcpus))
    )
    tmp_gb = (BOOK.value("lambda_tmp_mb") - 512) / 1024
    gb_usd = LAMBDA_MB / 1024 * usd("lambda_arm_gb_s") + tmp_gb * usd("lambda_storage_gb_s")
    cost = took / 1000 * gb_usd + usd("lambda_request")
    cost += BOOK.value("transitions_per_lambda_batch") * usd("state_transition")
    return took, cost + sum(map(parts, into)) * usd("s3_get") + puts_usd(graph, task)


def puts_usd(graph: TaskGraph, task: Task) -> float:
    return sum(parts(graph.file_bytes[file]) for file in task.outputs) * usd("s3_put")


def run_usd(groups: int) -> float:
    """Return what every run costs."""

    def count(what: str) -> float:
        return BOOK.value(f"{what}_per_run") + groups * BOOK.value(f"{what}_per_step")

    call_gb_s = BOOK.value("control_memory_mb") / 1024 * BOOK.value("control_call_s")
    return (
        count("transitions") * usd("state_transition")
        + count("control_calls") * (call_gb_s * usd("lambda_x86_gb_s") + usd("lambda_request"))
        + count("ledger_writes") * usd("dynamodb_write")
        + groups * BOOK.value("ledger_reads_per_step") * usd("dynamodb_read")
        + BOOK.value("events_per_run") * usd("eventbridge_event")
    )


def serial(graph: TaskGraph, node_groups: set[int]) -> tuple[int, Decimal]:
    """Return makespan (ms) and cost (USD) of one task after the other.

    The tasks of `node_groups` go to one node that is launched at once, the others to Lambda.
    """
    start = ms(BOOK.value("run_start_s"))
    ready = start + ms(BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s"))
    now, released, cost = start, ready, run_usd(len(graph.groups))
    there: set[int] = set()
    for task in graph.tasks:
        if task.group not in node_groups:
            took, task_usd = on_lambda(graph, task)
            now += ms(BOOK.value("state_gap_s")) + took
            cost += task_usd
            continue
        share = min(1.0, task.cores / BOOK.instance(NODE).vcpu)
        missing = [file for file in task.inputs if file not in there]
        sizes = [graph.file_bytes[file] for file in missing]
        out = [graph.file_bytes[file] for file in task.outputs]
        now = max(now, ready) + ms(BOOK.value("ray_task_start_s")) + ms(task.runtime_s)
        now += ms(node_moving_s(sizes, "s3_get_s", share))
        now += ms(node_moving_s(out, "s3_put_s", share))
        released = now
        there.update(task.inputs, task.outputs)
        cost += sum(map(parts, sizes)) * usd("s3_get") + puts_usd(graph, task)
    used = {task.group for task in graph.tasks}
    cost += len(used) * BOOK.value("transitions_per_part") * usd("state_transition")
    if used & node_groups:
        cost += len(used & node_groups) * BOOK.value("sqs_requests_per_job") * usd("sqs_request")
        seconds = max((released - start) / 1000, float(PRICES.rule("instance_minimum_s")))
        disk_gb = math.ceil(
            BOOK.value("node_image_gb") + sum(graph.file_bytes[file] for file in there) / 1e9
        )
        gb_s_usd = usd("ebs_gp3_gb_month") / float(PRICES.rule("month_s"))
        hourly = float(PRICES.instance_usd_per_hour(NODE))
        cost += seconds * (hourly / 3600 + disk_gb * gb_s_usd)
    # A hair above, for the account rounds every item.
    return now + ms(BOOK.value("run_end_s")), Decimal(cost * (1 + 1e-7))


@st.composite
def graphs(draw: st.DrawFn) -> TaskGraph:
    files = tuple(draw(st.lists(st.integers(0, 2_000_000_000), max_size=3)))
    longest = draw(st.sampled_from([1.0, 60.0, 400.0]))
    shapes = []
    for place in range(draw(st.integers(1, 9))):
        before = draw(st.lists(st.integers(0, place - 1), unique=True)) if place else []
        reads = draw(st.lists(st.integers(0, len(files) - 1), unique=True)) if files else []
        shapes.append(
            Shape(
                draw(st.floats(0, longest)),
                draw(st.integers(0, 2)),
                tuple(sorted(before)),
                tuple(reads),
                draw(st.none() | st.integers(0, 500_000_000)),
                draw(st.sampled_from([1, 1, 2, 4])),
                draw(st.sampled_from([100, 500, 1500])),
            )
        )
    return make_graph(shapes, files)


@given(graphs(), st.sets(st.integers(0, 2)))
@settings(deadline=None, max_examples=15)
def test_neither_bound_is_above_a_schedule_of_one_task_after_the_other(
    graph: TaskGraph, node_groups: set[int]
) -> None:
    makespan, cost = serial(graph, node_groups)
    bound = CostBound(graph, PRICES, BOOK)
    assert bound.cost(makespan) <= cost
    assert bound.cost(makespan, COARSE) <= cost
    assert bound.time(cost) <= makespan


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tiny", [True, False])
def test_neither_bound_is_above_the_best_schedules_there_are(seed: int, tiny: bool) -> None:
    rng = np.random.default_rng(seed)
    prices, book = (TINY_PRICES, TINY_BOOK) if tiny else (PRICES, BOOK)
    most_bytes, longest_s = (20_000_000, 30.0) if tiny else (900_000_000, 500.0)
    files = tuple(int(size) for size in rng.integers(0, most_bytes, 2))
    shapes = [
        Shape(
            round(float(rng.uniform(0, longest_s)), 3),
            int(rng.integers(0, 2)),
            tuple(before for before in range(place) if rng.random() < 0.5),
            tuple(file for file in range(2) if rng.random() < 0.6),
            int(rng.integers(0, most_bytes)),
            int(rng.integers(1, 3)),
            100,
        )
        for place in range(3)
    ]
    graph = make_graph(shapes, files, (PLATFORMS,) * 2)
    found = pareto(
        graph,
        prices,
        book,
        lambda_kinds=[(512, "x86_64"), (4096, "x86_64")] if tiny else [(LAMBDA_MB, "arm64")],
        node_kinds=[("ray", "n2"), ("hpc", "h4")] if tiny else [("ray", NODE)],
    )
    assert found
    bound = CostBound(graph, prices, book)
    for plan in found:
        assert bound.cost(plan.makespan_ms) <= plan.cost_usd
        assert bound.time(plan.cost_usd) <= plan.makespan_ms


@given(graphs(), st.sets(st.integers(0, 2)), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_no_prices_whatever_prove_too_much(
    graph: TaskGraph, node_groups: set[int], seed: int
) -> None:
    makespan, cost = serial(graph, node_groups)
    facts = CostBound(graph, PRICES, BOOK)._facts
    last_ms = makespan - facts.run_end_ms
    kinds = [kind for kind in facts.kinds if kind.platform == "ray"]
    windows = windows_of(facts, kinds, last_ms)
    assert windows is not None
    scenario = Scenario(facts, FINE, kinds, windows, last_ms)
    rng, buckets = np.random.default_rng(seed), scenario._grid.buckets
    fresh = tuple(np.exp(rng.normal(0, 2, buckets)) for _ in kinds)
    aged = tuple(each + np.exp(rng.normal(0, 2, buckets)) for each in fresh)
    waiting = rng.random((facts.pairs.count, buckets + 1)) * float(cost)
    waiting = np.ascontiguousarray(np.sort(waiting, axis=1)[:, ::-1])
    proven = scenario._certified(PriceList(fresh, aged, waiting))
    assert proven.usd + facts.constant_usd <= cost


@given(graphs(), st.integers(0, 2**32), st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_task_pays_on_a_node_what_it_does_at_its_cheapest_moment(
    graph: TaskGraph, seed: int, waits: bool
) -> None:
    only_ray = (Group("g", "map", ("ray",)),) * len(graph.groups)
    facts = CostBound(replace(graph, groups=only_ray), PRICES, BOOK)._facts
    last_ms = serial(graph, {0, 1, 2})[0] + 200_000
    kinds = [kind for kind in facts.kinds if kind.platform == "ray"][:1]
    windows = windows_of(facts, kinds, last_ms)
    assert windows is not None
    scenario = Scenario(facts, FINE, kinds, windows, last_ms)
    grid, rng = scenario._grid, np.random.default_rng(seed)
    fresh = np.exp(rng.normal(0, 1, grid.buckets))
    aged = fresh + np.exp(rng.normal(0, 1, grid.buckets))
    waiting = np.zeros((facts.pairs.count, grid.buckets + 1))
    if waits:
        waiting = np.ascontiguousarray(np.sort(rng.random(waiting.shape), axis=1)[:, ::-1]) / 100
    much = rng.random(facts.tasks) < 0.5
    places = replace(scenario._places, brings_much=much)
    paid = least_paid(facts, places, grid, PriceList((fresh,), (aged,), waiting)).on_nodes

    def through(price: Floats, since: Floats, until: Floats) -> Floats:
        held: Floats = np.interp(until, grid.bounds, grid.summed(price))
        return held - np.interp(since, grid.bounds, grid.summed(price))

    (kind,), pairs = kinds, facts.pairs
    for task in range(facts.tasks):
        begin = np.linspace(places.begins[0][task], places.until[0][task], 100_001)
        start, end = begin - kind.before_ms[task], begin + kind.main_ms[task]
        price = aged if much[task] else fresh
        due = facts.usd_per_ms[task] * (through(fresh, start, begin) + through(price, begin, end))
        for at in range(pairs.into.ptr[task], pairs.into.ptr[task + 1]):
            due += np.interp(start, grid.bounds, waiting[pairs.into.entries[at]])
        for at in range(pairs.out_of.ptr[task], pairs.out_of.ptr[task + 1]):
            got = np.interp(end, grid.bounds, waiting[pairs.out_of.entries[at]])
            due -= pairs.weight[at] * got
        least = due.min() + facts.own_get_usd[task]
        # Between two of these moments it may be less by what a step adds to any part.
        step = np.abs(np.diff(due)).max(initial=0.0)
        assert least - step - 1e-12 <= paid[task] <= least + 1e-12


def chains(count: int = 12, runtime_s: float = 90.0) -> TaskGraph:
    """Return chains of three tasks, all of whose heads read one large file."""
    shapes = []
    for chain in range(count):
        head = 3 * chain
        shapes += [
            Shape(runtime_s, 0, (), (0,)),
            Shape(runtime_s / 3, 1, (head,)),
            Shape(runtime_s + chain, 2, (head + 1,)),
        ]
    return make_graph(shapes, (800_000_000,))


@pytest.mark.parametrize(
    "figures",
    [
        {"lambda_init_s": 0},
        {"lambda_init_s": 0, "state_gap_s": 0, "run_start_s": 0, "run_end_s": 0},
        {"ec2_boot_s": 0, "ray_setup_s": 0, "ray_task_start_s": 0},
        {"s3_get_s": 0, "s3_put_s": 0, "s3_thread_mb_per_s": 1e6},
        {"ray_setup_s": 900, "node_image_gb": 500},
    ],
)
def test_other_books_do_not_put_a_bound_above_a_schedule(
    figures: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        name: replace(BOOK.figures[name], value=Decimal(value)) for name, value in figures.items()
    }
    book = replace(BOOK, figures={**BOOK.figures, **known})
    # The schedules by hand are worked out with the same figures.
    monkeypatch.setattr(sys.modules[__name__], "BOOK", book)
    graph = chains(3)
    bound = CostBound(graph, PRICES, book)
    for node_groups in (set[int](), {0}, {0, 1, 2}):
        makespan, cost = serial(graph, node_groups)
        assert bound.cost(makespan) <= cost
        assert bound.time(cost) <= makespan


def test_more_time_never_costs_more() -> None:
    bound = CostBound(chains(), PRICES, BOOK)
    least = bound.least_makespan_ms
    costs = [bound.cost(int(least * stretch)) for stretch in (1, 1.2, 1.5, 2, 4, 20)]
    for shorter, longer in pairwise(costs):
        assert longer <= shorter * Decimal("1.005")
    assert costs[-1] < costs[0] * Decimal("0.8")


def test_a_makespan_below_the_time_bound_costs_more() -> None:
    bound = CostBound(chains(), PRICES, BOOK)
    for stretch in (1.3, 2.5):
        cost = bound.cost(int(bound.least_makespan_ms * stretch)) * Decimal("1.001")
        shortest = bound.time(cost)
        assert bound.least_makespan_ms <= shortest
        assert shortest <= bound.least_makespan_ms * stretch * 1.02
        assert bound.cost(shortest - 1, COARSE) > cost


def test_a_known_schedule_only_shortens_the_search() -> None:
    bound = CostBound(chains(), PRICES, BOOK)
    cost = bound.cost(2 * bound.least_makespan_ms)
    alone, informed = bound.time(cost), bound.time(cost, known_ms=3 * bound.least_makespan_ms)
    assert informed == pytest.approx(alone, rel=0.02)


def test_the_functions_say_what_the_class_says() -> None:
    graph = chains(2)
    bound = CostBound(graph, PRICES, BOOK)
    makespan = 2 * bound.least_makespan_ms
    cost = cost_bound(graph, PRICES, BOOK, makespan)
    assert cost == bound.cost(makespan)
    assert time_bound(graph, PRICES, BOOK, cost) == bound.time(cost)


def test_a_task_that_only_lambda_may_run_costs_what_it_costs_there() -> None:
    graph = make_graph([Shape(100.0)], platforms=(("lambda",),))
    makespan, cost = serial(graph, set())
    # But for the start of a fresh environment, which the bound leaves out.
    assert cost_bound(graph, PRICES, BOOK, makespan) > cost * Decimal("0.995")


def test_nodes_that_are_busy_throughout_cost_little_more_than_the_bound() -> None:
    # 64 tasks of two hours fill one c6g.16xlarge from its first moment to its last.
    graph = make_graph([Shape(7200.0, out_bytes=None)] * 64, platforms=(("ray",),))
    boot_s = BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s")
    makespan = ms(BOOK.value("run_start_s") + boot_s + 7200.01 + BOOK.value("run_end_s"))
    node_usd = float(PRICES.instance_usd_per_hour("c6g.16xlarge")) / 3600 * (boot_s + 7200.01)
    assert float(cost_bound(graph, PRICES, BOOK, makespan)) > 0.99 * node_usd


def test_few_tasks_are_not_priced_as_shares_of_the_largest_nodes() -> None:
    # One task alone cannot keep a large node busy, so it pays more than its share of one.
    graph = make_graph([Shape(7200.0, out_bytes=None)], platforms=(("ray",),))
    boot_s = BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s")
    share_usd = float(PRICES.instance_usd_per_hour("c6g.16xlarge")) / 64 / 3600
    bound = float(cost_bound(graph, PRICES, BOOK, 20_000_000)) - run_usd(1)
    assert bound > 1.02 * share_usd * (boot_s + 7200)


def test_a_file_that_all_read_is_fetched_before_any_computes() -> None:
    file_bytes, count = 5_000_000_000, 20
    shapes = [Shape(30.0, 0, (), (0,), None) for _ in range(count)]
    graph = make_graph(shapes, (file_bytes,), (("ray",),))
    fetch_s = file_bytes / 1e6 / BOOK.value("s3_thread_mb_per_s")
    boot_s = BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s")
    bound = CostBound(graph, PRICES, BOOK)
    assert bound.least_makespan_ms > 1000 * (boot_s + fetch_s + 30)
    # Where all must compute at once, every core waits for the file.
    tight = float(bound.cost(bound.least_makespan_ms + 500))
    core_usd_per_s = float(PRICES.instance_usd_per_hour("c6g.16xlarge")) / 64 / 3600
    assert tight > count * core_usd_per_s * (boot_s + fetch_s + 30)


def test_a_file_that_one_task_reads_holds_its_cores_while_it_comes() -> None:
    file_bytes, count = 5_000_000_000, 20
    shapes = [Shape(30.0, 0, (), (file,), None) for file in range(count)]
    graph = make_graph(shapes, (file_bytes,) * count, (("ray",),))
    fetch_s = file_bytes / 1e6 / BOOK.value("s3_thread_mb_per_s")
    core_usd_per_s = float(PRICES.instance_usd_per_hour("c6g.16xlarge")) / 64 / 3600
    # However long the run may take, every task waits for its own.
    bound = float(cost_bound(graph, PRICES, BOOK, 20_000_000)) - run_usd(1)
    assert bound > count * core_usd_per_s * (fetch_s + 30)
    makespan, cost = serial(graph, {0})
    assert cost_bound(graph, PRICES, BOOK, makespan) <= cost


def test_a_node_that_is_cheap_by_the_core_does_not_lend_its_price_to_a_faster_one() -> None:
    # Eight tasks read one file. Of c6g, only types that cost more than these eight can pay move it
    # faster than 47 MB/s, but for c6g.medium, which costs 6 % more.
    file_bytes, count = 4_000_000_000, 8
    shapes = [Shape(100.0, 0, (), (0,), None) for _ in range(count)]
    graph = make_graph(shapes, (file_bytes,), (("ray",),))
    bound = CostBound(graph, PRICES, BOOK)
    core_usd_per_s = float(PRICES.instance_usd_per_hour("c6g.16xlarge")) / 64 / 3600
    boot_s = BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s")
    tight = float(bound.cost(bound.least_makespan_ms + 45_000))
    assert tight > 1.05 * count * core_usd_per_s * (boot_s + file_bytes / 1e6 / 62.5 + 100)


@pytest.mark.parametrize("moved_mb_per_s", [0.0, 0.1, 1.0, 30.0, 1000.0])
def test_kinds_share_out_all_types_and_are_few(moved_mb_per_s: float) -> None:
    types = node_types(PRICES, BOOK, 1)
    every = np.ones(1, dtype=np.int64)
    weights = resource_weights(types, 1000 * every, every, 10**9 * every)
    kinds = alike(types, weights, BOOK.value("s3_thread_mb_per_s"), moved_mb_per_s)
    assert sorted((each.platform, each.name) for kind in kinds for each in kind) == sorted(
        (each.platform, each.name) for each in types
    )
    for platform in ("ray", "hpc"):
        of_it = [kind for kind in kinds if kind[0].platform == platform]
        assert 1 <= len(of_it) <= 5
        assert all(each.platform == platform for kind in of_it for each in kind)
        best = [max(map(weights.yields, kind)) for kind in of_it]
        assert best == sorted(best, reverse=True)


def test_a_lease_that_alone_costs_more_than_a_plan_does_not_lower_the_bound() -> None:
    # Eight cores for two hours each: no node of 16 cores or more can pay.
    graph = make_graph([Shape(7200.0, out_bytes=None)] * 8, platforms=(("ray",),))
    boot_s = BOOK.value("ec2_boot_s") + BOOK.value("ray_setup_s")
    bound = float(cost_bound(graph, PRICES, BOOK, 8_000_000)) - run_usd(1)
    gb_s_usd = usd("ebs_gp3_gb_month") / float(PRICES.rule("month_s"))
    hourly = float(PRICES.instance_usd_per_hour("c6g.2xlarge")) / 3600
    node_usd = (hourly + BOOK.value("node_image_gb") * gb_s_usd) * (boot_s + 7200)
    assert 0.99 * node_usd < bound <= 1.001 * node_usd


def test_classes_are_finer_where_the_work_is() -> None:
    shapes = [Shape(1000.0 + 40 * place, 0) for place in range(30)]
    shapes += [Shape(1.0 + place / 40, 1) for place in range(30)]
    bound = CostBound(make_graph(shapes), PRICES, BOOK)
    windows = windows_of(bound._facts, bound._facts.kinds[:1], 4_000_000)
    assert windows is not None
    scenario = Scenario(bound._facts, FINE, bound._facts.kinds[:1], windows, 4_000_000)
    of_task, count = _classified(bound._facts, scenario._places, scenario._grid, 20)
    assert count == len(np.unique(of_task)) <= 20
    assert len(np.unique(of_task[:30])) > 3 * len(np.unique(of_task[30:]))


def test_a_run_costs_its_states_and_requests_even_if_its_tasks_take_no_time() -> None:
    graph = make_graph([Shape(0.0, out_bytes=None)])
    bound = cost_bound(graph, PRICES, BOOK, 1_000_000)
    assert float(bound) > run_usd(3)


def test_what_only_an_mpi_cluster_runs_pays_its_head_and_its_file_system() -> None:
    graph = make_graph([Shape(3600.0, out_bytes=None)], platforms=(("hpc",),))
    bound = cost_bound(graph, PRICES, BOOK, 10_000_000)
    seconds = BOOK.value("hpc_launch_s") + 3600
    gb_s_usd = usd("fsx_scratch2_gb_month") / float(PRICES.rule("month_s"))
    head_usd = float(PRICES.instance_usd_per_hour(BOOK.hpc_head_type)) / 3600
    assert float(bound) > seconds * (head_usd + BOOK.value("fsx_gb") * gb_s_usd)


def test_a_group_without_tasks_costs_its_states_only() -> None:
    alone = make_graph([Shape(10.0)], platforms=(PLATFORMS,))
    with_empty = make_graph([Shape(10.0)], platforms=(PLATFORMS,) * 2)
    more = cost_bound(with_empty, PRICES, BOOK, 10**6) - cost_bound(alone, PRICES, BOOK, 10**6)
    assert float(more) == pytest.approx(run_usd(2) - run_usd(1), abs=1e-8)


def test_a_makespan_below_the_critical_path_cannot_be_had() -> None:
    bound = CostBound(chains(1), PRICES, BOOK)
    with pytest.raises(UnreachableError, match=r"the critical path takes \d+ ms"):
        bound.cost(bound.least_makespan_ms - 1)


def test_less_than_a_run_costs_at_all_cannot_be_had() -> None:
    with pytest.raises(UnreachableError, match=r"no schedule costs 0\.0001 USD"):
        time_bound(chains(1), PRICES, BOOK, Decimal("0.0001"))


def test_a_task_that_fits_nowhere_has_no_schedule() -> None:
    graph = make_graph([Shape(10.0, cores=10_000)], platforms=(("ray",),))
    with pytest.raises(UnreachableError, match="a task fits on no platform"):
        cost_bound(graph, PRICES, BOOK, 10**9)


def test_a_solver_that_gives_up_leaves_a_looser_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, makespan = chains(), 700_000
    usual = cost_bound(graph, PRICES, BOOK, makespan)
    monkeypatch.setattr(
        master, "linprog", lambda *_, **__: SimpleNamespace(x=None, message="no time")
    )
    without = cost_bound(graph, PRICES, BOOK, makespan)
    assert usual * Decimal("0.8") < without < usual


def test_the_same_graph_has_the_same_bounds() -> None:
    first, again = CostBound(chains(), PRICES, BOOK), CostBound(chains(), PRICES, BOOK)
    assert first.cost(600_000) == again.cost(600_000)
    assert first.time(Decimal("0.05")) == again.time(Decimal("0.05"))


def test_a_file_that_a_task_reads_and_writes_lies_on_its_node_once() -> None:
    # With its file counted twice, the disk of the node would be one GB larger than it has to be.
    task = Task("rewrites", 0, 1e6, 64, 1 << 30, (0,), (0,), ())
    graph = TaskGraph("g", "", (task,), (Group("g", "map", ("ray",)),), ("f",), (510_000_000,), ())
    planner = Planner(graph, PRICES, BOOK)
    schedule = planner.schedule("static-ec2:c6g.16xlarge:1", Goal("cost"))
    assert isinstance(schedule, Schedule)
    assert cost_bound(graph, PRICES, BOOK, schedule.makespan_ms) <= schedule.usd
