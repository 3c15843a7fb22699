"""Choose one option per step: best first guesses by descent, then branch and bound.

Notation: step i of n in topological order takes option o_i with duration d (ms), cost c, resource r
and, where it launches nodes, their cost u per ms that they stay up after it, for at least l ms (all
costs in 10^-18 USD). Its end is

    e_i = max(start, ends of its predecessors, free time of r) + d

where a resource ("" excepted) serves its steps one after another in topological order. Makespan
M = max e_i + closing time, cost C = sum of c + u * max(M - e_i, l). Objective: least (C, M) under
cost, with M <= deadline where there is one, or least (M, C) under time; ties go to the earlier
options.

M never falls when a duration grows, so max over placed steps of e_i plus the shortest way to the
end bounds M from below, and with it C. Where no option launches nodes, one that is dominated in
duration and cost on the same resource is never needed. Where one does, a step that ends sooner can
lengthen the idle time of another's nodes, so only options of equal duration dominate. Worst case
exponential in n: `budget` ends it, and the answer then says that it is not proven. All numbers are
integers, so nothing depends on the order of additions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from placement.workflow import Objective


@dataclass(frozen=True, slots=True)
class Choice:
    """An option as the search sees it; `index` is its place among the step's options."""

    index: int
    duration_ms: int
    cost: int
    resource: str
    free_ms: int
    idle_cost_per_ms: int = 0
    least_idle_ms: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Steps in topological order: predecessors by position, and the choices of each."""

    predecessors: tuple[tuple[int, ...], ...]
    choices: tuple[tuple[Choice, ...], ...]
    start_ms: int
    closing_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen choice of every step, and whether no better answer exists."""

    chosen: tuple[Choice, ...]
    makespan_ms: int
    cost: int
    proven: bool


def search(problem: Problem, objective: Objective, deadline_ms: int | None, budget: int) -> Answer:
    """Return the best answer found, within `budget` placements of a step for each phase.

    With a deadline that the fastest answer found misses, that one is returned.
    """
    launching = any(choice.idle_cost_per_ms for choices in problem.choices for choice in choices)
    pruned = Problem(
        problem.predecessors,
        tuple(_undominated(choices, launching=launching) for choices in problem.choices),
        problem.start_ms,
        problem.closing_ms,
    )
    found: tuple[Choice, ...] = ()
    if objective == "time" or deadline_ms is not None:
        goal = _Goal("time")
        fastest = _branch_and_bound(pruned, goal, _first_guess(pruned, goal, budget), budget)
        if deadline_ms is None or objective == "time" or fastest.makespan_ms > deadline_ms:
            return fastest
        found = fastest.chosen
    goal = _Goal("cost", deadline_ms)
    return _branch_and_bound(pruned, goal, _first_guess(pruned, goal, budget, found), budget)


def timetable(problem: Problem, chosen: Sequence[Choice]) -> tuple[tuple[int, int], ...]:
    """Return each step's start (when it may use its inputs and resource) and end, in ms."""
    free: dict[str, int] = {}
    times: list[tuple[int, int]] = []
    for before, choice in zip(problem.predecessors, chosen, strict=True):
        start = max((times[i][1] for i in before), default=problem.start_ms)
        if choice.resource:
            start = max(start, free.get(choice.resource, choice.free_ms))
            free[choice.resource] = start + choice.duration_ms
        times.append((start, start + choice.duration_ms))
    return tuple(times)


@dataclass(frozen=True, slots=True)
class _Goal:
    objective: Objective
    deadline_ms: int | None = None

    def key(self, makespan_ms: int, cost: int) -> tuple[int, int, int]:
        """Order answers: how late first, then the objective, then the other figure."""
        late = 0 if self.deadline_ms is None else max(0, makespan_ms - self.deadline_ms)
        return (late, cost, makespan_ms) if self.objective == "cost" else (0, makespan_ms, cost)


def _answer(problem: Problem, chosen: Sequence[Choice], *, proven: bool = False) -> Answer:
    ends = [end for _, end in timetable(problem, chosen)]
    makespan_ms = max(ends, default=problem.start_ms) + problem.closing_ms
    cost = sum(
        choice.cost + choice.idle_cost_per_ms * max(makespan_ms - end, choice.least_idle_ms)
        for choice, end in zip(chosen, ends, strict=True)
    )
    return Answer(tuple(chosen), makespan_ms, cost, proven)


def _rank(goal: _Goal, answer: Answer) -> tuple[tuple[int, int, int], list[int]]:
    return goal.key(answer.makespan_ms, answer.cost), [c.index for c in answer.chosen]


