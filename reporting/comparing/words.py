"""A comparison in sentences that a person can repeat."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from reporting.change import compared, counted, faster, share_text, than
from reporting.comparing.difference import Difference, KindDifference
from reporting.comparing.outcome import KINDS, Book, Kind, Outcome, Place
from reporting.text import plain

_MOST = Decimal("0.5")
# What is paid for by time is named with what runs: "idle EC2", "computing on Lambda".
_ON: dict[Kind, str] = {
    "compute": "computing on",
    "startup": "start-up on",
    "transfer": "transfer on",
}


def sentence(found: Difference) -> str:
    """Say how one stands to the other: cost, time, steps that moved, and what makes it."""
    labels = found.base.basis != found.other.basis
    base, other = (named(each, labels=labels) for each in (found.base, found.other))
    cost = than(found.other.usd, found.base.usd, "cheaper", "dearer")
    time = faster(found.other.makespan_s, found.base.makespan_s)
    clauses = [f"{other} is {compared(cost, time, base)}", *_step_clauses(found)]
    if found.main is not None and cost[1]:
        clauses.append(_main_clause(found, found.main))
    return f"{'; '.join(clauses)}."


def front_sentence(outcomes: Sequence[Outcome]) -> str:
    """Say what more time saves, from the fastest plan to the cheapest."""
    fastest, cheapest = outcomes[0], outcomes[-1]
    name = plain(fastest.workflow)
    if len(outcomes) == 1:
        return f"{name}: one placement is the fastest and the cheapest at once."
    time, _ = than(cheapest.makespan_s, fastest.makespan_s, "less", "more")
    cost, _ = than(cheapest.usd, fastest.usd, "less", "more")
    return f"{name}: from the fastest plan to the cheapest, {time} time means {cost} cost."


def named(outcome: Outcome, *, labels: bool) -> str:
    """Return an outcome's name, with what it is where that has to be told."""
    return plain(f"{outcome.name} ({outcome.basis})" if labels else outcome.name)


def kind_text(kind: Kind, service: str) -> str:
    """Say what is paid for: `computing on Lambda`, `idle EC2`, `storage (EBS)`."""
    if kind in _ON:
        return plain(f"{_ON[kind]} {service}")
    if kind == "idle":
        return plain(f"idle {service}")
    return plain(KINDS[kind] if kind == "other" else f"{KINDS[kind]} ({service})")


def places_text(places: Sequence[Place]) -> str:
    """Say where a step's tasks are: `ray c6g.large`, or each part with its number of tasks."""
    if len(places) == 1:
        return plain(f"{places[0].platform} {places[0].size}".rstrip())
    return plain(" + ".join(f"{each.tasks:,} {each.platform} {each.size}" for each in places))


def book_text(book: Book) -> str:
    """Name a book with its date and region."""
    return plain(f"{book.name}, {book.date}" + (f", {book.region}" if book.region else ""))


def cautions(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what whoever compares these must know: whatever is not alike among them."""
    found = []
    bases = {each.basis for each in outcomes}
    if {"estimate", "measured"} <= bases:
        found.append("Estimates stand beside measurements here; each figure says which it is.")
    if "what-if" in bases:
        found.append(
            "A what-if never took place: it is the run's tasks with their measured sizes and "
            "times, turned into other platforms' times by the book's core speeds. Its start-up, "
            "waiting and transfer are by the books, where the run's were measured: compare "
            "what-ifs with each other first."
        )
    if len({each.workflow for each in outcomes}) > 1:
        workflows = ", ".join(dict.fromkeys(plain(each.workflow) for each in outcomes))
        found.append(f"These are different workflows: {workflows}.")
    if len({tuple(sorted(map(book_text, each.books))) for each in outcomes}) > 1:
        found.append("They rest on different books, so part of the difference is in the prices.")
    if any(not each.tells_idle for each in outcomes):
        found.append(
            "A run's report does not tell idle nodes apart: in its figures, and in any difference "
            "from it, idle time is contained in the other times."
        )
    found += dict.fromkeys(plain(each.note) for each in outcomes if each.note)
    return found


def _step_clauses(found: Difference) -> list[str]:
    moved = sum(step.moved for step in found.steps)
    resized = sum(step.resized for step in found.steps)
    shared = sum(step.base is not None and step.other is not None for step in found.steps)
    if not shared:
        return ["they have no step in common"]
    clauses = [f"{counted(moved, 'step') if moved else 'no step'} moved"]
    if resized:
        clauses.append(f"{counted(resized, 'step')} changed size")
    return clauses


def _main_clause(found: Difference, main: KindDifference) -> str:
    what = "saving" if found.usd < 0 else "extra cost"
    share = main.usd / found.usd
    part = "most" if share >= _MOST else f"{share_text(float(share))}"
    return f"{part} of the {what} is {kind_text(main.kind, main.service)}"
