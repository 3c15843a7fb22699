"""The policies that Trivium's own is compared with: right schedules, rules, refusals."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.books import PlatformBook, PriceBook, default_books
from placement.engine.compiled import Compiled, compile_graph
from placement.engine.policies import (
    POLICIES,
    Baselines,
    check_policy,
    run_policy,
    static_ec2,
)
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.heft import ON_LAMBDA, ON_NODES
from placement.engine.policies.mashup import placed_steps
from placement.engine.policies.static_ec2 import Point, choose, pareto
from placement.engine.schedule import make_schedule
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.wfformat import read_trace
from placement.errors import UserError
from placement.workflow import PLATFORMS, Platform
from tests.checker.books import read_books
from tests.checker.check_schedule import check
from tests.unit.brute_force import books_of
from tests.unit.graphs import MIB, graph_of, task_graphs
from tests.unit.tiny_books import book_classes

# The compiled code is compiled by the first example.
quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TINY = book_classes()
BOOKS = default_books()
COST, TIME = Goal("cost"), Goal("time")
GOALS = (
    COST,
    TIME,
    Goal("cost", deadline_ms=60_000),
    Goal("time", budget_usd=Decimal("0.5")),
    Goal("cost", deadline_ms=60_000, budget_usd=Decimal("0.5")),
)


def task(
    name: str,
    seconds: float,
    *,
    group: int = 0,
    cores: int = 1,
    memory: int = 500,
    inputs: tuple[int, ...] = (),
    after: tuple[int, ...] = (),
) -> Task:
    return Task(name, group, seconds, cores, memory * MIB, inputs, (), after)


def only_on(*platforms: Platform) -> tuple[Group, ...]:
    return (Group("g", "map", platforms),)


def baselines(graph: TaskGraph, books: tuple[PriceBook, PlatformBook] = BOOKS) -> Baselines:
    return Baselines(compile_graph(graph, *books), *books)


def timetable(found: Timetable | Infeasible) -> Timetable:
    assert isinstance(found, Timetable), found
    return found


def reason(found: Timetable | Infeasible) -> str:
    assert isinstance(found, Infeasible)
    return found.reason


def usd_of(compiled: Compiled, table: Timetable) -> float:
    return float(make_schedule(compiled, table, *BOOKS).usd)


def wide(count: int = 40, seconds: float = 30) -> TaskGraph:
    """Make a graph of like tasks, and one that waits for all of them."""
    tasks = [task(f"t{n}", seconds) for n in range(count)]
    return graph_of(*tasks, task("last", 20, after=tuple(range(count))))


# all of them


@quiet
@given(task_graphs(), st.sampled_from(GOALS), st.sampled_from((*POLICIES, "static-ec2:n2:2")))
def test_every_schedule_passes_the_checker_and_keeps_its_goal(
    graph: TaskGraph, goal: Goal, policy: str
) -> None:
    compiled = compile_graph(graph, *TINY)
    found = run_policy(policy, compiled, goal, *TINY)
    table = found.nearest if isinstance(found, Infeasible) else found
    if isinstance(found, Infeasible):
        assert found.reason
        assert "  " not in found.reason
    if table is None:
        return
    schedule = make_schedule(compiled, table, *TINY)
    assert check(None, json.loads(json.dumps(schedule.to_json())), books_of(*TINY)) == []
    late = goal.deadline_ms is not None and table.makespan_ms > goal.deadline_ms
    dear = goal.budget_usd is not None and schedule.usd > goal.budget_usd
    assert isinstance(found, Infeasible) == (late or dear)


@pytest.mark.parametrize("policy", [*POLICIES, "static-ec2:c7g.xlarge:3"])
def test_the_same_goal_gives_the_same_timetable(policy: str) -> None:
    one, other = (
        timetable(baselines(wide()).run(policy, Goal("cost", deadline_ms=400_000)))
        for _ in range(2)
    )
    for field in ("start_ms", "end_ms", "node", "size", "node_type", "release_ms"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("heffed", 'there is no policy "heffed"; there are trivium, static-ec2, '),
        ("heft:c7g.large:2", 'there is no policy "heft:c7g.large:2"; '),
        ("static-ec2:c7g.large", "is not static-ec2:TYPE:N with a number of nodes"),
        ("static-ec2:c7g.large:2:3", "is not static-ec2:TYPE:N with a number of nodes"),
        ("static-ec2:c7g.large:-2", "is not static-ec2:TYPE:N with a number of nodes"),
        ("static-ec2:c7g.large:0", "has 0 nodes; 1 to 10000 are possible"),
        ("static-ec2:c7g.large:10001", "has 10001 nodes; 1 to 10000 are possible"),
        ("static-ec2:m1.tiny:2", 'there is no Ray node type "m1.tiny" in platforms-us-east-1'),
    ],
)
def test_a_policy_that_does_not_exist_is_the_users_mistake(policy: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        baselines(wide(2)).run(policy, COST)
    assert says in str(error.value)
    with pytest.raises(UserError) as at_once:
        check_policy(policy, default_books()[1])
    assert str(at_once.value) == str(error.value)


@pytest.mark.parametrize("policy", ["trivium", *POLICIES, "static-ec2:c7g.xlarge:3"])
def test_a_policy_that_exists_passes(policy: str) -> None:
    check_policy(policy, default_books()[1])


def test_of_a_family_that_is_offered_the_sizes_are_named() -> None:
    with pytest.raises(UserError, match=r'type "c7gn.huge" in .*; there are c7gn.medium, .*\.$'):
        check_policy("static-ec2:c7gn.huge:2", default_books()[1])


# static-ec2


def test_the_front_is_a_front() -> None:
    front = baselines(wide()).front
    assert len(front) > 2
    for fast, cheap in pairwise(front):
        assert fast.makespan_ms < cheap.makespan_ms
        assert fast.usd > cheap.usd


@pytest.mark.parametrize("count", [3, 40])
def test_what_the_sweep_passes_over_is_not_on_the_front(count: int) -> None:
    found = baselines(wide(count))
    clusters = found.clusters
    for kind in clusters.kinds:
        for nodes in (1, 2, 3, 4, 6, 8, 12):
            run = clusters.run(kind, nodes)
            makespan_ms, usd = run.table.makespan_ms, clusters.costing.usd(run)
            assert any(
                each.makespan_ms <= makespan_ms and each.usd <= usd + 1e-12 for each in found.front
            )


def test_types_that_another_dominates_are_not_tried() -> None:
    clusters = baselines(wide()).clusters
    names = {clusters.name(kind) for kind in clusters.kinds}
    assert {"c6g.xlarge", "c6gn.medium"} <= names
    assert not names & {"c5.large", "c7i.xlarge", "r7i.large"}


def test_memory_that_tasks_need_keeps_a_type() -> None:
    """Four cores with 30 GiB: of the types with 4 vCPUs only r7g and r7i hold one."""
    graph = graph_of(task("large", 10, cores=4, memory=30_000))
    clusters = baselines(graph).clusters
    names = {clusters.name(kind) for kind in clusters.kinds}
    assert {name for name in names if name.endswith(".xlarge")} == {"r7g.xlarge"}


def test_a_fixed_cluster_is_there_for_the_whole_run_and_paid_for() -> None:
    found = baselines(graph_of(task("long", 600), task("short", 5)))
    table = timetable(found.run("static-ec2:c7g.medium:3", COST))
    assert list(table.launch_ms) == [1500] * 3
    assert list(table.release_ms) == [int(table.end_ms.max())] * 3
    two, three = (
        found.clusters.costing.usd(found.clusters.run(found.clusters.column("c7g.medium"), nodes))
        for nodes in (2, 3)
    )
    node_usd = 0.0363 / 3600 * (table.end_ms.max() - 1500) / 1000
    assert three - two == pytest.approx(node_usd, rel=0.1)  # and its disk


def test_a_deadline_takes_the_cheapest_cluster_that_keeps_it() -> None:
    found = baselines(wide())
    middle = found.front[len(found.front) // 2]
    table = timetable(found.run("static-ec2", Goal("cost", deadline_ms=middle.makespan_ms)))
    assert table.makespan_ms == middle.makespan_ms


def test_a_budget_takes_the_fastest_cluster_within_it() -> None:
    found = baselines(wide())
    middle = found.front[len(found.front) // 2]
    budget = Decimal(str(round(middle.usd * 1.0001, 9)))
    table = timetable(found.run("static-ec2", Goal("time", budget_usd=budget)))
    assert table.makespan_ms == middle.makespan_ms


def test_without_limits_the_ends_of_the_front_are_taken() -> None:
    found = baselines(wide())
    assert timetable(found.run("static-ec2", TIME)).makespan_ms == found.front[0].makespan_ms
    assert timetable(found.run("static-ec2", COST)).makespan_ms == found.front[-1].makespan_ms


def test_what_cannot_be_kept_names_the_nearest_there_is() -> None:
    found = baselines(wide())
    late = found.run("static-ec2", Goal("cost", deadline_ms=50_000))
    fastest = found.front[0].makespan_ms
    assert isinstance(late, Infeasible)
    assert late.nearest is not None
    assert late.nearest.makespan_ms == fastest
    assert late.reason == (
        f"static-ec2 takes {fastest / 1000:.3f} s at the least, and the deadline is 50 s"
    )
    dear = reason(found.run("static-ec2", Goal("time", budget_usd=Decimal("0.0001"))))
    assert dear.startswith(f"static-ec2 costs ${found.front[-1].usd:.6f} at the least, and the")
    both = Goal("cost", deadline_ms=fastest, budget_usd=Decimal("0.0001"))
    assert "to keep the deadline, and the budget is $0.0001" in reason(
        found.run("static-ec2", both)
    )


def test_a_cluster_whose_nodes_are_too_small_is_infeasible() -> None:
    found = baselines(graph_of(task("a", 1), task("wide", 1, cores=4)))
    assert reason(found.run("static-ec2:c7g.large:2", COST)) == (
        'task "wide" does not fit a c7g.large'
    )


def test_tasks_for_lambda_alone_make_fixed_clusters_infeasible_and_the_mixed_ones_not() -> None:
    groups = (Group("any", "map", PLATFORMS), Group("away", "map", ("lambda",)))
    found = baselines(graph_of(task("a", 1), task("b", 1, group=1), groups=groups))
    for policy in ("static-ec2", "static-ec2:c7g.large:1"):
        assert reason(found.run(policy, COST)) == 'task "b" fits no node that it may run on'
    for policy in ("mashup", "heft"):
        assert timetable(found.run(policy, COST)).node[1] == NO_WORKER


def test_a_task_that_fits_nothing_is_infeasible_everywhere() -> None:
    found = baselines(graph_of(task("a", 1), task("huge", 1, cores=10_000, memory=20_000)))
    for policy in ("static-ec2", "mashup", "heft"):
        assert reason(found.run(policy, COST)).startswith('task "huge" fits no')


def test_choose_takes_the_other_figure_where_the_wanted_one_is_equal() -> None:
    points = [Point(0, 1, 100, 2.0), Point(0, 2, 100, 1.0), Point(0, 3, 90, 2.0)]
    assert choose(points, TIME).nodes == 3
    assert choose(points, COST).nodes == 2
    assert [point.nodes for point in pareto(points)] == [3, 2]


def test_of_large_graphs_fewer_clusters_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    full = {each.nodes for each in static_ec2.sweep(baselines(wide(600)).clusters)}
    monkeypatch.setattr(static_ec2, "LARGE_TASKS", 10)
    monkeypatch.setattr(static_ec2, "LARGE_FEWEST", 5)
    monkeypatch.setattr(static_ec2, "LARGE_PLAYED_TASKS", 10)
    clusters = baselines(wide(600)).clusters
    few = list(static_ec2.sweep(clusters))
    assert 3 in full
    assert len(few) == 5
    assert {each.nodes for each in few} <= {1, 2, 4, 8, 16}
    assert {clusters.name(each.kind) for each in few} <= {"c6g.16xlarge", "c7g.16xlarge"}


# MPI programs


def with_mpi() -> TaskGraph:
    groups = (Group("map", "map", PLATFORMS), Group("solve", "mpi", ("hpc",)))
    solve = task("solve", 600, group=1, cores=16, memory=8000, after=(0, 1))
    return graph_of(task("a", 20), task("b", 20), solve, task("c", 5, after=(2,)), groups=groups)


@pytest.mark.parametrize("policy", ["static-ec2", "mashup", "heft"])
def test_mpi_programs_get_one_node_of_the_cheapest_hpc_type_that_fits(policy: str) -> None:
    found = baselines(with_mpi())
    table = timetable(found.run(policy, COST))
    kind = found.compiled.node_types[table.node_type[table.node[2]]]
    assert (kind.platform, kind.name) == ("hpc", "hpc7g.16xlarge")
    platforms = [found.compiled.node_types[each].platform for each in table.node_type]
    assert platforms.count("hpc") == 1
    assert check(None, make_schedule(found.compiled, table, *BOOKS).to_json()) == []


def test_only_mpi_programs_need_no_ray_nodes() -> None:
    graph = graph_of(task("solve", 600, cores=16), groups=(Group("solve", "mpi", ("hpc",)),))
    found = baselines(graph)
    assert [point.nodes for point in found.front] == [0]
    assert len(timetable(found.run("static-ec2", COST)).node_type) == 1


def test_what_no_ray_node_holds_goes_to_the_hpc_node() -> None:
    found = baselines(graph_of(task("a", 5), task("large", 50, cores=128)))
    table = timetable(found.run("static-ec2", COST))
    names = [found.compiled.node_types[each].name for each in table.node_type[table.node]]
    assert found.compiled.arrays.vcpus[table.node_type[table.node[1]]] >= 128
    assert names[1] == "c6i.32xlarge"


# all-lambda


@pytest.mark.parametrize(
    ("one", "files", "platforms", "says"),
    [
        (task("x", 5), (), ("ray", "hpc"), 'task "x" may run on ray and hpc only'),
        (
            task("x", 5, memory=20 * 1024),
            (),
            PLATFORMS,
            'task "x" needs 20.0 GiB of memory, and Lambda has 10.0 GiB at the most',
        ),
        (
            task("x", 5, inputs=(0,)),
            (11 << 30,),
            PLATFORMS,
            'task "x" has 11.0 GiB of files, and /tmp holds 10.0 GiB',
        ),
        (
            task("x", 1200, cores=2),
            (),
            PLATFORMS,
            'task "x" takes 1200 s at the fastest size, and a call ends at 900 s',
        ),
    ],
)
def test_all_lambda_names_the_first_task_that_does_not_fit_and_why(
    one: Task, files: tuple[int, ...], platforms: tuple[Platform, ...], says: str
) -> None:
    graph = graph_of(task("a", 1), one, replace(one, id="y"), files=files)
    graph = replace(graph, groups=(Group("g", "map", platforms),))
    if "lambda" not in platforms:
        graph = replace(
            graph,
            tasks=(graph.tasks[0], *(replace(each, group=1) for each in graph.tasks[1:])),
            groups=(Group("any", "map", PLATFORMS), *graph.groups),
        )
    assert reason(baselines(graph).run("all-lambda", COST)) == says


def lambda_chain() -> TaskGraph:
    """Make two chains of tasks of four cores: every size costs and takes something else."""
    return graph_of(
        *(
            task(f"t{n}", 40 + 5 * n, cores=4, after=(n - 2,) if n > 1 else (), inputs=(0,))
            for n in range(10)
        ),
        files=(400_000_000,),
    )


def test_all_lambda_is_cheapest_for_cost_and_fastest_for_time() -> None:
    found = baselines(lambda_chain())
    cheap, fast = (timetable(found.run("all-lambda", goal)) for goal in (COST, TIME))
    assert usd_of(found.compiled, cheap) < usd_of(found.compiled, fast)
    assert fast.makespan_ms < cheap.makespan_ms
    a = found.compiled.arrays
    assert all(
        a.lambda_ms[each, size] == a.lambda_ms[each].min() for each, size in enumerate(fast.size)
    )


def test_all_lambda_pays_less_the_later_the_deadline() -> None:
    found = baselines(lambda_chain())
    cheap, fast = (timetable(found.run("all-lambda", goal)) for goal in (COST, TIME))
    costs = []
    for share in (0, 0.1, 0.3, 0.6, 1):
        deadline = int(fast.makespan_ms + share * (cheap.makespan_ms - fast.makespan_ms))
        table = timetable(found.run("all-lambda", Goal("cost", deadline_ms=deadline)))
        assert table.makespan_ms <= deadline
        costs.append(usd_of(found.compiled, table))
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) > 3
    assert costs[-1] <= usd_of(found.compiled, cheap)


def test_all_lambda_is_faster_the_larger_the_budget() -> None:
    found = baselines(lambda_chain())
    cheap, fast = (
        usd_of(found.compiled, timetable(found.run("all-lambda", goal))) for goal in (COST, TIME)
    )
    times = []
    for share in (0.0, 0.3, 0.7, 1.0):
        budget = Decimal(str(round(cheap + share * (fast - cheap) + 1e-6, 9)))
        table = timetable(found.run("all-lambda", Goal("time", budget_usd=budget)))
        assert usd_of(found.compiled, table) <= budget
        times.append(table.makespan_ms)
    assert times == sorted(times, reverse=True)
    assert len(set(times)) > 2


def test_all_lambda_has_no_nodes() -> None:
    table = timetable(baselines(wide()).run("all-lambda", COST))
    assert len(table.node_type) == 0
    assert (table.node == NO_WORKER).all()


# mashup


def steps() -> TaskGraph:
    """Make three steps: many tasks at once, one with much to bring, and two too long for Lambda."""
    groups = tuple(Group(name, "map", PLATFORMS) for name in ("many", "heavy", "long"))
    many = [task(f"many{n}", 30) for n in range(60)]
    heavy = task("heavy", 20, group=1, inputs=(0,), after=tuple(range(60)))
    long = [task(f"long{n}", seconds, group=2, after=(60,)) for n, seconds in enumerate((40, 2000))]
    return graph_of(*many, heavy, *long, files=(6_000_000_000,), groups=groups)


def test_mashup_sends_each_step_whole_to_where_it_is_faster() -> None:
    """Four nodes of two vCPUs: 60 tasks take 8 rounds there, on Lambda they run all at once.

    6 GB take 80 s at Lambda's 75 MB/s, and 65 s at a connection's 93 MB/s. Of the long tasks one
    is as long anywhere and one must stay: nothing is gained by sending the other away.
    """
    found = baselines(steps())
    clusters = found.clusters
    where = placed_steps(clusters, clusters.cluster(clusters.column("c6gn.large"), 4))
    assert set(where[:60]) == {ON_LAMBDA}
    assert where[60] == ON_NODES
    assert list(where[61:]) == [ON_NODES, ON_NODES]


def test_mashup_keeps_on_the_cluster_what_lambda_cannot_run() -> None:
    graph = graph_of(*(task(f"t{n}", 30) for n in range(60)), task("long", 950))
    clusters = baselines(graph).clusters
    where = placed_steps(clusters, clusters.cluster(clusters.column("c6g.medium"), 1))
    assert set(where[:60]) == {ON_LAMBDA}
    assert where[60] == ON_NODES


def test_mashup_lets_only_first_steps_wait_for_the_cluster_to_boot() -> None:
    groups = tuple(Group(name, "map", PLATFORMS) for name in ("first", "second"))
    graph = graph_of(task("a", 30), task("b", 30, group=1, after=(0,)), groups=groups)
    clusters = baselines(graph).clusters
    where = placed_steps(clusters, clusters.cluster(clusters.column("c6g.medium"), 1))
    assert list(where) == [ON_LAMBDA, ON_NODES]


def test_mashup_launches_nothing_where_all_steps_are_faster_on_lambda() -> None:
    found = baselines(graph_of(*(task(f"t{n}", 30) for n in range(60))))
    assert len(timetable(found.run("mashup", COST)).node_type) == 0


def test_mashup_leaves_mpi_programs_on_the_cluster() -> None:
    groups = (Group("solve", "mpi", PLATFORMS),)
    clusters = baselines(graph_of(task("solve", 30), groups=groups)).clusters
    where = placed_steps(clusters, clusters.cluster(clusters.column("c6g.medium"), 1))
    assert list(where) == [ON_NODES]


# heft


def test_heft_uses_lambda_beside_the_cluster_and_launches_only_what_it_needs() -> None:
    """The first tasks run on Lambda while nodes boot; the last has more files than /tmp holds."""
    first = [task(f"t{n}", 30) for n in range(20)]
    last = task("last", 30, inputs=(0,), after=tuple(range(20)))
    found = baselines(graph_of(*first, last, files=(12_000_000_000,)))
    table = timetable(found.run("heft", TIME))
    assert set(table.node[:20]) == {NO_WORKER}
    assert table.node[20] == 0
    assert len(table.node_type) == 1
    assert table.release_ms[0] == table.end_ms[20]


def test_heft_is_no_slower_than_the_cluster_by_itself() -> None:
    found = baselines(wide())
    for goal in (COST, TIME):
        alone, beside = (timetable(found.run(name, goal)) for name in ("static-ec2", "heft"))
        assert beside.makespan_ms <= alone.makespan_ms


# real traces

TRACES = os.environ.get("TRIVIUM_TRACES")
SOME = (
    "1000genome-chameleon-2ch-100k-001",
    "srasearch-chameleon-10a-001",
    "epigenomics-chameleon-hep-1seq-100k-001",
    "montage-chameleon-2mass-005d-001",
    "rnaseq-dirt02-001",
)


@pytest.mark.skipif(TRACES is None, reason="TRIVIUM_TRACES names no folder of traces")
@pytest.mark.parametrize("name", SOME)
def test_schedules_of_real_traces_pass_the_checker(name: str) -> None:
    assert TRACES is not None
    raw = (Path(TRACES) / f"{name}.json").read_bytes()
    found = baselines(read_trace(raw, name, BOOKS[1]))
    middle = found.front[len(found.front) // 2].makespan_ms
    books = read_books()
    for goal in (COST, TIME, Goal("cost", deadline_ms=middle)):
        for policy in POLICIES:
            made = found.run(policy, goal)
            table = made.nearest if isinstance(made, Infeasible) else made
            if table is not None:
                schedule = make_schedule(found.compiled, table, *BOOKS).to_json()
                assert check(json.loads(raw), schedule, books) == []
