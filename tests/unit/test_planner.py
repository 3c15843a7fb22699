"""The planner against brute force, an independent recomputation, and what must always hold."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.books import default_books
from placement.cluster_cost import up_anyway_usd
from placement.errors import UserError
from placement.load import loads
from placement.model import Candidate, Model
from placement.plan import Plan
from placement.planner import InfeasibleError, plan
from placement.policies import POLICIES
from placement.situation import ClusterState, Situation
from placement.workflow import InputRef, Objective, Platform, Profile, Role, Step, Workflow
from placement.workflow_file import load_workflow

PRICES, PLATFORMS = default_books()
MB = 1_000_000
RAY = ClusterState("ray", "c7i.large", warm_nodes=1, slots_per_node=2, max_nodes=1)
HPC = ClusterState("hpc", "c5n.9xlarge", warm_nodes=1, slots_per_node=2, max_nodes=1)
LAPTOP = (RAY, HPC)
READS = Path(__file__).parents[2] / "workflows" / "read-clustering.yaml"

# random small cases

seconds = st.sampled_from([0.0, 0.3, 2.0, 9.0])
profiles = st.builds(
    Profile,
    cpu_s_per_task=seconds,
    cpu_s_per_mb=st.sampled_from([0.02, 0.4, 3.0]),
    memory_mb=st.sampled_from([500.0, 1500.0, 5000.0]),
    output_mb_per_mb=st.sampled_from([0.1, 1.0]),
    shards_per_mb=st.sampled_from([None, 0.5]),
    fresh_start_s=seconds,
    warm_start_s=st.sampled_from([None, 0.2]),
)


@st.composite
def workflows(draw: st.DrawFn, most: int = 4) -> Workflow:
    steps: list[Step] = []
    for i in range(draw(st.integers(1, most))):
        earlier = [step.name for step in steps]
        read = sorted(draw(st.sets(st.sampled_from(earlier), max_size=2))) if earlier else []
        refs = [InputRef("step", name) for name in read] or [InputRef("upload", "r")]
        mpi = draw(st.integers(0, 4)) == 0
        over = None if mpi or not draw(st.booleans()) else refs.pop(0)
        profile = draw(profiles)
        steps.append(
            Step(
                name=f"s{i}",
                kind="mpi" if mpi else "map",
                run="m" if mpi else "m:f",
                over=over,
                whole=tuple(refs),
                platforms=("hpc",) if mpi else ("lambda", "ray", "hpc"),
                profile=replace(profile, serial_fraction=0.2) if mpi else profile,
            )
        )
    return Workflow("random", tuple(steps), (Role("r", ("*",)),))


situations = st.builds(
    Situation,
    uploads=st.lists(st.integers(0, 8 * MB), min_size=1, max_size=3).map(
        lambda sizes: {"r": tuple(sizes)}
    ),
    clusters=st.sampled_from(
        [
            LAPTOP,
            (replace(RAY, idle=False, busy_for_s=7.0), HPC),
            (replace(RAY, warm_nodes=0, max_nodes=2), replace(HPC, slots_per_node=18)),
        ]
    ),
    lambda_concurrency=st.sampled_from([1, 2, 1000]),
)
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def every_combination(workflow: Workflow, situation: Situation) -> Iterator[tuple[int, Decimal]]:
    """All combinations of feasible sizes, each with makespan (ms) and cost, found one by one."""
    model = Model(situation, PRICES, PLATFORMS)
    work = loads(workflow, situation.uploads, PLATFORMS)
    per_step = [
        [c for p in s.platforms for c in model.options(s, work[s.name], p).candidates]
        for s in workflow.steps
    ]
    shared = sum((item.usd for item in model.run_items(len(workflow.steps))), Decimal(0))
    for combination in itertools.product(*per_step):
        placed = dict(zip((s.name for s in workflow.steps), combination, strict=True))
        usd = sum((i.usd for c in combination for i in c.estimate.items), shared)
        ends = simulate(workflow, placed)
        makespan_ms = max(ends.values()) + round(PLATFORMS.value("run_end_s") * 1000)
        yield makespan_ms, usd + launched_usd(placed, ends, makespan_ms)


def launched_usd(placed: dict[str, Candidate], ends: dict[str, int], makespan_ms: int) -> Decimal:
    """What launched nodes and their disks cost but for their jobs: they stay up to the end."""
    usd = Decimal(0)
    for name, candidate in placed.items():
        size = candidate.part.size
        if size.get("start") != "launch":
            continue
        kind = candidate.part.platform
        boot_s = PLATFORMS.value("hpc_launch_s")
        if kind == "ray":
            boot_s = PLATFORMS.value("ec2_boot_s") + PLATFORMS.value("ray_setup_s")
        (held,) = [i for i in candidate.estimate.items if i.what.endswith(" nodes")]
        job_s = held.quantity / int(size["nodes"])
        left_s = Decimal(makespan_ms - ends[name]) / 1000
        beside_s = max(Decimal(str(boot_s)) + left_s, 60 - job_s)
        month_s, disk = PRICES.rule("month_s"), PRICES.usd("ebs_gp3_gb_month")
        disk_s = disk * Decimal(str(PLATFORMS.value("node_disk_gb"))) / month_s
        per_s = PRICES.instance_usd_per_hour(str(size["instance_type"])) / 3600
        usd += int(size["nodes"]) * (beside_s * per_s + (beside_s + job_s) * disk_s)
    return usd


def simulate(workflow: Workflow, placed: dict[str, Candidate]) -> dict[str, int]:
    """Each step's end in ms, by walking through time instead of through the steps.

    A step starts when its inputs are there and its cluster has served every step before it.
    """
    ends: dict[str, int] = {}
    clock = round(PLATFORMS.value("run_start_s") * 1000)
    while len(ends) < len(workflow.steps):
        for i, step in enumerate(workflow.steps):
            mine = placed[step.name]
            queue = [
                earlier.name
                for earlier in workflow.steps[:i]
                if mine.resource and placed[earlier.name].resource == mine.resource
            ]
            waits = [*step.predecessors, *queue]
            ready = all(name in ends and ends[name] <= clock for name in waits)
            free = queue or not mine.resource or clock >= mine.free_in_s * 1000
            if step.name not in ends and ready and free:
                e = mine.estimate
                kinds = (e.queue_s, e.startup_s, e.transfer_s, e.compute_s)
                ends[step.name] = clock + sum(round(kind * 1000) for kind in kinds)
        later = [end for end in ends.values() if end > clock]
        later += [round(c.free_in_s * 1000) for c in placed.values() if c.free_in_s * 1000 > clock]
        clock = min(later, default=clock)
    return ends


def caused_usd(made: Plan) -> Decimal:
    """What a plan is chosen by: all but what would be up anyway."""
    return made.usd - up_anyway_usd(made.shared_items)


def small_enough(workflow: Workflow, situation: Situation, most: int = 3000) -> bool:
    model = Model(situation, PRICES, PLATFORMS)
    work = loads(workflow, situation.uploads, PLATFORMS)
    product = 1
    for step in workflow.steps:
        product *= sum(
            len(model.options(step, work[step.name], p).candidates) for p in step.platforms
        )
    return 0 < product <= most


@quick
@given(workflows(3), situations)
def test_the_plan_is_the_best_of_all_combinations(workflow: Workflow, situation: Situation) -> None:
    if not small_enough(workflow, situation):
        return
    every = list(every_combination(workflow, situation))
    cheapest = plan(workflow, situation)
    assert cheapest.proven
    assert_is(cheapest, min((usd, ms / 1000) for ms, usd in every))
    fastest = plan(workflow, situation, objective="time")
    seconds, usd = min((ms / 1000, usd) for ms, usd in every)
    assert_is(fastest, (usd, seconds))
    deadline_s = (cheapest.seconds + fastest.seconds) / 2
    on_time = plan(workflow, situation, deadline_s=deadline_s)
    in_time = ((usd, ms / 1000) for ms, usd in every if ms <= round(deadline_s * 1000))
    assert_is(on_time, min(in_time))


def assert_is(made: Plan, best: tuple[Decimal, float]) -> None:
    """Prices per second are kept to 15 decimals, so amounts agree to eight digits or so."""
    usd, seconds = best
    assert made.seconds == seconds
    assert abs(caused_usd(made) - usd) < Decimal("1e-9")


@quick
@given(workflows(), situations, st.sampled_from(["cost", "time"]))
def test_a_plan_can_be_recomputed_and_keeps_every_limit(
    workflow: Workflow, situation: Situation, objective: Objective
) -> None:
    try:
        made = plan(workflow, situation, objective=objective)
    except InfeasibleError:
        return
    ends: dict[str, float] = {}
    concurrency = situation.lambda_concurrency or 0
    for step, planned in zip(workflow.steps, made.steps, strict=True):
        estimate = planned.estimate
        kinds = (estimate.queue_s, estimate.startup_s, estimate.transfer_s, estimate.compute_s)
        assert min(kinds) >= 0
        assert planned.end_s - planned.start_s == pytest.approx(sum(kinds), abs=2e-3)
        assert planned.start_s >= max((ends[name] for name in step.predecessors), default=0)
        ends[step.name] = planned.end_s
        (part,) = planned.parts
        assert part.platform in step.platforms
        if part.platform == "lambda":
            memory_mb, batches = int(part.size["memory_mb"]), int(part.size["batches"])
            assert memory_mb * 2**20 >= (step.profile.memory_mb or 0) * MB
            assert 1 <= batches <= planned.tasks_estimate
            per_call = estimate.startup_s + estimate.transfer_s + estimate.compute_s
            assert batches > concurrency or per_call <= 450
        for item in estimate.items:
            assert abs(item.usd - item.quantity * item.unit_usd) <= Decimal("1e-12")
    assert made.seconds == pytest.approx(max(ends.values()) + PLATFORMS.value("run_end_s"))
    items = [*made.other_items, *(i for step in made.steps for i in step.estimate.items)]
    items += [line.item for line in made.shared_items]
    assert made.usd == sum(item.usd for item in items)


@quick
@given(workflows(), situations)
def test_doubling_all_prices_doubles_the_cost(workflow: Workflow, situation: Situation) -> None:
    rules = {"instance_minimum_s", "month_s"}
    double = replace(
        PRICES,
        figures={
            name: figure if name in rules else replace(figure, value=2 * figure.value)
            for name, figure in PRICES.figures.items()
        },
        instances={
            name: replace(figure, value=2 * figure.value)
            for name, figure in PRICES.instances.items()
        },
    )
    try:
        once = plan(workflow, situation).usd
    except InfeasibleError:
        return
    twice = plan(workflow, situation, books=(double, PLATFORMS)).usd
    assert abs(twice - 2 * once) <= once * Decimal("1e-6")


@quick
@given(workflows(), situations)
def test_another_platform_never_makes_the_best_worse(
    workflow: Workflow, situation: Situation
) -> None:
    for objective in ("cost", "time"):
        try:
            without = plan(workflow, replace(situation, clusters=(HPC,)), objective=objective)
        except InfeasibleError:
            continue
        more = plan(workflow, replace(situation, clusters=(RAY, HPC)), objective=objective)
        if objective == "cost":
            assert not more.proven or caused_usd(more) <= caused_usd(without)
        elif more.proven and without.proven:
            assert more.seconds <= without.seconds


@quick
@given(workflows(3), situations, st.floats(1, 200), st.floats(1, 3))
def test_more_time_never_costs_more(
    workflow: Workflow, situation: Situation, deadline_s: float, factor: float
) -> None:
    try:
        tight = plan(workflow, situation, deadline_s=deadline_s)
    except InfeasibleError:
        return
    loose = plan(workflow, situation, deadline_s=deadline_s * factor)
    assert tight.seconds <= deadline_s + 0.001
    if tight.proven and loose.proven:
        assert caused_usd(loose) <= caused_usd(tight)


@quick
@given(workflows(), situations)
def test_no_policy_beats_the_one_that_may_do_everything(
    workflow: Workflow, situation: Situation
) -> None:
    try:
        cheapest = plan(workflow, situation)
        fastest = plan(workflow, situation, objective="time")
    except InfeasibleError:
        return
    for other in cheapest.alternatives:
        caused = None if other.usd is None else other.usd - other.up_anyway_usd
        assert caused is None or not cheapest.proven or caused >= caused_usd(cheapest)
    for other in fastest.alternatives:
        assert other.seconds is None or not fastest.proven or other.seconds >= fastest.seconds


@quick
@given(workflows(), situations, st.sampled_from(POLICIES))
def test_a_plan_comes_back_from_json_unchanged(
    workflow: Workflow, situation: Situation, policy: str
) -> None:
    try:
        made = plan(workflow, situation, policy=policy)
    except InfeasibleError:
        return
    text = json.dumps(made.to_json(), sort_keys=True)
    assert Plan.from_json(json.loads(text)) == made
    again = plan(workflow, situation, policy=policy)
    assert json.dumps(again.to_json(), sort_keys=True) == text


# the main workflow on a laptop


def laptop(mb: float, truth: bool = True) -> Situation:
    uploads = {"reads": (int(mb * MB / 2),) * 2, "truth": (30_000,) if truth else ()}
    return Situation(uploads, LAPTOP, lambda_concurrency=2)


@pytest.fixture(scope="module")
def clustering() -> Workflow:
    return load_workflow(READS.read_text(encoding="utf-8"), READS.name)


def test_the_reasons_name_platform_money_and_time(clustering: Workflow) -> None:
    made = plan(clustering, laptop(6))
    for step in made.steps:
        assert [r.platform for r in step.rejected] == [
            p for p in ("lambda", "ray", "hpc") if p != step.parts[0].platform
        ]
        for rejected in step.rejected:
            assert rejected.why.startswith(f"{rejected.platform}: ")
            if step.kind == "mpi":
                assert rejected.why.endswith("an MPI program runs on the MPI cluster only")
            else:
                assert "$" in rejected.why
                assert " s " in rejected.why
                assert (rejected.usd or 0) > step.estimate.usd


def test_fallbacks_are_the_other_platforms_best_first(clustering: Workflow) -> None:
    made = plan(clustering, laptop(6))
    for step in made.steps:
        by_cost = sorted((r.usd, r.platform) for r in step.rejected if r.usd is not None)
        assert [part.platform for part in step.fallbacks] == [platform for _, platform in by_cost]


@pytest.mark.parametrize(
    ("policy", "platform"), [("all-lambda", "lambda"), ("all-ray", "ray"), ("all-hpc", "hpc")]
)
def test_a_policy_keeps_map_steps_on_its_platform(
    clustering: Workflow, policy: str, platform: Platform
) -> None:
    made = plan(clustering, laptop(6), policy=policy)
    for step in made.steps:
        assert step.parts[0].platform == ("hpc" if step.kind == "mpi" else platform)
        assert step.fallbacks == ()
    assert [a.policy for a in made.alternatives] == [p for p in POLICIES if p != policy]
    (same,) = [a for a in plan(clustering, laptop(6)).alternatives if a.policy == policy]
    assert (same.seconds, same.usd) == (made.seconds, made.usd)


def test_a_step_placed_by_hand_stays_there_and_the_rest_is_planned(clustering: Workflow) -> None:
    free = plan(clustering, laptop(6))
    made = plan(clustering, laptop(6), place={"quality": "hpc"})
    assert made.step("quality").parts[0].platform == "hpc"
    assert made.step("sketch").parts == free.step("sketch").parts
    assert all("placed by hand" in r.why for r in made.step("quality").rejected)
    assert made.alternatives[0].usd == free.usd


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "heft"}, 'no policy "heft"; there are trivium, all-lambda'),
        ({"place": {"x": "ray"}}, 'has no step "x"'),
        ({"place": {"cut": "batch"}}, 'cannot be placed on "batch"'),
        ({"place": {"spectral": "ray"}}, "an MPI program runs on the MPI cluster only"),
    ],
)
def test_wrong_wishes_are_refused(
    clustering: Workflow, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        plan(clustering, laptop(6), **options)


def test_a_deadline_that_nothing_meets_names_the_nearest(clustering: Workflow) -> None:
    fastest = plan(clustering, laptop(6), objective="time")
    with pytest.raises(InfeasibleError, match=f"deadline of 5 s; .* {fastest.seconds:.1f} s"):
        plan(clustering, laptop(6), deadline_s=5)


def test_a_step_that_fits_nowhere_names_the_limit_of_each_platform() -> None:
    step = Step(
        "big", "map", "m:f", over=InputRef("upload", "r"), profile=Profile(memory_mb=300_000)
    )
    workflow = Workflow("w", (step,), (Role("r", ("*",)),))
    with pytest.raises(InfeasibleError) as caught:
        plan(workflow, Situation({"r": (MB,)}, LAPTOP))
    message = str(caught.value)
    assert message.startswith('step "big" fits no platform (lambda: it needs 300,000 MB of memory')
    assert "; ray: it needs 300,000 MB" in message
    assert "; hpc: it needs 300,000 MB" in message


def test_a_policy_that_the_workflow_forbids_is_infeasible_and_says_so() -> None:
    step = Step(
        "s", "map", "m:f", over=InputRef("upload", "r"), platforms=("ray",), profile=Profile()
    )
    workflow = Workflow("w", (step,), (Role("r", ("*",)),))
    made = plan(workflow, Situation({"r": (MB,)}, LAPTOP))
    (refused,) = [a for a in made.alternatives if a.policy == "all-lambda"]
    assert refused.to_json() == {
        "policy": "all-lambda",
        "why_not": 'step "s" cannot be placed under all-lambda: the workflow file allows ray.',
    }


def test_steps_on_one_cluster_wait_for_each_other() -> None:
    steps = tuple(
        Step(name, "map", "m:f", over=InputRef("upload", "r"), platforms=("ray",))
        for name in ("a", "b")
    )
    made = plan(
        Workflow("w", steps, (Role("r", ("*",)),)),
        Situation({"r": (MB,)}, (replace(RAY, idle=False, busy_for_s=20.0),)),
    )
    a, b = made.steps
    assert a.start_s == 20
    assert b.start_s == a.end_s


@pytest.mark.parametrize("options", [{}, {"objective": "time"}, {"deadline_s": 900.0}])
def test_fifty_steps_are_too_many_to_search_exactly_and_are_planned_all_the_same(
    options: dict[str, Any],
) -> None:
    steps = [Step("s00", "map", "m:f", over=InputRef("upload", "r"))]
    for i in range(1, 50):
        profile = Profile(cpu_s_per_mb=i % 7 / 3, output_mb_per_mb=0.9, fresh_start_s=i % 5)
        over = InputRef("step", f"s{i // 3 if i % 3 else i - 1:02d}")
        steps.append(Step(f"s{i:02d}", "map", "m:f", over=over, profile=profile))
    workflow = Workflow("w", tuple(steps), (Role("r", ("*",)),))
    situation = Situation({"r": (3 * MB,) * 20}, (replace(RAY, max_nodes=4), HPC))
    made = {each.step: each for each in plan(workflow, situation, **options).steps}
    assert list(made) == [step.name for step in steps]
    for step in steps[1:]:
        assert isinstance(step.over, InputRef)
        assert made[step.name].start_s >= made[step.over.name].end_s
