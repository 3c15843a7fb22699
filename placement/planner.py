"""The planner: a workflow, a situation, the books and an objective give a plan.

It lists every feasible platform and size of every step (`placement.model`), searches the
combinations (`placement.search`), and writes down why every other platform lost.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from placement.account import decimal_text, total
from placement.books import PlatformBook, PriceBook, default_books
from placement.calibration.calibration import Calibration
from placement.cluster_cost import SharedCost, up_anyway_usd
from placement.errors import UserError
from placement.load import Load, loads
from placement.model import Candidate, Model, Options
from placement.plan import Alternative, BookEstimate, Part, Plan, Rejected, StepPlan
from placement.policies import POLICIES, allowed_platforms, check_policy
from placement.search import Answer, Choice, Problem, search, timetable
from placement.situation import Situation
from placement.workflow import PLATFORMS, Objective, Platform, Step, Workflow

# The search counts in 10^-18 dollars: exact, since prices per second are kept to 15 decimals.
_USD_DECIMALS = 18
_MS_PER_S = 1000
# Placements of a step that the search may try: some tenths of a second. The other policies,
# which are only for comparison, get a fifth of it each.
_BUDGET = 20_000


class InfeasibleError(UserError):
    """No placement keeps to the limits, the policy and the deadline; the message says which."""


def plan(
    workflow: Workflow,
    situation: Situation,
    *,
    policy: str = "trivium",
    objective: Objective | None = None,
    deadline_s: float | None = None,
    place: Mapping[str, Platform] | None = None,
    books: tuple[PriceBook, PlatformBook] | None = None,
    calibration: Calibration | None = None,
) -> Plan:
    """Return the best plan of a policy, with what the other policies would have given.

    `objective` and `deadline_s` default to the workflow's; `place` fixes the platform of steps by
    hand, whatever the policy. A `calibration` goes before the platform book. Under `cost` the
    deadline bounds the makespan; under `time` the fastest plan must meet it.

    Raises InfeasibleError, and UserError for a wrong policy or `place`.
    """
    check_policy(policy)
    rules = _Rules(policy, dict(place or {}))
    _check_place(workflow, rules.fixed)
    prices, platforms = default_books() if books is None else books
    model = Model(situation, prices, platforms, calibration, workflow.name)
    task = _Task(
        workflow,
        model,
        objective or workflow.objective,
        workflow.deadline_s if deadline_s is None else deadline_s,
        _offers(workflow, model),
    )
    solution = _solve(task, rules, _BUDGET)
    return Plan(
        workflow=workflow.name,
        policy=policy,
        objective=task.objective,
        deadline_s=task.deadline_s,
        seconds=solution.answer.makespan_ms / 1000,
        steps=_step_plans(task, rules, solution),
        shared_items=_shared(task, solution),
        other_items=model.run_items(len(workflow.steps)),
        alternatives=_alternatives(task, rules),
        books=(prices.stamp, platforms.stamp, *((calibration.stamp,) if calibration else ())),
        proven=solution.answer.proven,
        by_book=_run_by_book(task, solution) if calibration else None,
    )


@dataclass(frozen=True, slots=True)
class _Rules:
    """Which platforms may be chosen: the policy's, or the one that a step was placed on by hand."""

    policy: str
    fixed: Mapping[str, Platform]

    def allowed(self, step: Step) -> tuple[Platform, ...]:
        if step.name in self.fixed:
            return (self.fixed[step.name],)
        return allowed_platforms(self.policy, step)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A step, its load, and the options of every platform."""

    step: Step
    load: Load
    options: Mapping[Platform, Options]

    def candidates(self, platforms: tuple[Platform, ...]) -> tuple[Candidate, ...]:
        return tuple(c for p in platforms for c in self.options[p].candidates)


@dataclass(frozen=True, slots=True)
class _Task:
    workflow: Workflow
    model: Model
    objective: Objective
    deadline_s: float | None
    offers: tuple[_Offer, ...]


@dataclass(frozen=True, slots=True)
class _Solution:
    chosen: tuple[Candidate, ...]
    times_ms: tuple[tuple[int, int], ...]
    answer: Answer


def _check_place(workflow: Workflow, place: Mapping[str, Platform]) -> None:
    for name, platform in sorted(place.items()):
        step = workflow.step(name)
        if platform not in PLATFORMS:
            raise UserError(
                f'step "{name}" cannot be placed on "{platform}"; there are {", ".join(PLATFORMS)}.'
            )
        if platform not in step.platforms:
            raise UserError(f'step "{name}" cannot be placed on {platform}: {_forbidden(step)}.')


def _offers(workflow: Workflow, model: Model) -> tuple[_Offer, ...]:
    work = loads(workflow, model.situation.uploads, model.platforms)
    return tuple(
        _Offer(
            step,
            work[step.name],
            {
                platform: model.options(step, work[step.name], platform)
                if platform in step.platforms
                else Options((), _forbidden(step))
                for platform in PLATFORMS
            },
        )
        for step in workflow.steps
    )


def _forbidden(step: Step) -> str:
    if step.kind == "mpi":
        return "an MPI program runs on the MPI cluster only"
    return f"the workflow file allows {', '.join(step.platforms)}"


def _solve(task: _Task, rules: _Rules, budget: int) -> _Solution:
    candidates = []
    for offer in task.offers:
        allowed = rules.allowed(offer.step)
        candidates.append(offer.candidates(allowed))
        if not candidates[-1]:
            raise InfeasibleError(_fits_nowhere(offer, rules.policy, allowed))
    problem = _problem(task, candidates)
    deadline_ms = None if task.deadline_s is None else round(task.deadline_s * 1000)
    answer = search(problem, task.objective, deadline_ms, budget)
    chosen = tuple(
        options[choice.index] for options, choice in zip(candidates, answer.chosen, strict=True)
    )
    solution = _Solution(chosen, timetable(problem, answer.chosen), answer)
    if deadline_ms is not None and answer.makespan_ms > deadline_ms:
        raise InfeasibleError(
            f"no placement found meets the deadline of {task.deadline_s:g} s; the fastest takes "
            f"{answer.makespan_ms / 1000:.1f} s and costs "
            f"${decimal_text(_usd(task, solution, _shared(task, solution)))}."
        )
    return solution


def _shared(task: _Task, solution: _Solution) -> tuple[SharedCost, ...]:
    """Return what the clusters cost beside the steps."""
    cost, run_s = task.model.cluster_cost, solution.answer.makespan_ms / _MS_PER_S
    held = [
        (chosen.hold, end_ms / _MS_PER_S)
        for chosen, (_, end_ms) in zip(solution.chosen, solution.times_ms, strict=True)
        if chosen.hold is not None
    ]
    clusters = task.model.situation.clusters
    return (
        *cost.launched(held, run_s),
        *cost.up_anyway(clusters, [hold for hold, _ in held], run_s),
    )


def _usd(task: _Task, solution: _Solution, shared: tuple[SharedCost, ...]) -> Decimal:
    """Return the exact cost of a run: its steps, what clusters cost beside them, orchestration."""
    steps = sum((chosen.estimate.usd for chosen in solution.chosen), Decimal(0))
    beside = total(line.item for line in shared)
    return steps + beside + total(task.model.run_items(len(task.offers)))


def _problem(task: _Task, candidates: list[tuple[Candidate, ...]]) -> Problem:
    model = task.model
    position = {offer.step.name: i for i, offer in enumerate(task.offers)}
    return Problem(
        tuple(tuple(position[name] for name in offer.step.predecessors) for offer in task.offers),
        tuple(
            tuple(_choice(task.model, i, candidate) for i, candidate in enumerate(options))
            for options in candidates
        ),
        round(model.run_start_s * 1000),
        round(model.run_end_s * 1000),
    )


def _choice(model: Model, index: int, candidate: Candidate) -> Choice:
    hold, cost = candidate.hold, model.cluster_cost
    return Choice(
        index,
        round((candidate.lead_s + candidate.estimate.seconds) * _MS_PER_S),
        int(candidate.usd.scaleb(_USD_DECIMALS)),
        candidate.resource,
        round(candidate.free_in_s * _MS_PER_S),
        0 if hold is None else int(cost.idle_usd_per_s(hold).scaleb(_USD_DECIMALS)) // _MS_PER_S,
        0 if hold is None else math.ceil(cost.least_idle_s(hold) * _MS_PER_S),
    )


def _fits_nowhere(offer: _Offer, policy: str, allowed: tuple[Platform, ...]) -> str:
    name = offer.step.name
    if not allowed:
        return f'step "{name}" cannot be placed under {policy}: {_forbidden(offer.step)}.'
    reasons = "; ".join(f"{p}: {offer.options[p].why_not}" for p in allowed)
    return f'step "{name}" fits no platform ({reasons}).'


def _alternatives(task: _Task, rules: _Rules) -> tuple[Alternative, ...]:
    """Estimate the other policies, and the policy itself without what was placed by hand."""
    found = []
    for other in POLICIES:
        if other == rules.policy and not rules.fixed:
            continue
        try:
            solution = _solve(task, _Rules(other, {}), _BUDGET // 5)
        except InfeasibleError as error:
            found.append(Alternative(other, None, None, str(error)))
        else:
            shared = _shared(task, solution)
            seconds, usd = solution.answer.makespan_ms / 1000, _usd(task, solution, shared)
            found.append(Alternative(other, seconds, usd, None, up_anyway_usd(shared)))
    return tuple(found)


# a step's plan, in words


def _step_plans(task: _Task, rules: _Rules, solution: _Solution) -> tuple[StepPlan, ...]:
    plans = []
    for offer, chosen, times in zip(task.offers, solution.chosen, solution.times_ms, strict=True):
        allowed = rules.allowed(offer.step)
        others = [p for p in PLATFORMS if p != chosen.part.platform]
        plans.append(
            StepPlan(
                step=offer.step.name,
                kind=offer.step.kind,
                parts=(chosen.part,),
                tasks_estimate=offer.load.tasks,
                estimate=chosen.estimate,
                start_s=times[0] / 1000,
                end_s=times[1] / 1000,
                rejected=tuple(
                    _rejected(task.objective, rules, offer, chosen, platform) for platform in others
                ),
                fallbacks=_fallbacks(task.objective, offer, allowed, chosen),
                assumed=offer.load.needs.assumed,
                calibrated=_basis(task.model, offer.step, chosen.part),
                by_book=_by_book(task.model, offer, chosen) if task.model.calibration else None,
            )
        )
    return tuple(plans)


def _basis(model: Model, step: Step, part: Part) -> str:
    if model.calibration is None:
        return ""
    size = part.size["memory_mb" if part.platform == "lambda" else "instance_type"]
    return model.calibration.basis(model.workflow, step.name, part.platform, str(size))


def _by_book(model: Model, offer: _Offer, chosen: Candidate) -> BookEstimate:
    part = chosen.part
    estimate = replace(model, calibration=None).estimate(
        offer.step, offer.load, part.platform, part.size
    )
    return BookEstimate(estimate.seconds, estimate.usd)


def _run_by_book(task: _Task, solution: _Solution) -> BookEstimate:
    """Return what the run would be estimated at without the calibration, placed as it is."""
    book = replace(task, model=replace(task.model, calibration=None))
    placed = tuple(
        replace(
            book.model.candidate(offer.step, offer.load, chosen.part.platform, chosen.part.size),
            resource=chosen.resource,
            free_in_s=chosen.free_in_s,
        )
        for offer, chosen in zip(book.offers, solution.chosen, strict=True)
    )
    problem = _problem(book, [(candidate,) for candidate in placed])
    times_ms = timetable(problem, [options[0] for options in problem.choices])
    makespan_ms = max(end for _, end in times_ms) + problem.closing_ms
    alone = _Solution(placed, times_ms, replace(solution.answer, makespan_ms=makespan_ms))
    return BookEstimate(makespan_ms / _MS_PER_S, _usd(book, alone, _shared(book, alone)))


def _order(objective: Objective, candidate: Candidate) -> tuple[Decimal, Decimal]:
    usd, seconds = candidate.usd, Decimal(str(candidate.estimate.seconds))
    return (usd, seconds) if objective == "cost" else (seconds, usd)


def _best(objective: Objective, options: Options) -> Candidate | None:
    return min(options.candidates, key=lambda c: _order(objective, c), default=None)


def _fallbacks(
    objective: Objective, offer: _Offer, allowed: tuple[Platform, ...], chosen: Candidate
) -> tuple[Part, ...]:
    best = [
        _best(objective, offer.options[platform])
        for platform in allowed
        if platform != chosen.part.platform
    ]
    found = [candidate for candidate in best if candidate is not None]
    return tuple(c.part for c in sorted(found, key=lambda c: _order(objective, c)))


def _rejected(
    objective: Objective, rules: _Rules, offer: _Offer, chosen: Candidate, platform: Platform
) -> Rejected:
    options = offer.options[platform]
    best = _best(objective, options)
    if best is None:
        return Rejected(platform, {}, None, None, f"{platform}: {options.why_not}")
    why = _comparison(objective, chosen, best)
    if offer.step.name in rules.fixed:
        why = f"{why}; {offer.step.name} was placed by hand"
    elif platform not in rules.allowed(offer.step):
        why = f"{why}; the policy {rules.policy} does not place it there"
    elif _order(objective, best) < _order(objective, chosen):
        why = f"{why}, but the run as a whole would be later or dearer"
    return Rejected(
        platform,
        best.part.size,
        best.estimate.seconds,
        best.estimate.usd,
        f"{platform}: {why}",
    )


def _comparison(objective: Objective, chosen: Candidate, other: Candidate) -> str:
    money, time = _money_words(chosen, other), _time_words(chosen, other)
    launch = ""
    if other.launch_items:
        launch = f", ${total(other.launch_items):.6f} of it for launching nodes"
    words = f"{money} and {time}" if objective == "cost" else f"{time} and {money}"
    return words + launch


def _money_words(chosen: Candidate, other: Candidate) -> str:
    difference = other.usd - chosen.usd
    if not difference:
        return "the same cost"
    return f"${abs(difference):.6f} {'more' if difference > 0 else 'less'}"


def _time_words(chosen: Candidate, other: Candidate) -> str:
    difference = other.estimate.seconds - chosen.estimate.seconds
    if not difference:
        return "as fast"
    slower = difference > 0
    kinds = {
        name: getattr(other.estimate, field) - getattr(chosen.estimate, field)
        for name, field in (
            ("waiting", "queue_s"),
            ("start-up", "startup_s"),
            ("transfer", "transfer_s"),
            ("computing", "compute_s"),
        )
    }
    most = max(kinds, key=lambda name: kinds[name] if slower else -kinds[name])
    return f"{abs(difference):.1f} s {'slower' if slower else 'faster'} (mostly {most})"
