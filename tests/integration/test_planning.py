"""A run is planned once: every step on the ledger, with what it waits for and where it may go."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from control.planning import cluster_state, plan_run
from control.stack import Stack
from placement.errors import UserError
from placement.plan import Plan
from placement.situation import ClusterState
from runtime.cluster_log import SILENT_AFTER_S
from runtime.keys import RunKeys
from tests.support import FakeClock

RUN = "word-count-0123456789ab"
INPUTS = {"texts": [["raw/word-count/a.txt", 2_000_000]]}


def given_run(stack: Stack, workflow: str = "word-count", **options: Any) -> None:
    item = {"run": RUN, "workflow": workflow, "inputs": INPUTS, "options": options}
    stack.ledger.put(f"run#{RUN}", "run", item)


def given_cluster(stack: Stack, platform: str, updated_s: float, busy_jobs: int = 0) -> None:
    item = {
        "instance_type": "c7i.large" if platform == "ray" else "c5n.9xlarge",
        "warm_nodes": 1,
        "slots_per_node": 2,
        "max_nodes": 1,
        "busy_jobs": busy_jobs,
        "updated_s": updated_s,
    }
    stack.ledger.put("cluster", platform, item)


def steps_of(stack: Stack) -> dict[str, dict[str, Any]]:
    return {item["step"]: item for item in stack.ledger.query(f"run#{RUN}", "step#")}


def test_a_plan_puts_every_step_on_the_ledger(stack: Stack) -> None:
    given_run(stack)
    answer = plan_run(stack, RUN)
    assert answer["run"] == RUN
    assert answer["steps"] == ["pieces", "sizes", "words", "summary"]
    steps = steps_of(stack)
    assert {name: item.get("waiting") for name, item in steps.items()} == {
        "pieces": None,
        "sizes": {"pieces"},
        "words": {"pieces"},
        "summary": {"sizes", "words"},
    }
    assert sorted(steps, key=lambda name: steps[name]["order"]) == answer["steps"]
    assert {item["status"] for item in steps.values()} == {"waiting"}


def test_the_stored_plan_and_the_ledger_agree(stack: Stack) -> None:
    given_run(stack)
    plan_run(stack, RUN)
    plan = Plan.from_json(stack.store.get_json(RunKeys(RUN).plan))
    for name, item in steps_of(stack).items():
        first = [part.to_json() for part in plan.step(name).parts]
        others = [[part.to_json()] for part in plan.step(name).fallbacks]
        placed = [
            [{key: part[key] for key in ("platform", "size", "share")} for part in parts]
            for parts in item["placements"]
        ]
        assert placed == [first, *(others or [first])]
        estimate = plan.step(name).estimate
        [chosen] = item["placements"][0]
        assert chosen["estimate"]["seconds"] == estimate.seconds
        assert Decimal(chosen["estimate"]["usd"]) == estimate.usd
        assert item["books"] == plan.to_json()["books"]


def test_a_fallback_has_the_estimate_with_which_it_lost(stack: Stack) -> None:
    given_run(stack)
    plan_run(stack, RUN)
    plan = Plan.from_json(stack.store.get_json(RunKeys(RUN).plan))
    for name, item in steps_of(stack).items():
        lost = {
            (other.platform, str(sorted(other.size.items()))): other.seconds
            for other in plan.step(name).rejected
        }
        for [part] in item["placements"][1:]:
            key = (part["platform"], str(sorted(part["size"].items())))
            if key in lost:
                assert part["estimate"]["seconds"] == lost[key]
    run_item = stack.ledger.get(f"run#{RUN}", "run") or {}
    assert run_item["estimate"] == {"seconds": plan.seconds, "usd": str(plan.usd)}
    assert (run_item["policy"], run_item["objective"]) == ("trivium", plan.objective)


def test_planning_again_changes_nothing_even_when_the_clusters_have(
    stack: Stack, clock: FakeClock
) -> None:
    given_run(stack)
    first = plan_run(stack, RUN)
    plan, steps = stack.store.get_json(RunKeys(RUN).plan), steps_of(stack)
    for platform in ("ray", "hpc"):
        given_cluster(stack, platform, clock.at_s)
    assert plan_run(stack, RUN) == first
    assert stack.store.get_json(RunKeys(RUN).plan) == plan
    assert steps_of(stack) == steps


def test_planning_again_does_not_undo_what_a_step_has_done(stack: Stack) -> None:
    given_run(stack)
    plan_run(stack, RUN)
    stack.ledger.set(f"run#{RUN}", "step#pieces", {"token": "t", "status": "running"})
    plan_run(stack, RUN)
    assert steps_of(stack)["pieces"]["token"] == "t"


def test_a_warm_cluster_that_was_announced_lately_is_planned_with(
    stack: Stack, clock: FakeClock
) -> None:
    given_cluster(stack, "ray", clock.at_s - SILENT_AFTER_S + 1)
    given_run(stack, place={"words": "ray"})
    plan_run(stack, RUN)
    (part,) = steps_of(stack)["words"]["placements"][0]
    assert (part["platform"], part["size"]["start"]) == ("ray", "warm")


def test_a_cluster_that_fell_silent_is_gone(stack: Stack, clock: FakeClock) -> None:
    given_cluster(stack, "ray", clock.at_s)
    clock.forward(SILENT_AFTER_S + 1)
    given_run(stack)
    plan_run(stack, RUN)
    chosen = [part for item in steps_of(stack).values() for part in item["placements"][0]]
    assert all(part["size"].get("start") != "warm" for part in chosen)


def test_a_policy_decides_where_maps_run(stack: Stack) -> None:
    given_run(stack, policy="all-lambda")
    plan_run(stack, RUN)
    chosen = {
        part["platform"] for item in steps_of(stack).values() for part in item["placements"][0]
    }
    assert chosen == {"lambda"}


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "astrology"},
        {"place": {"no-such": "ray"}},
        {"place": {"words": "abacus"}},
        {"deadline_s": 0.001},
    ],
)
def test_options_that_cannot_be_met_are_refused_in_words(
    stack: Stack, options: dict[str, Any]
) -> None:
    given_run(stack, **options)
    with pytest.raises(UserError):
        plan_run(stack, RUN)
    assert stack.store.find(RunKeys(RUN).plan) is None
    assert steps_of(stack) == {}


def test_a_workflow_of_more_than_forty_steps_is_planned(stack: Stack) -> None:
    given_run(stack, "letter-census")
    steps = plan_run(stack, RUN)["steps"]
    assert len(steps) > 40
    items = steps_of(stack)
    assert set(items) == set(steps)
    seen: set[str] = set()
    for name in steps:  # topological: a limit on how many run at once cannot deadlock
        assert items[name].get("waiting", set()) <= seen
        seen.add(name)


def test_a_cluster_is_what_its_agent_says(stack: Stack) -> None:
    given_cluster(stack, "hpc", 1_000.0, busy_jobs=2)
    item = stack.ledger.get("cluster", "hpc")
    assert cluster_state(item, 1_000.0 + SILENT_AFTER_S) == ClusterState(
        "hpc", "c5n.9xlarge", warm_nodes=1, slots_per_node=2, max_nodes=1, idle=False
    )
    assert cluster_state(item, 1_001.0 + SILENT_AFTER_S) is None
    assert cluster_state(None, 0.0) is None
