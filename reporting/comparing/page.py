"""Outcomes as one self-contained page: no script, no network, for screen, phone and paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from reporting.change import against_text, share_text
from reporting.comparing import waterfall
from reporting.comparing.difference import Difference, difference, side_by_side
from reporting.comparing.front import Point, judged, plot
from reporting.comparing.outcome import Alternative, Expected, Outcome, usd_by_step
from reporting.comparing.picture import (
    ROW_HEIGHT,
    ROW_HEIGHTS,
    STATE_WORDS,
    WORKER_WORDS,
    Picture,
    picture,
)
from reporting.comparing.rows import kind_rows, letter, where_lines
from reporting.comparing.tree import Branch, cost_tree
from reporting.comparing.words import book_text, cautions, places_text, sentence
from reporting.html import environment
from reporting.text import MISSING, plain, plan_decimals, seconds_text, usd_text

# Of so many alternatives of a step the best are shown; the rest is counted.
_MOST_ALTERNATIVES = 40
_MOST_OPEN_WORKERS = 16
_PAGE_TITLES = {"compare": "Trivium comparison", "plan": "Trivium plan", "front": "Trivium front"}


@dataclass(frozen=True, slots=True)
class Side:
    """One outcome with all that is drawn of it."""

    letter: str
    name: str
    outcome: Outcome
    against: tuple[str, str] | None
    tree: tuple[Branch, ...]
    bars: tuple[waterfall.Bar, ...]
    picture: Picture | None
    gap: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step beside itself: where it is, and time and cost of each outcome."""

    step: str
    where: tuple[str, ...]
    seconds: tuple[str, ...]
    usd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Errors:
    """What was estimated, what was measured, and by how much that is more."""

    name: str
    estimate_s: str
    measured_s: str
    error_s: str
    estimate_usd: str
    measured_usd: str
    error_usd: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The alternatives of a step, the chosen ones first; `hidden` are left out."""

    step: str
    placed: str
    chosen: tuple[Alternative, ...]
    rejected: tuple[Alternative, ...]
    hidden: int


def comparison_page(outcomes: Sequence[Outcome]) -> str:
    """Write the page of one outcome or of several, each beside the first.

    Everything that comes from outside is escaped.
    """
    found = [difference(outcomes[0], each) for each in outcomes[1:]]
    alike = len({(each.workflow, each.basis) for each in outcomes}) == 1
    points = _points(outcomes) if alike else []
    return _render("compare", [sentence(each) for each in found], outcomes, points)


def plan_page(outcome: Outcome, said: str, points: Sequence[Point], note: str = "") -> str:
    """Write the page of a plan; `said` is it in a sentence, `points` what else there is."""
    return _render("plan", [said], [outcome], points, note)


def front_page(outcomes: Sequence[Outcome], said: str) -> str:
    """Write the page of a front: the plans from the fastest to the cheapest."""
    return _render("front", [said], outcomes, _points(outcomes))


def _points(outcomes: Sequence[Outcome]) -> list[Point]:
    return list(judged([Point(plain(each.name), each.makespan_s, each.usd) for each in outcomes]))


def _mark(at: int, outcome: Outcome) -> str:
    return f"{letter(at)} {plain(outcome.name)}"


def _render(
    sort: str,
    sentences: Sequence[str],
    outcomes: Sequence[Outcome],
    points: Sequence[Point],
    note: str = "",
) -> str:
    base = outcomes[0]
    changes = [difference(base, each) for each in outcomes[1:]]
    decimals = plan_decimals(max(each.usd for each in outcomes))
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            kicker=_PAGE_TITLES[sort],
            title=", ".join(dict.fromkeys(plain(each.workflow) for each in outcomes)),
            sentences=sentences,
            cautions=cautions(outcomes),
            decimals=decimals,
            item_decimals=max(decimals, 9 if decimals == 6 else 6),  # noqa: PLR2004
            sides=_sides(outcomes),
            changes=_changes(changes) if sort == "compare" else [],
            steps=_step_rows(base, changes, decimals),
            kinds=kind_rows(outcomes),
            plot=plot(points, decimals),
            point_note=note,
            errors=_errors(outcomes, decimals),
            choices=[
                (letter(at), _label(each), found)
                for at, each in enumerate(outcomes)
                if (found := _choices(each))
            ],
            books=dict.fromkeys(book_text(book) for each in outcomes for book in each.books),
            assumptions=dict.fromkeys(plain(x) for each in outcomes for x in each.assumptions),
            state_words=STATE_WORDS,
            worker_words=WORKER_WORDS,
            row_heights=ROW_HEIGHTS,
            row_height=ROW_HEIGHT,
            most_open_workers=_MOST_OPEN_WORKERS,
            share=share_text,
            brief=_brief,
        )
    )


def _brief(quantity: Decimal) -> Decimal:
    """Round a quantity to three decimals, or four digits where it is below one."""
    places = 3 if quantity >= 1 or not quantity else 3 - quantity.adjusted()
    return round(quantity, places)


def _sides(outcomes: Sequence[Outcome]) -> list[Side]:
    """Return what is drawn of each; all share one axis of time."""
    base, span_s = outcomes[0], max(each.makespan_s for each in outcomes)
    return [
        Side(
            letter(at),
            plain(each.name),
            each,
            (against_text(each.makespan_s, base.makespan_s), against_text(each.usd, base.usd))
            if at
            else None,
            cost_tree(each),
            waterfall.of_outcome(each),
            picture(each.activity, span_s) if each.activity else None,
            _gap(each),
        )
        for at, each in enumerate(outcomes)
    ]


def _gap(outcome: Outcome) -> tuple[str, str] | None:
    """Return how far cost and time are above what no placement can go below, in percent."""
    bound = outcome.bound
    if bound is None:
        return None
    dearer = float(outcome.usd / bound.usd) - 1 if bound.usd else 0.0
    slower = outcome.makespan_s / bound.seconds - 1 if bound.seconds else 0.0
    return f"{dearer * 100:,.1f} %", f"{slower * 100:,.1f} %"


def _changes(found: Sequence[Difference]) -> list[tuple[str, tuple[waterfall.Bar, ...]]]:
    """Return the bars that lead from the first outcome's cost to each other one's."""
    drawn = []
    for at, each in enumerate(found, start=1):
        base, other = _mark(0, each.base), _mark(at, each.other)
        drawn.append((f"From {base} to {other}", waterfall.of_difference(each, base, other)))
    return drawn


def _step_rows(base: Outcome, found: Sequence[Difference], decimals: int) -> list[StepRow]:
    if not found:
        return _rows_of_one(base, decimals)
    rows = []
    for row in side_by_side(found):
        first, *_ = row
        sides = [first.base, *(each.other for each in row)]
        costs = [first.base_usd, *(each.other_usd for each in row)]
        shared = first.step is None
        rows.append(
            StepRow(
                plain(first.step or "Shared and idle"),
                () if shared else tuple(where_lines(row)),
                tuple("" if shared else seconds_text(x.elapsed_s if x else None) for x in sides),
                tuple(
                    usd_text(usd, decimals) if side or usd or shared else MISSING
                    for side, usd in zip(sides, costs, strict=True)
                ),
            )
        )
    return rows


def _rows_of_one(outcome: Outcome, decimals: int) -> list[StepRow]:
    by_step = usd_by_step(outcome)
    rows = [
        StepRow(
            plain(step.step),
            (places_text(step.places),),
            (seconds_text(step.elapsed_s),),
            (usd_text(by_step.get(step.step, Decimal(0)), decimals),),
        )
        for step in outcome.steps
    ]
    shared = usd_text(by_step.get(None, Decimal(0)), decimals)
    return [*rows, StepRow("Shared and idle", (), ("",), (shared,))]


def _errors(outcomes: Sequence[Outcome], decimals: int) -> list[tuple[str, list[Errors]]]:
    """Return, of each outcome that was measured and estimated before, both and the error."""
    found = []
    for at, each in enumerate(outcomes):
        by_step = usd_by_step(each)
        rows = [
            _error(
                plain(step.step),
                step.estimate,
                step.elapsed_s,
                by_step.get(step.step, Decimal(0)),
                decimals,
            )
            for step in each.steps
            if step.estimate is not None
        ]
        if each.estimate is not None:
            whole = _error("Whole run", each.estimate, each.makespan_s, each.usd, decimals)
            rows.append(whole)
        if rows:
            found.append((_mark(at, each), rows))
    return found


def _error(name: str, estimate: Expected, seconds: float, usd: Decimal, decimals: int) -> Errors:
    return Errors(
        name,
        seconds_text(estimate.seconds),
        seconds_text(seconds),
        against_text(seconds, estimate.seconds),
        usd_text(estimate.usd, decimals),
        usd_text(usd, decimals),
        against_text(usd, estimate.usd),
    )


def _label(outcome: Outcome) -> str:
    """Return what figures of placements that were considered are: of a run, estimates before it."""
    return "what-if" if outcome.basis == "what-if" else "estimate"


def _choices(outcome: Outcome) -> list[Choice]:
    """Return each step's alternatives; of those that lost the cheapest that fit come first."""
    found = []
    for step in outcome.steps:
        chosen = tuple(each for each in step.alternatives if each.chosen)
        lost = sorted(
            (each for each in step.alternatives if not each.chosen),
            key=lambda each: (each.usd is None, each.usd or Decimal(0), each.place),
        )
        if lost:
            hidden = max(0, len(lost) - _MOST_ALTERNATIVES)
            shown = tuple(lost[:_MOST_ALTERNATIVES])
            found.append(Choice(plain(step.step), places_text(step.places), chosen, shown, hidden))
    return found
