"""What clusters cost beside the steps: a plan's lines against the rule that measurements have."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.books import default_books
from placement.cluster_cost import ClusterCost, Hold, up_anyway_usd
from placement.node_time import Held, Up, microseconds, node_seconds, node_use
from placement.planner import InfeasibleError, plan
from placement.situation import ClusterState, Equipment, Situation
from placement.workflow import InputRef, Profile, Role, Step, Workflow
from tests.unit.test_planner import HPC, LAPTOP, MB, RAY, workflows

PRICES, PLATFORMS = default_books()
COST = ClusterCost(PRICES, PLATFORMS)
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def quantities(lines: object) -> dict[tuple[str, str, bool], Decimal]:
    assert isinstance(lines, tuple)
    return {(line.kind, line.item.what, line.up_anyway): line.item.quantity for line in lines}


@quick
@given(workflows(), st.integers(1, 3))
def test_idle_time_is_what_the_measured_account_would_find(
    workflow: Workflow, warm_nodes: int
) -> None:
    """The jobs of a plan, put on record as an agent would note them, leave as much idle time."""
    clusters = (replace(RAY, warm_nodes=warm_nodes, max_nodes=warm_nodes), HPC)
    made = plan(workflow, Situation({"r": (3 * MB, MB)}, clusters, 2))
    window = (0, microseconds(made.seconds))
    for cluster in clusters:
        jobs = []
        for step in made.steps:
            (part,) = step.parts
            if part.platform == cluster.platform:
                kinds = step.estimate
                job_s = kinds.startup_s + kinds.transfer_s + kinds.compute_s
                nodes, end_us = int(part.size["nodes"]), microseconds(step.end_s)
                begin_us = end_us - microseconds(job_s)
                jobs.append(Held(step.step, begin_us, end_us, nodes, int(part.size["slots"])))
        up = Up(0, window[1], cluster.warm_nodes)
        measured = node_seconds(node_use(jobs, [up], window).idle) if jobs else Decimal(0)
        estimated = sum(
            line.item.quantity for line in made.shared_items if line.platform == cluster.platform
        )
        assert abs(estimated - measured) < Decimal("0.02")


def test_nodes_launched_for_a_job_boot_before_it_and_stay_to_the_runs_end() -> None:
    hold = Hold("ray", "c7i.large", nodes=2, job_s=10, boot_s=59.3)
    lines = COST.launched([(hold, 80.0)], 100.0)
    assert quantities(lines) == {
        ("boot", "booting c7i.large nodes", False): Decimal("118.6"),
        ("idle", "idle c7i.large nodes", False): 40,
        ("disk", "EBS gp3 disks", False): 2 * 50 * (Decimal("59.3") + 10 + 20),
    }
    assert up_anyway_usd(lines) == 0


def test_a_node_that_was_up_for_less_than_a_minute_is_paid_for_one() -> None:
    hold = Hold("ray", "c7i.large", nodes=1, job_s=10, boot_s=20)
    lines = COST.launched([(hold, 40.0)], 41.0)
    assert quantities(lines)["idle", "idle c7i.large nodes", False] == 60 - 30
    lines = COST.launched([(hold, 40.0)], 100.0)
    assert quantities(lines)["idle", "idle c7i.large nodes", False] == 60


@pytest.mark.parametrize(
    ("cluster", "idle_s"),
    [
        (RAY, 100 - 30),
        (replace(RAY, warm_nodes=3), 300 - 30),
        (replace(RAY, idle=False, busy_for_s=25.0), 100 - 25 - 30),  # another run has it till then
        (replace(RAY, idle=False, busy_for_s=90.0), 0),
    ],
)
def test_warm_nodes_are_idle_where_no_job_holds_them(cluster: ClusterState, idle_s: int) -> None:
    hold = Hold("ray", "c7i.large", nodes=1, job_s=30)
    lines = COST.up_anyway([cluster, HPC], [hold], 100.0)
    assert [line.platform for line in lines] == (["ray"] if idle_s else [])
    assert sum(line.item.quantity for line in lines) == idle_s
    usd = PRICES.instance_usd_per_hour("c7i.large") / 3600 * idle_s
    assert abs(up_anyway_usd(lines) - usd) < Decimal("1e-9")


def test_a_head_is_up_for_the_whole_run_of_a_cluster_that_is_used() -> None:
    headed = replace(HPC, equipment=Equipment(head_type="c6i.large"))
    hold = Hold("hpc", "c5n.9xlarge", nodes=1, job_s=100)
    lines = COST.up_anyway([RAY, headed], [hold], 100.0)
    assert quantities(lines) == {("head", "head c6i.large nodes", True): 100}


def test_what_a_cluster_is_equipped_with_is_paid_for_as_long_as_it_is_up() -> None:
    """Disks of warm nodes count from when they are free, idle or held; the others always."""
    equipment = Equipment("c6i.large", head_disk_gb=20, node_disk_gb=50, file_system_gb=1200)
    equipped = replace(HPC, warm_nodes=2, idle=False, busy_for_s=10.0, equipment=equipment)
    hold = Hold("hpc", "c5n.9xlarge", nodes=1, job_s=30)
    lines = COST.up_anyway([RAY, equipped], [hold], 100.0)
    assert quantities(lines) == {
        ("idle", "idle c5n.9xlarge nodes", True): 2 * 90 - 30,
        ("head", "head c6i.large nodes", True): 100,
        ("disk", "EBS gp3 disks", True): 50 * 2 * 90 + 20 * 100,
        ("file-system", "FSx for Lustre", True): 1200 * 100,
    }


def test_a_run_that_uses_no_cluster_pays_for_none() -> None:
    assert COST.up_anyway(LAPTOP, [], 100.0) == ()


def test_idle_time_of_launched_nodes_counts_in_the_choice() -> None:
    """Two tasks of 400 s are cheapest on a node of their own, unless it then idles for long."""
    read, two = InputRef("upload", "r"), {"r": (MB, MB)}
    profile = Profile(cpu_s_per_mb=400, memory_mb=500, output_mb_per_mb=0.001, fresh_start_s=0)
    step = Step("s", "map", "m:f", over=read, platforms=("lambda", "ray"), profile=profile)
    slow = replace(step, name="t", platforms=("hpc",), profile=replace(profile, cpu_s_per_mb=4000))
    there = Situation(two, (replace(RAY, warm_nodes=0), HPC), 2)
    roles = (Role("r", ("*",)),)
    alone = plan(Workflow("w", (step,), roles), there)
    beside = plan(Workflow("w", (step, slow), roles), there)
    assert (alone.proven, beside.proven) == (True, True)
    assert alone.step("s").parts[0].platform == "ray"
    assert beside.step("s").parts[0].platform == "lambda"


def test_a_deadline_that_nothing_meets_names_the_whole_cost() -> None:
    step = Step("s", "map", "m:f", over=InputRef("upload", "r"), platforms=("hpc",))
    workflow = Workflow("w", (step,), (Role("r", ("*",)),))
    there = Situation({"r": (MB,)}, LAPTOP)
    fastest = plan(workflow, there, objective="time")
    with pytest.raises(InfeasibleError) as caught:
        plan(workflow, there, deadline_s=1)
    assert f"${fastest.usd}".rstrip("0") in str(caught.value)