def _undominated(choices: tuple[Choice, ...], *, launching: bool) -> tuple[Choice, ...]:
    """Leave out what another choice equals or beats in time and cost without using more.

    Where nodes are launched, only among choices that take equally long, and wait for the same.
    """

    def beats(one: Choice, other: Choice) -> bool:
        no_more = not one.resource or (
            one.resource == other.resource and one.free_ms <= other.free_ms
        )
        if launching:
            alike = (one.duration_ms, one.resource, one.free_ms) == (
                other.duration_ms,
                other.resource,
                other.free_ms,
            )
            no_more = alike and one.idle_cost_per_ms <= other.idle_cost_per_ms
            no_more &= one.least_idle_ms <= other.least_idle_ms
        left, right = (one.duration_ms, one.cost), (other.duration_ms, other.cost)
        no_worse = left[0] <= right[0] and left[1] <= right[1]
        return no_more and no_worse and (left != right or one.index < other.index)

    return tuple(c for c in choices if not any(beats(other, c) for other in choices))


def _first_guess(
    problem: Problem, goal: _Goal, budget: int, seed: tuple[Choice, ...] = ()
) -> Answer:
    """Change one step at a time, from the fastest and the cheapest choices, while it helps."""
    seeds = [
        [
            min(choices, key=lambda c: (c.duration_ms, c.cost, c.index))
            for choices in problem.choices
        ],
        [
            min(choices, key=lambda c: (c.cost, c.duration_ms, c.index))
            for choices in problem.choices
        ],
        *([list(seed)] if seed else []),
    ]
    best = min((_answer(problem, s) for s in seeds), key=lambda a: _rank(goal, a))
    placements, improved = 0, True
    while improved and placements < budget:
        improved = False
        for i, choices in enumerate(problem.choices):
            for choice in choices:
                placements += len(problem.choices)
                if placements > budget:
                    return best
                tried = _answer(problem, [*best.chosen[:i], choice, *best.chosen[i + 1 :]])
                if _rank(goal, tried) < _rank(goal, best):
                    best, improved = tried, True
    return best


def _branch_and_bound(problem: Problem, goal: _Goal, best: Answer, budget: int) -> Answer:
    n = len(problem.choices)
    tails, cheapest = _tails(problem), _cheapest_rest(problem)
    ends, position = [0] * n, [0] * n
    free: dict[str, int] = {}
    undo: list[tuple[str, int | None]] = [("", None)] * n
    bounds, costs = [problem.start_ms] + [0] * n, [0] * (n + 1)
    # Idle nodes cost slopes * makespan - offsets, of the steps placed so far.
    slopes, offsets = [0] * (n + 1), [0] * (n + 1)
    chosen = [choices[0] for choices in problem.choices]
    i = placements = 0
    while i >= 0:
        if i == n:
            found = _answer(problem, chosen)
            best = min(best, found, key=lambda answer: _rank(goal, answer))
        elif position[i] < len(problem.choices[i]):
            placements += 1
            if placements > budget:
                return best
            choice = chosen[i] = problem.choices[i][position[i]]
            position[i] += 1
            begin = max((ends[j] for j in problem.predecessors[i]), default=problem.start_ms)
            before = free.get(choice.resource)
            if choice.resource:
                begin = max(begin, choice.free_ms if before is None else before)
            end = begin + choice.duration_ms
            bounds[i + 1] = max(bounds[i], end + tails[i])
            costs[i + 1] = costs[i] + choice.cost
            slopes[i + 1] = slopes[i] + choice.idle_cost_per_ms
            offsets[i + 1] = offsets[i] + choice.idle_cost_per_ms * end
            soonest_ms = bounds[i + 1] + problem.closing_ms
            idle = slopes[i + 1] * soonest_ms - offsets[i + 1]
            lowest = goal.key(soonest_ms, costs[i + 1] + idle + cheapest[i + 1])
            if lowest <= goal.key(best.makespan_ms, best.cost):
                ends[i] = end
                undo[i] = (choice.resource, before)
                if choice.resource:
                    free[choice.resource] = end
                i += 1
            continue
        else:
            position[i] = 0
        i -= 1
        if i >= 0:
            resource, before = undo[i]
            if before is None:
                free.pop(resource, None)
            else:
                free[resource] = before
    return Answer(best.chosen, best.makespan_ms, best.cost, proven=True)


def _tails(problem: Problem) -> list[int]:
    """Return the least time from the end of each step to the end of the last one after it."""
    tails = [0] * len(problem.choices)
    for i in reversed(range(len(problem.choices))):
        shortest = min(choice.duration_ms for choice in problem.choices[i])
        for j in problem.predecessors[i]:
            tails[j] = max(tails[j], shortest + tails[i])
    return tails


def _cheapest_rest(problem: Problem) -> list[int]:
    """Return the least cost of all steps from each position on."""
    rest = [0]
    for choices in reversed(problem.choices):
        rest.append(rest[-1] + min(choice.cost for choice in choices))
    return rest[::-1]
