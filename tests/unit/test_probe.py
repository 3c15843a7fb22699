"""A probe as a plan: which shards, which places, what budget; and what must always hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.account import decimal_text
from placement.books import default_books
from placement.plan import Plan
from placement.planner import InfeasibleError
from placement.probe import plan_probe, plan_within, probed_workflow, spread, whole_per_sample
from placement.situation import ClusterState, Situation
from placement.workflow import InputRef, Profile, Role, Step, Workflow
from placement.workflow_file import load_workflow

RAY = ClusterState("ray", "c7i.large", warm_nodes=1, slots_per_node=2, max_nodes=1)
HPC = ClusterState("hpc", "c5n.9xlarge", warm_nodes=1, slots_per_node=2, max_nodes=1)
READS = Path(__file__).parents[2] / "workflows" / "read-clustering.yaml"
SITUATION = Situation({"reads": (3_000_000, 9_000_000), "truth": ()}, (RAY, HPC), 2)


def reads() -> Workflow:
    return load_workflow(READS.read_text(), READS.name)


def mapped(
    name: str,
    profile: Mapping[str, Any] | None = None,
    *,
    over: str | None = None,
    whole: str = "upload.r",
) -> Step:
    return Step(
        name,
        "map",
        run="m:f",
        over=None if over is None else InputRef.parse(over),
        whole=() if over else (InputRef.parse(whole),),
        profile=Profile(**(profile or {})),
    )


def a_workflow(*steps: Step) -> Workflow:
    return Workflow("small", steps, (Role("r", ("*",)),))


def places(plan: Plan, step: str) -> list[tuple[str, int | str]]:
    """Return the places of a step: the platform, and the memory or the type of the nodes."""
    return [
        (part.platform, part.size.get("memory_mb") or part.size["instance_type"])
        for part in plan.step(step).parts
    ]


# which shards


@pytest.mark.parametrize(
    ("sizes", "count", "chosen"),
    [
        ([50, 10, 30, 20, 40], 3, (0, 1, 2)),
        ([50, 10, 30, 20, 40], 2, (0, 1)),
        ([10, 20, 30, 40], 3, (0, 2, 3)),
        ([7, 7, 7, 7], 3, (0, 2, 3)),
        ([9, 3], 3, (0, 1)),
        ([5], 2, (0,)),
        ([], 3, ()),
    ],
)
def test_the_smallest_the_median_and_the_largest_shard_are_taken(
    sizes: list[int], count: int, chosen: tuple[int, ...]
) -> None:
    assert spread(sizes, count) == chosen


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.sampled_from([2, 3]), st.randoms())
def test_the_choice_follows_from_the_sizes_alone(
    sizes: list[int], count: int, order: Random
) -> None:
    chosen = spread(sizes, count)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == min(count, len(sizes))
    taken = sorted(sizes[index] for index in chosen)
    if len(sizes) > 1:
        assert (taken[0], taken[-1]) == (min(sizes), max(sizes))
    if len(taken) == 3:
        below, above = sum(s < taken[1] for s in sizes), sum(s > taken[1] for s in sizes)
        assert max(below, above) <= len(sizes) / 2
    shuffled = list(sizes)
    order.shuffle(shuffled)
    assert sorted(shuffled[index] for index in spread(shuffled, count)) == taken


# which places


def test_every_map_step_is_on_every_place_and_the_mpi_step_is_left_out() -> None:
    plan = plan_probe(reads(), SITUATION, 3, parts_at_once=1)
    assert [step.step for step in plan.steps] == ["cut", "quality", "sketch"]
    five: list[tuple[str, int | str]] = [("lambda", 1024), ("lambda", 1769), ("lambda", 7076)]
    five += [("ray", "c7i.large"), ("hpc", "c5n.9xlarge")]
    for step in plan.steps:
        assert places(plan, step.step) == five
        assert sum(part.share for part in step.parts) == pytest.approx(1)
    assert {part.size["batches"] for part in plan.step("cut").parts} == {1}
    assert {part.size["batches"] for part in plan.step("sketch").parts} == {3}
    assert plan.step("sketch").tasks_estimate == 15


def test_without_clusters_a_probe_is_on_lambda_alone_and_nothing_idles() -> None:
    plan = plan_probe(reads(), replace(SITUATION, clusters=()), 2, parts_at_once=40)
    assert {platform for platform, _ in places(plan, "quality")} == {"lambda"}
    whys = [one.why for one in plan.step("quality").rejected]
    assert whys == [f"{p}: there is no such cluster in this deployment" for p in ("ray", "hpc")]
    assert not plan.shared_items


def test_a_memory_size_that_is_too_small_is_left_out_by_name() -> None:
    step = mapped("s", {"memory_mb": 1500.0})
    plan = plan_probe(a_workflow(step), Situation({"r": (1_000_000,)}, (), 2), 2, 1)
    assert places(plan, "s") == [("lambda", 1769), ("lambda", 7076)]
    assert plan.step("s").rejected[0].why == "lambda: 1024 MB are not enough for it"


def test_an_mpi_step_that_a_map_step_reads_runs_once() -> None:
    solve = Step("solve", "mpi", run="m", whole=(InputRef.parse("a"),), platforms=("hpc",))
    later = Step("later", "mpi", run="m", whole=(InputRef.parse("b"),), platforms=("hpc",))
    workflow = a_workflow(mapped("a"), solve, mapped("b", over="solve"), later)
    assert [step.name for step in probed_workflow(workflow).steps] == ["a", "solve", "b"]
    plan = plan_probe(workflow, Situation({"r": (1_000_000,)}, (RAY, HPC), 2), 2, 1)
    assert places(plan, "solve") == [("hpc", "c5n.9xlarge")]
    assert len(places(plan, "b")) == 5


def test_a_step_that_fits_nowhere_is_named() -> None:
    step = mapped("huge", {"memory_mb": 1e6})
    with pytest.raises(InfeasibleError, match='step "huge" fits no platform'):
        plan_probe(a_workflow(step), Situation({"r": (1,)}, (), 2), 2, 1)


# the budget


def test_a_budget_buys_three_shards_or_two_and_the_least_one_is_named() -> None:
    three, two = (plan_probe(reads(), WIDE, shards, 1) for shards in (3, 2))
    assert two.usd < three.usd
    assert plan_within(three.usd, reads(), WIDE, 1) == (3, three)
    assert plan_within(three.usd - Decimal("1e-12"), reads(), WIDE, 1) == (2, two)
    assert plan_within(two.usd, reads(), WIDE, 1) == (2, two)
    with pytest.raises(InfeasibleError) as refused:
        plan_within(two.usd - Decimal("1e-12"), reads(), WIDE, 1)
    least = Decimal(str(refused.value).split("estimated at $")[1].split(",")[0])
    assert 0 <= least - two.usd < Decimal("0.000001")
    assert plan_within(least, reads(), WIDE, 1) == (2, two)
    assert f"a budget of ${decimal_text(two.usd - Decimal('1e-12'))} is too small" in str(
        refused.value
    )


WIDE = replace(SITUATION, uploads={"reads": (30_000_000,), "truth": ()})


def test_nodes_that_are_up_are_paid_for_as_long_as_the_probe_lasts() -> None:
    plan = plan_probe(reads(), SITUATION, 3, parts_at_once=1)
    for kind in ("c7i.large", "c5n.9xlarge"):
        lines = [line for step in plan.steps for line in step.estimate.items]
        paid_s = [
            line.quantity
            for line in (*lines, *(shared.item for shared in plan.shared_items))
            if line.what in {f"{kind} nodes", f"idle {kind} nodes"}
        ]
        assert float(sum(paid_s)) == pytest.approx(plan.seconds, abs=0.01)


# what must always hold

profiles = st.fixed_dictionaries(
    {
        "cpu_s_per_task": st.sampled_from([0.0, 0.5, 4.0]),
        "cpu_s_per_mb": st.sampled_from([0.02, 2.0]),
        "memory_mb": st.sampled_from([300.0, 1500.0]),
        "output_mb_per_mb": st.sampled_from([0.1, 1.0, 4.0]),
    }
)


@st.composite
def chains(draw: st.DrawFn) -> Workflow:
    steps = [mapped("s0", draw(profiles) | {"shards_per_mb": draw(st.sampled_from([0.1, 2.0]))})]
    for number in range(1, draw(st.integers(1, 4))):
        over = draw(st.sampled_from([step.name for step in steps]))
        steps.append(mapped(f"s{number}", draw(profiles), over=over))
    return a_workflow(*steps)


@given(
    chains(),
    st.lists(st.integers(1, 40_000_000), min_size=1, max_size=4),
    st.sampled_from([(), (RAY,), (RAY, HPC), (replace(RAY, warm_nodes=0, max_nodes=2),)]),
    st.sampled_from([1, 40]),
)
def test_the_estimate_is_the_sum_of_its_items_and_more_shards_cost_no_less(
    workflow: Workflow, sizes: list[int], clusters: tuple[ClusterState, ...], parts_at_once: int
) -> None:
    situation = Situation({"r": tuple(sizes)}, clusters, 4)
    two, three = (plan_probe(workflow, situation, n, parts_at_once) for n in (2, 3))
    for plan in (two, three):
        lines = [line for step in plan.steps for line in step.estimate.items]
        beside = [shared.item for shared in plan.shared_items]
        every = (*lines, *beside, *plan.other_items)
        assert plan.usd == sum((line.usd for line in every), Decimal(0))
        assert Plan.from_json(plan.to_json()) == plan
        assert plan.books == tuple(book.stamp for book in default_books())
    assert two.usd <= three.usd


# what all of the input would take


def test_all_of_the_input_is_to_what_was_probed_as_its_bytes_are() -> None:
    workflow = a_workflow(mapped("cut"), mapped("check", over="cut"), mapped("join", whole="check"))
    sizes = {"upload.r": [400], "cut": [10, 20, 30, 40], "check": [5, 10, 20], "join": [9]}
    found = whole_per_sample(workflow, sizes, 3)
    assert found["cut"] == 1
    assert found["check"] == pytest.approx(100 / 80)
    assert found["join"] == pytest.approx(100 / 80)


def test_an_input_without_bytes_is_left_as_it_is() -> None:
    workflow = a_workflow(mapped("a"), mapped("b", over="a"))
    assert whole_per_sample(workflow, {"upload.r": [0], "a": [], "b": []}, 2) == {"a": 1, "b": 1}
