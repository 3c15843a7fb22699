"""Loads, times and costs of one step, against arithmetic written out by hand."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.books import Figure, PlatformBook, default_books
from placement.load import loads
from placement.model import Candidate, Model, Options, _batch_counts, _calls
from placement.situation import ClusterState, Situation
from placement.workflow import InputRef, Platform, Profile, Role, Step, Workflow

PRICES, PLATFORMS = default_books()
MB = 1_000_000

# Round figures, so that a reader can follow the arithmetic in his head.
ROUND = {
    "lambda_init_s": 0.1,
    "lambda_transfer_mb_per_s": 100,
    "lambda_core_speed": 1,
    "lambda_mb_per_vcpu": 1769,
    "state_gap_s": 0.1,
    "states_before_step": 5,
    "distributed_map_start_s": 1,
    "transitions_per_part": 1,
    "batches_per_slot": 2,
    "cluster_batch_s": 1,
    "transitions_per_lambda_batch": 2,
    "s3_get_s": 0.01,
    "s3_put_s": 0.02,
    "s3_thread_mb_per_s": 50,
    "s3_puts_per_call": 3,
    "s3_gets_per_call": 2,
    "agent_dispatch_s": 0.2,
    "agent_report_s": 0.3,
    "sqs_requests_per_job": 3,
    "ec2_boot_s": 30,
    "ray_setup_s": 20,
    "ray_job_start_s": 4,
    "hpc_launch_s": 300,
    "hpc_job_start_s": 2,
    "node_mtbf_s": 1e15,
    "checkpoint_s": 1,
    "instance_core_speed": 1,
    "node_disk_gb": 50,
    "busy_cluster_s": 70,
}


def book(**figures: float) -> PlatformBook:
    values = {k: Figure(Decimal(str(v)), "x", "test", "", True) for k, v in figures.items()}
    return replace(PLATFORMS, figures={**PLATFORMS.figures, **values})


def one_step(
    step: Step, *sizes_mb: float, extra_mb: tuple[float, ...] = ()
) -> tuple[Workflow, dict[str, tuple[int, ...]]]:
    roles = (Role("r", ("*",)), Role("e", ("*",), optional=True))
    workflow = Workflow("w", (step,), roles)
    uploads = {"r": tuple(int(s * MB) for s in sizes_mb), "e": tuple(int(s * MB) for s in extra_mb)}
    return workflow, uploads


def options(
    step: Step,
    *sizes_mb: float,
    platform: Platform = "lambda",
    extra_mb: tuple[float, ...] = (),
    clusters: Iterable[ClusterState] = (),
    concurrency: int | None = None,
) -> Options:
    workflow, uploads = one_step(step, *sizes_mb, extra_mb=extra_mb)
    platforms = book(**ROUND)
    model = Model(Situation(uploads, tuple(clusters), concurrency), PRICES, platforms)
    return model.options(step, loads(workflow, uploads, platforms)[step.name], platform)


def at(found: Options, **size: int | str) -> Candidate:
    (candidate,) = [
        c for c in found.candidates if all(c.part.size[key] == value for key, value in size.items())
    ]
    return candidate


def costs(candidate: Candidate) -> dict[str, Decimal]:
    return {item.what: item.quantity for item in candidate.estimate.items}


PROFILE = Profile(
    cpu_s_per_task=1,
    cpu_s_per_mb=0.5,
    memory_mb=500,
    memory_mb_per_mb=0,
    output_mb_per_mb=1,
    fresh_start_s=2,
    warm_start_s=0.5,
)
STEP = Step("s", "map", "m:f", over=InputRef("upload", "r"), profile=PROFILE)
RAY = ClusterState("ray", "c7i.large", warm_nodes=1, slots_per_node=2, max_nodes=3)


# loads


def test_the_data_is_followed_through_the_graph() -> None:
    half = replace(PROFILE, output_mb_per_mb=0.5)
    workflow = Workflow(
        "w",
        (
            Step(
                "cut",
                "map",
                "m:f",
                whole=(InputRef("upload", "r"),),
                profile=replace(half, shards_per_mb=0.1),
            ),
            Step(
                "each",
                "map",
                "m:f",
                over=InputRef("step", "cut"),
                whole=(InputRef("upload", "e"),),
                profile=half,
            ),
            Step("end", "mpi", "m", whole=(InputRef("step", "each"),), profile=half),
        ),
        (Role("r", ("*",)), Role("e", ("*",))),
    )
    found = loads(workflow, {"r": (10 * MB, 20 * MB), "e": (2 * MB,)}, PLATFORMS)
    cut, each, end = found["cut"], found["each"], found["end"]
    assert (cut.tasks, cut.whole_mb, cut.whole_files, cut.output_mb, cut.output_shards) == (
        (1, 30, 2, 15, 3)
    )
    assert (each.tasks, each.over_mb, each.largest_mb, each.whole_mb) == (3, 15, 5, 2)
    assert (each.output_mb, each.output_shards) == (0.5 * (15 + 3 * 2), 3)
    assert (end.tasks, end.whole_mb, end.whole_files) == (1, 10.5, 3)


def test_what_a_profile_leaves_out_is_assumed_and_said() -> None:
    workflow, uploads = one_step(replace(STEP, profile=Profile(memory_mb=7)), 1)
    needed = loads(workflow, uploads, PLATFORMS)["s"].needs
    assert needed.memory_mb == 7
    assert needed.cpu_s_per_mb == PLATFORMS.profile_default("cpu_s_per_mb")
    assert needed.warm_start_s == needed.fresh_start_s
    assert needed.assumed == (
        "cpu_s_per_mb",
        "cpu_s_per_task",
        "fresh_start_s",
        "memory_mb_per_mb",
        "output_mb_per_mb",
    )


# Lambda


def test_time_and_cost_on_lambda_follow_by_hand() -> None:
    # Four shards of 2 MB in two batches at one vCPU, two environments: a call starts for 0.1 + 2 s,
    # reads two lists and writes three records (0.08 s), and per task gets 0.01 s + 2 MB, puts
    # 0.02 s + 2 MB (0.07 s), and computes 1 + 2 * 0.5 s.
    found = options(STEP, 2, 2, 2, 2, concurrency=2)
    candidate = at(found, memory_mb=1769, batches=2)
    estimate = candidate.estimate
    assert estimate.queue_s == 5 * 0.1 + 1
    assert estimate.startup_s == 2.1
    assert estimate.transfer_s == pytest.approx(0.08 + 2 * 0.07)
    assert estimate.compute_s == pytest.approx(4)
    assert estimate.seconds == pytest.approx(1.5 + 2.1 + 0.22 + 4)
    call_ms = 2100 + 220 + 4000
    assert costs(candidate) == {
        "Lambda compute 1769 MB": round(Decimal(2 * call_ms * 1769) / 1024 / 1000, 9),
        "Lambda requests": 2,
        "Lambda /tmp above 512 MB": round(Decimal(2 * call_ms * (10240 - 512)) / 1024 / 1000, 9),
        "Step Functions transitions": 1 + 2 * 2,
        "S3 PUT": 2 * 3 + 4,
        "S3 GET": 2 * 2 + 4,
    }


def test_environments_are_cold_once_and_batches_wait_for_each_other() -> None:
    found = options(STEP, 2, 2, 2, 2, concurrency=2)
    two, four = (at(found, memory_mb=1769, batches=n).estimate for n in (2, 4))
    assert four.startup_s == two.startup_s
    assert four.compute_s == two.compute_s
    assert four.transfer_s == pytest.approx(two.transfer_s + 0.08)


def test_less_than_a_core_computes_and_starts_slower() -> None:
    found = options(STEP, 2, concurrency=1)
    small, full, large = (at(found, memory_mb=m).estimate for m in (1024, 1769, 7076))
    assert small.compute_s == pytest.approx(2 * 1769 / 1024, abs=1e-3)
    assert small.startup_s == pytest.approx(0.1 + 2 * 1769 / 1024, abs=1e-3)
    assert (full.compute_s, full.startup_s) == (large.compute_s, large.startup_s)


def test_the_largest_shard_is_waited_for_but_paid_once() -> None:
    even = at(options(STEP, 4, 4, concurrency=2), memory_mb=1769, batches=2)
    uneven = at(options(STEP, 7, 1, concurrency=2), memory_mb=1769, batches=2)
    assert uneven.estimate.compute_s == pytest.approx(even.estimate.compute_s + 3 * 0.5)
    assert uneven.estimate.usd == even.estimate.usd


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_calls_are_dealt_evenly_and_add_up(tasks: int, batches: int, concurrency: int) -> None:
    batches = min(batches, tasks)
    cold = min(batches, concurrency)
    groups = list(_calls(tasks, batches, cold))
    assert sum(size * count for size, _, count in groups) == tasks
    assert sum(count for _, _, count in groups) == batches
    assert sum(count for _, is_cold, count in groups if is_cold) == cold
    assert max(g[0] for g in groups) - min(g[0] for g in groups) <= 1


def test_batches_are_powers_of_two_all_at_once_and_one_per_task() -> None:
    assert _batch_counts(10, 1000) == [1, 2, 4, 8, 10]
    assert _batch_counts(10, 3) == [1, 2, 3, 4, 8, 10]
    assert _batch_counts(1, 1000) == [1]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (replace(PROFILE, memory_mb=8000), "it needs 8,000 MB of memory at once"),
        (replace(PROFILE, memory_mb_per_mb=5000), "it needs 10,500 MB of memory at once"),
        (replace(PROFILE, disk_mb_per_mb=6000), "it needs 12,000 MB of disk at once"),
        (replace(PROFILE, cpu_s_per_task=500), "would take 503 s, and no more than 450 s of the"),
    ],
)
def test_a_step_that_breaks_a_limit_of_lambda_is_not_offered_it(
    profile: Profile, words: str
) -> None:
    found = options(replace(STEP, profile=profile), 2, 2)
    assert found.candidates == ()
    assert words in found.why_not


def test_batches_that_would_take_too_long_are_left_out() -> None:
    slow = replace(STEP, profile=replace(PROFILE, cpu_s_per_task=100))
    found = options(slow, *[2] * 16, concurrency=100)
    assert {
        c.part.size["batches"] for c in found.candidates if c.part.size["memory_mb"] == 1769
    } == {
        4,
        8,
        16,
    }


def test_memory_decides_the_smallest_function() -> None:
    found = options(replace(STEP, profile=replace(PROFILE, memory_mb=1500)), 2)
    assert {c.part.size["memory_mb"] for c in found.candidates} == {1769, 7076}


# clusters


def test_time_and_cost_on_a_warm_ray_node_follow_by_hand() -> None:
    # Five shards over two slots take three waves. The node's 0.781 Gbit/s are shared by two
    # processes: 48.8 MB/s each, less than the 50 MB/s of one connection. Two batches per slot read
    # their lists and write their records.
    candidate = at(options(STEP, *[2] * 5, platform="ray", clusters=[RAY]), start="warm")
    estimate = candidate.estimate
    assert candidate.part.size == {
        "instance_type": "c7i.large",
        "nodes": 1,
        "slots": 2,
        "batches": 4,
        "start": "warm",
    }
    assert estimate.queue_s == 0.5 + 0.2 + 0.3
    assert estimate.startup_s == 4 + 0.5
    assert estimate.compute_s == 3 * 2
    transfer_s = 2 * 0.08 + 3 * (0.03 + 4 / (0.781 * 125 / 2))
    assert estimate.transfer_s == pytest.approx(transfer_s, abs=1e-3)
    assert costs(candidate) == {
        "c7i.large nodes": pytest.approx(Decimal(4.5 + 6 + transfer_s), abs=Decimal("1e-6")),
        "SQS requests": 3,
        "Step Functions transitions": 1,
        "S3 PUT": 4 * 3 + 5,
        "S3 GET": 4 * 2 + 5,
    }


def test_a_launched_node_costs_its_boot_and_its_disk_beside_the_step() -> None:
    found = options(STEP, 2, platform="ray", clusters=[RAY])
    candidate = at(found, start="launch", nodes=1)
    estimate = candidate.estimate
    assert estimate.startup_s == 30 + 20 + 4 + 2  # boot, set-up, job, fresh caches
    job_s = Decimal(str(round(4 + 2 + estimate.transfer_s + estimate.compute_s, 3)))
    assert costs(candidate)["c7i.large nodes"] == pytest.approx(job_s, abs=Decimal("1e-3"))
    beside = {item.what: item.quantity for item in candidate.launch_items}
    assert beside == {
        "booting c7i.large nodes": 50,
        "EBS gp3 disks": pytest.approx(50 * (50 + job_s), abs=Decimal("0.05")),
    }
    assert candidate.usd == estimate.usd + sum(item.usd for item in candidate.launch_items)
    assert {c.part.size["nodes"] for c in found.candidates if c.part.size["start"] == "launch"} == {
        1,
        2,
    }


def test_whole_nodes_are_billed_however_many_slots_work() -> None:
    big = replace(RAY, warm_nodes=4, max_nodes=4)
    found = options(STEP, 2, platform="ray", clusters=[big])
    assert (
        costs(at(found, nodes=4))["c7i.large nodes"]
        == 4 * costs(at(found, nodes=1))["c7i.large nodes"]
    )


@pytest.mark.parametrize(
    ("cluster", "starts"),
    [
        (RAY, {"warm", "launch"}),
        (replace(RAY, max_nodes=1), {"warm"}),
        (replace(RAY, idle=False), {"warm", "launch"}),
        (replace(RAY, warm_nodes=0), {"launch"}),
        (replace(RAY, warm_nodes=0, max_nodes=0), set()),
    ],
)
def test_what_is_up_is_offered_warm_and_the_rest_to_launch(
    cluster: ClusterState, starts: set[str]
) -> None:
    found = options(STEP, 2, platform="ray", clusters=[cluster])
    assert {c.part.size["start"] for c in found.candidates} == starts
    assert bool(found.why_not) == (not starts)


@pytest.mark.parametrize(("busy_for_s", "free_in_s"), [(9.0, 9), (None, 70)])
def test_a_busy_cluster_is_free_later(busy_for_s: float | None, free_in_s: float) -> None:
    busy = replace(RAY, idle=False, busy_for_s=busy_for_s)
    found = options(STEP, 2, platform="ray", clusters=[busy])
    assert at(found, start="warm").free_in_s == free_in_s
    assert at(found, start="launch", nodes=1).free_in_s == 0


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (replace(PROFILE, memory_mb=2200), "it needs 4,400 MB of memory at once; a c7i.large"),
        (replace(PROFILE, disk_mb_per_mb=20_000), "it needs 80,000 MB of disk at once"),
    ],
)
def test_a_step_that_does_not_fit_a_node_is_not_offered_it(profile: Profile, words: str) -> None:
    found = options(replace(STEP, profile=profile), 2, 2, platform="ray", clusters=[RAY])
    assert found.candidates == ()
    assert words in found.why_not


def test_a_platform_without_a_cluster_says_so() -> None:
    found = options(STEP, 2, platform="hpc", clusters=[RAY])
    assert (found.candidates, found.why_not) == ((), "there is no such cluster in this deployment")


# MPI

MPI = Step(
    "s",
    "mpi",
    "m",
    whole=(InputRef("upload", "r"),),
    platforms=("hpc",),
    profile=replace(PROFILE, cpu_s_per_task=90, serial_fraction=0.1, ranks_max=40),
)
HPC = ClusterState("hpc", "c5n.9xlarge", warm_nodes=4, slots_per_node=18, max_nodes=4)


def test_an_mpi_program_follows_amdahl_and_its_largest_number_of_ranks() -> None:
    found = options(MPI, 10, 10, platform="hpc", clusters=[HPC])
    for nodes, ranks in ((1, 18), (2, 36), (4, 40)):
        candidate = at(found, nodes=nodes)
        assert candidate.part.size["slots"] == ranks
        assert candidate.estimate.startup_s == 2 + 0.5
        assert candidate.estimate.compute_s == pytest.approx(100 * (0.1 + 0.9 / ranks), abs=1e-3)
        # Two lists and two files in, three records and a shard out, 20 MB each way at 50 MB/s.
        assert candidate.estimate.transfer_s == pytest.approx(0.04 + 0.08 + 40 / 50)


def test_an_mpi_program_spreads_its_memory_over_the_nodes() -> None:
    big = replace(MPI, profile=replace(MPI.profile, memory_mb=150_000))
    found = options(big, 10, platform="hpc", clusters=[HPC])
    assert {c.part.size["nodes"] for c in found.candidates} == {2, 4}
    too_big = replace(MPI, profile=replace(MPI.profile, memory_mb=500_000))
    why = options(too_big, 10, platform="hpc", clusters=[HPC]).why_not
    assert "it needs 125,000 MB of memory at once; a c5n.9xlarge node has 103,079 MB" in why


def test_the_run_itself_costs_its_states_functions_and_event() -> None:
    figures = {
        "transitions_per_run": 7,
        "transitions_per_step": 5,
        "control_calls_per_run": 3,
        "control_calls_per_step": 2,
        "control_memory_mb": 1024,
        "control_call_s": 0.1,
        "ledger_writes_per_run": 6,
        "ledger_writes_per_step": 8,
        "ledger_reads_per_step": 4,
        "events_per_run": 1,
    }
    items = Model(Situation({}), PRICES, book(**figures)).run_items(10)
    assert {item.what: item.quantity for item in items} == {
        "Step Functions transitions": 57,
        "Control functions compute 1024 MB": Decimal("2.3"),
        "Control functions requests": 23,
        "DynamoDB writes": 86,
        "DynamoDB reads": 40,
        "EventBridge events": 1,
    }
