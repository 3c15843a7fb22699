"""Plans in a terminal: readable at 80 columns, without colour, and in a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from placement.engine.candidates import StepPlan
from placement.engine.planner import GraphPlan
from placement.engine.policies.goal import Infeasible
from placement.engine.schedule import Schedule
from reporting.change import against_text, amount_text, counted, share_text
from reporting.plan_text import (
    MS_PER_S,
    Row,
    candidate_rows,
    comparison_sentence,
    gap_text,
    goal_text,
    ms_text,
    parts_text,
    plan_headline,
    workers_text,
)
from reporting.planned import Asked, Comparison, Front, Planned
from reporting.table import titled_table
from reporting.text import MISSING, plain, plan_decimals, short_names, usd_text

_MARK = "\N{RIGHTWARDS ARROW}"
_STEPS_NAMED = 3
_MOST_TABLES = 16
_WORTH_NAMING = Decimal("0.005")  # part of the cost of a run
_WIDE = 110  # columns from which on ranges stand on one line
_LEGEND = (
    f"{_MARK} marks where a step's tasks are, and how many. time: the step's longest task there, "
    "start-up included; cost: all its tasks there, each by itself, nodes used in full. Of Ray "
    "nodes (ray) the cheapest type of each number of vCPUs is listed, of the MPI cluster's (hpc) "
    "the smallest, the cheapest and the fastest. The last column says what it would "
    "mean to have all its tasks there."
)


def plan_table(planned: Planned, width: int = 80, *, all_steps: bool = False) -> RenderableType:
    """Lay out a plan: each step's candidates, the placement, bound and gap, assumptions.

    `width` is that of the terminal, in columns. Of more steps than anyone reads the dearest are
    shown, unless `all_steps`.
    """
    plan = planned.plan
    if isinstance(plan, Infeasible):
        return Text(plan_headline(planned))
    return Group(
        Text(plan_headline(planned), style="bold"),
        Text(f"Goal: {goal_text(planned.asked)}."),
        Text(),
        Text(_LEGEND),
        Text(_boot_text(planned.steps)),
        Text(),
        *_candidate_tables(planned.steps, width, all_steps=all_steps),
        _placement(planned.steps, plan.schedule),
        Text(),
        *_other_lines(plan.schedule),
        Text(_workers_line(plan.schedule)),
        *_bound_lines(plan),
        Text(),
        _assumptions(planned.asked),
    )


def front_table(front: Front) -> RenderableType:
    """Lay out a front, each point with what leads to it again."""
    decimals = plan_decimals(max(plan.schedule.usd for plan in front.plans))
    table = titled_table(f"{plain(front.asked.graph.name)}: time against cost")
    for head in ("time", "cost", "least\npossible", "gap"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("done with", overflow="fold")
    table.add_column("deadline\nin s", justify="right", no_wrap=True)
    for plan in front.plans:
        table.add_row(
            ms_text(plan.schedule.makespan_ms),
            usd_text(plan.schedule.usd, decimals),
            usd_text(plan.bound.cost_usd, decimals),
            gap_text(plan.cost_gap),
            workers_text(plan.schedule),
            f"{(plan.goal.deadline_ms or 0) / MS_PER_S:.3f}",
        )
    again = f"trivium plan FILE --deadline DEADLINE --seed {front.asked.seed}"
    if front.asked.thorough:
        again += " --thorough"
    return Group(
        table,
        Text(),
        Text(f"Each of them again, with all details: {again}"),
        Text(),
        _assumptions(front.asked),
    )


def comparison_table(comparison: Comparison) -> RenderableType:
    """Lay out a comparison: the sentence, then every policy's time and cost."""
    first, ours = comparison.results[0]
    schedules = [each for _, each in comparison.results if isinstance(each, Schedule)]
    decimals = plan_decimals(max((each.usd for each in schedules), default=Decimal(0)))
    table = titled_table("")
    table.add_column("policy", overflow="fold")
    for head in ("time", f"against\n{plain(first)}", "cost", f"against\n{plain(first)}"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("done with", overflow="fold")
    notes = []
    for policy, outcome in comparison.results:
        if isinstance(outcome, Infeasible):
            table.add_row(Text(plain(policy)), *[MISSING] * 4, "no plan")
            notes.append(Text(f"No plan under {plain(policy)}: {plain(outcome.reason)}."))
            continue
        base = ours if isinstance(ours, Schedule) and outcome is not ours else None
        table.add_row(
            Text(plain(policy)),
            ms_text(outcome.makespan_ms),
            against_text(outcome.makespan_ms, base.makespan_ms) if base else "",
            usd_text(outcome.usd, decimals),
            against_text(outcome.usd, base.usd) if base else "",
            workers_text(outcome),
        )
    return Group(
        Text(comparison_sentence(comparison), style="bold"),
        Text(),
        # Not as the table's title, which would be cut to its width.
        Text(f"{plain(comparison.asked.graph.name)}, {goal_text(comparison.asked)}", style="bold"),
        table,
        *notes,
        Text(),
        _assumptions(comparison.asked),
    )


# the candidates of the steps


def _candidate_tables(
    steps: Sequence[StepPlan], width: int, *, all_steps: bool
) -> Iterator[RenderableType]:
    """Yield a table per step; steps whose tables are the same share one."""
    names = short_names([step.run.step for step in steps])
    shared: dict[str, list[int]] = {}
    rows = [candidate_rows(step.candidates, _step_decimals(step)) for step in steps]
    for number, step in enumerate(steps):
        shared.setdefault(f"{step.run.tasks} {rows[number]}", []).append(number)
    tables = list(shared.values())
    most = len(tables) if all_steps else _MOST_TABLES
    usd = [sum((steps[number].run.usd for number in alike), Decimal(0)) for alike in tables]
    shown = sorted(sorted(range(len(tables)), key=lambda each: -usd[each])[:most])
    for alike in (tables[each] for each in shown):
        title = _step_title([names[number] for number in alike], [steps[n] for n in alike])
        yield _candidate_table(title, rows[alike[0]], width)
        yield Text()
    if len(shown) < len(tables):
        left = sum(usd) - sum(usd[each] for each in shown)
        steps_left = len(steps) - sum(len(tables[each]) for each in shown)
        yield Text(
            f"The other {counted(steps_left, 'step')} cost {amount_text(left)} in all; "
            "--all-steps shows their candidates, and --json has them."
        )
        yield Text()


def _candidate_table(title: str, rows: Sequence[Row], width: int) -> Table:
    table = titled_table(title)
    wide = width >= _WIDE
    table.add_column("tasks", justify="right", no_wrap=True)
    table.add_column("on", overflow="fold", min_width=20, max_width=30)
    table.add_column(
        "time", justify="right", no_wrap=wide, min_width=7, max_width=None if wide else 9
    )
    table.add_column(
        "cost", justify="right", no_wrap=wide, min_width=9, max_width=None if wide else 14
    )
    table.add_column("why not", overflow="fold")
    for row in rows:
        table.add_row(
            f"{_MARK} {row.tasks:,}" if row.tasks else "",
            Text(row.place),
            row.time,
            row.usd,
            Text(row.why),
            style="bold" if row.tasks else None if row.feasible else "dim",
        )
    return table


def _step_title(names: Sequence[str], steps: Sequence[StepPlan]) -> str:
    if len(names) > _STEPS_NAMED:
        names = [*names[: _STEPS_NAMED - 1], f"{len(names) - _STEPS_NAMED + 1} more alike"]
    each = ", each" if len(steps) > 1 else ""
    costs = sorted(step.run.usd for step in steps)
    paid = " to ".join(dict.fromkeys(amount_text(usd) for usd in (costs[0], costs[-1])))
    return f"{', '.join(names)}{each}: {counted(steps[0].run.tasks, 'task')}, {paid} in the plan"


def _step_decimals(step: StepPlan) -> int:
    """Return the decimals with which the cheapest candidate shows three digits, cents at least."""
    costs = [each.usd for each in step.candidates if each.usd]
    return min(9, max(2, 2 - min(costs).adjusted())) if costs else 2


def _boot_text(steps: Sequence[StepPlan]) -> str:
    boots = {
        each.platform: each.boot_ms for step in steps for each in step.candidates if each.boot_ms
    }
    said = [f"{ms_text(boot)} for {platform}" for platform, boot in boots.items()]
    return f"A launched node boots first: {' and '.join(said)}." if said else ""


# the placement and the totals


def _placement(steps: Sequence[StepPlan], schedule: Schedule) -> Table:
    decimals = plan_decimals(schedule.usd)
    table = titled_table("Placement")
    table.add_column("step", overflow="fold")
    table.add_column("tasks", justify="right", no_wrap=True)
    table.add_column("on", overflow="fold")
    for head in ("from", "to", "cost"):
        table.add_column(head, justify="right", no_wrap=True)
    names = short_names([step.run.step for step in steps])
    for name, run in zip(names, (step.run for step in steps), strict=True):
        table.add_row(
            Text(name),
            f"{run.tasks:,}",
            Text(parts_text(run.parts)),
            ms_text(run.start_ms),
            ms_text(run.end_ms),
            usd_text(run.usd, decimals),
        )
    other = schedule.usd - sum((step.run.usd for step in steps), Decimal(0))
    table.add_row("other", "", "shared and idle", "", "", usd_text(other, decimals))
    table.add_section()
    table.add_row(
        "whole run",
        f"{len(schedule.tasks):,}",
        "",
        "",
        ms_text(schedule.makespan_ms),
        usd_text(schedule.usd, decimals),
        style="bold",
    )
    return table


def _other_lines(schedule: Schedule) -> list[Text]:
    """Name the items that belong to no step and that weigh in the whole."""
    usd: dict[str, Decimal] = {}
    for each in schedule.other:
        usd[each.what] = usd.get(each.what, Decimal(0)) + each.usd
    worth = schedule.usd * _WORTH_NAMING
    said = [f"{what} {amount_text(cost)}" for what, cost in usd.items() if cost >= worth]
    return [Text(plain(f"In other: {', '.join(said)}."))] if said else []


def _workers_line(schedule: Schedule) -> str:
    nodes = [each for each in schedule.workers if each.platform != "lambda"]
    environments = len(schedule.workers) - len(nodes)
    said = []
    if nodes:
        up_ms = sum(each.release_ms - each.launch_ms for each in nodes)
        said.append(
            f"{counted(len(nodes), 'node')}, up for {ms_text(up_ms)} in all and used to "
            f"{share_text(_used(schedule))} of that"
        )
    if environments:
        said.append(counted(environments, "Lambda environment"))
    return f"Workers: {'; '.join(said)}."


def _used(schedule: Schedule) -> float:
    """Return which share of the nodes' time their tasks take: of vCPUs or of memory."""
    nodes = {each.id: each for each in schedule.workers if each.platform != "lambda"}
    up = sum(each.release_ms - each.launch_ms for each in nodes.values())
    used = 0.0
    for run in schedule.tasks:
        if run.worker in nodes:
            node, task = nodes[run.worker], schedule.graph.tasks[run.task]
            taken = max(task.cores / node.vcpus, task.memory_bytes / node.memory_bytes)
            used += taken * (run.end_ms - run.start_ms)
    return used / up


def _bound_lines(plan: GraphPlan) -> list[Text]:
    schedule, bound = plan.schedule, plan.bound
    return [
        Text(
            f"In {ms_text(schedule.makespan_ms)} no placement can cost less than "
            f"{amount_text(bound.cost_usd)}: this one is {gap_text(plan.cost_gap)} above."
        ),
        Text(
            f"For {amount_text(schedule.usd)} none can take less than "
            f"{ms_text(bound.makespan_ms)}: this one is {gap_text(plan.time_gap)} above."
        ),
    ]


def _assumptions(asked: Asked) -> RenderableType:
    lines = Table.grid(padding=(0, 1))
    for each in asked.graph.assumptions:
        lines.add_row("-", Text(plain(each)))
    books = [f"{book.name}, {book.date}, {book.region}" for book in asked.books]
    return Group(Text("Assumed:"), lines, *(Text(f"Book: {plain(book)}.") for book in books))
