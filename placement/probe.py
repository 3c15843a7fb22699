"""A probe: a few shards of every stateless step on every platform and Lambda memory size.

Mashup runs a whole workflow twice to learn what its steps take. A probe is a plan like any other in
which each map step has one part for each place, and every part does the same few shards. What
follows a step reads its outputs of these shards alone, so that a probe costs little however large
the input is; a step that cuts the input reads all of it on every place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from functools import partial

from placement.account import decimal_text
from placement.books import PlatformBook, PriceBook, default_books
from placement.cluster_cost import Hold
from placement.load import Load, loads
from placement.model import Candidate, Model, Options
from placement.plan import Estimate, Plan, Rejected, StepPlan
from placement.planner import InfeasibleError
from placement.situation import Situation
from placement.workflow import Platform, Step, Workflow

POLICY = "probe"
# Two shards show how time grows with size, and three whether it grows evenly.
MOST_SHARDS, LEAST_SHARDS = 3, 2
_MICRO_USD = Decimal("0.000001")


def spread(sizes: Sequence[float], count: int) -> tuple[int, ...]:
    """Return which `count` (at least 2) shards to take, in rising order: by size evenly spread.

    The smallest and the largest are among them, of three the median as well (the upper of two).
    Of equal sizes the earlier comes first; where there are no more than `count`, all are taken.
    """
    by_size = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    if len(by_size) > count:
        ranks = [-(-step * (len(by_size) - 1) // (count - 1)) for step in range(count)]
        by_size = [by_size[rank] for rank in ranks]
    return tuple(sorted(by_size))


def probed_workflow(workflow: Workflow) -> Workflow:
    """Return the workflow without the MPI steps whose output no map step needs."""
    needed = {step.name for step in workflow.steps if step.kind == "map"}
    for step in reversed(workflow.steps):
        if step.name in needed:
            needed |= set(step.predecessors)
    return replace(workflow, steps=tuple(step for step in workflow.steps if step.name in needed))


def plan_within(
    budget_usd: Decimal,
    workflow: Workflow,
    situation: Situation,
    parts_at_once: int,
    books: tuple[PriceBook, PlatformBook] | None = None,
) -> tuple[int, Plan]:
    """Return the shards for each place, as many as the budget allows, and the plan.

    Raises InfeasibleError where not even the fewest fit, naming the least budget that would do.
    """
    for shards in range(MOST_SHARDS, LEAST_SHARDS - 1, -1):
        plan = plan_probe(workflow, situation, shards, parts_at_once, books)
        if plan.usd <= budget_usd:
            return shards, plan
    raise too_dear(plan, shards, budget_usd)


def too_dear(plan: Plan, shards: int, budget_usd: Decimal) -> InfeasibleError:
    """Return the refusal of a probe whose estimate is above its budget."""
    least = decimal_text(plan.usd.quantize(_MICRO_USD, rounding=ROUND_UP))
    return InfeasibleError(
        f"a budget of ${decimal_text(budget_usd)} is too small: with {shards} shards on each place "
        f"the probe of {plan.workflow} is estimated at ${least}, the least budget that would do."
    )


def plan_probe(
    workflow: Workflow,
    situation: Situation,
    shards: int,
    parts_at_once: int,
    books: tuple[PriceBook, PlatformBook] | None = None,
) -> Plan:
    """Return the probe of a workflow as a plan.

    Each map step has a part for each Lambda memory size and each cluster that can run it, on as few
    nodes as any; a step that no cluster or function can run raises InfeasibleError. An MPI step
    that a map step needs runs once, where it is cheapest. `parts_at_once` is how many parts of a
    step run side by side.
    """
    prices, platforms = default_books() if books is None else books
    model = Model(situation, prices, platforms)
    probed = probed_workflow(workflow)
    work = loads(probed, situation.uploads, platforms, partial(spread, count=shards))
    ends: dict[str, float] = {}
    steps, held = [], list[tuple[Hold, float]]()
    begin_s = platforms.value("run_start_s")
    for step in probed.steps:
        places, rejected = _places(model, step, work[step.name])
        estimate = _estimate(places, parts_at_once)
        start_s = max((ends[name] for name in step.predecessors), default=begin_s)
        ends[step.name] = start_s + estimate.seconds
        held += [(place.hold, ends[step.name]) for place in places if place.hold is not None]
        steps.append(
            StepPlan(
                step=step.name,
                kind=step.kind,
                parts=tuple(
                    replace(
                        place.part,
                        # A call for each shard, so that each is on record by itself.
                        size=dict(place.part.size)
                        | {"batches": 1 if step.over is None else shards},
                        share=1 / len(places),
                    )
                    for place in places
                ),
                tasks_estimate=work[step.name].tasks * len(places),
                estimate=estimate,
                start_s=round(start_s, 3),
                end_s=round(ends[step.name], 3),
                rejected=rejected,
                fallbacks=(),
                assumed=work[step.name].needs.assumed,
            )
        )
    seconds = round(max(ends.values(), default=begin_s) + platforms.value("run_end_s"), 3)
    return Plan(
        workflow=workflow.name,
        policy=POLICY,
        objective=workflow.objective,
        deadline_s=None,
        seconds=seconds,
        steps=tuple(steps),
        shared_items=(
            *model.cluster_cost.launched(held, seconds),
            *model.cluster_cost.up_anyway(situation.clusters, [hold for hold, _ in held], seconds),
        ),
        other_items=model.run_items(len(steps)),
        alternatives=(),
        books=(prices.stamp, platforms.stamp),
        proven=False,
    )


def whole_per_sample(
    workflow: Workflow, sizes: Mapping[str, Sequence[int]], shards: int
) -> dict[str, float]:
    """Return by step how many times what a probe took of its input there is in all.

    `sizes` holds the bytes of every file or shard that there is of each input, by its name in the
    workflow file ("upload.reads", "cut"). What follows a step of which a part was run grows in
    proportion. A step that read no bytes is left as it is.
    """
    found: dict[str, float] = {}
    for step in workflow.steps:
        refs = step.whole if step.over is None else (step.over,)
        whole = sum(sum(sizes[str(ref)]) * found.get(str(ref), 1.0) for ref in refs)
        if step.over is None:
            read = sum(sum(sizes[str(ref)]) for ref in refs)
        else:
            there = sizes[str(step.over)]
            read = sum(there[index] for index in spread(there, shards))
        found[step.name] = whole / read if read else 1.0
    return found


def _places(
    model: Model, step: Step, load: Load
) -> tuple[tuple[Candidate, ...], tuple[Rejected, ...]]:
    """Return one candidate for each place that can run the step, and why the others cannot."""
    places: list[Candidate] = []
    rejected: list[Rejected] = []
    for platform in step.platforms:
        options = model.options(step, load, platform)
        found = _one_for_each_place(options, load)
        places += found
        rejected += _left_out(model, platform, options, found)
    if not places:
        reasons = "; ".join(each.why for each in rejected)
        raise InfeasibleError(f'step "{step.name}" fits no platform ({reasons}).')
    if step.kind == "mpi":
        places = [min(places, key=_cheapest)]
    return tuple(places), tuple(rejected)


def _one_for_each_place(options: Options, load: Load) -> list[Candidate]:
    """Return the cheapest candidate of each Lambda size, with a call for each task, and cluster."""
    by_place: dict[int | str, Candidate] = {}
    for candidate in options.candidates:
        size = candidate.part.size
        on_lambda = candidate.part.platform == "lambda"
        if on_lambda and size["batches"] != load.tasks:
            continue
        place = size["memory_mb"] if on_lambda else size["instance_type"]
        by_place[place] = min(by_place.get(place, candidate), candidate, key=_cheapest)
    return list(by_place.values())


def _cheapest(candidate: Candidate) -> tuple[Decimal, float]:
    return candidate.estimate.usd, candidate.estimate.seconds


def _left_out(
    model: Model, platform: Platform, options: Options, found: Sequence[Candidate]
) -> list[Rejected]:
    if not found:
        return [Rejected(platform, {}, None, None, f"{platform}: {options.why_not}")]
    if platform != "lambda":
        return []
    taken = {candidate.part.size["memory_mb"] for candidate in found}
    return [
        Rejected(
            platform,
            {"memory_mb": size},
            None,
            None,
            f"{platform}: {size} MB are not enough for it",
        )
        for size in model.platforms.lambda_memory_mb
        if size not in taken
    ]


def _estimate(places: Sequence[Candidate], parts_at_once: int) -> Estimate:
    """Return the items of all places, and the times of the longest of each group at once."""
    groups = [places[n : n + parts_at_once] for n in range(0, len(places), parts_at_once)]
    longest = [max(group, key=lambda one: one.estimate.seconds).estimate for group in groups]
    return Estimate(
        queue_s=round(sum(one.queue_s for one in longest), 3),
        startup_s=round(sum(one.startup_s for one in longest), 3),
        transfer_s=round(sum(one.transfer_s for one in longest), 3),
        compute_s=round(sum(one.compute_s for one in longest), 3),
        items=tuple(line for place in places for line in place.estimate.items),
    )
