"""How one outcome stands to another: parts that add up, and sentences that are true."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.comparing.difference import difference, side_by_side
from reporting.comparing.front import Point, judged
from reporting.comparing.outcome import Basis, Kind, Line, Outcome, Place, StepOutcome
from reporting.comparing.rows import kind_rows
from reporting.comparing.waterfall import of_difference, of_outcome
from reporting.comparing.words import cautions, sentence

STEPS, SERVICES = ("a", "b", "c", None), ("EC2", "Lambda")
KINDS: tuple[Kind, ...] = ("compute", "idle", "startup", "requests")


def line(step: str | None, kind: Kind, usd: str | Decimal, service: str = "EC2") -> Line:
    return Line(step, kind, service, "x", Decimal(1), "unit", Decimal(usd), Decimal(usd))


def outcome(
    name: str, *lines: Line, seconds: float = 100, on: str = "ray", basis: Basis = "estimate"
) -> Outcome:
    steps = dict.fromkeys(each.step for each in lines if each.step)
    return Outcome(
        name=name,
        basis=basis,
        workflow="w",
        policy="p",
        goal="least cost",
        makespan_s=seconds,
        lines=lines,
        steps=tuple(StepOutcome(step, 4, (Place(on, "s", 4),), 10.0) for step in steps),
        tells_idle=basis == "estimate",
        books=(),
    )


def placed(of: Outcome, step: str, *places: Place) -> Outcome:
    steps = (replace(each, places=places) if each.step == step else each for each in of.steps)
    return replace(of, steps=tuple(steps))


lines = st.lists(
    st.builds(
        line,
        st.sampled_from(STEPS),
        st.sampled_from(KINDS),
        st.decimals(0, 10**6, places=12),
        st.sampled_from(SERVICES),
    ),
    max_size=30,
)
outcomes = st.builds(
    lambda found, basis: outcome("o", *found, basis=basis),
    lines,
    st.sampled_from(["estimate", "measured"]),
)


@given(outcomes, outcomes)
def test_the_parts_of_a_difference_add_up_to_it_exactly(base: Outcome, other: Outcome) -> None:
    found = difference(base, other)
    assert found.usd == other.usd - base.usd
    assert sum((part.usd for part in found.kinds), Decimal(0)) == found.usd
    assert sum((step.usd for step in found.steps), Decimal(0)) == found.usd


@given(outcomes, outcomes)
def test_the_other_way_round_everything_changes_its_sign(base: Outcome, other: Outcome) -> None:
    there, back = difference(base, other), difference(other, base)
    assert there.usd == -back.usd
    one = {(part.kind, part.service): part.usd for part in there.kinds}
    assert one == {(part.kind, part.service): -part.usd for part in back.kinds}


@given(outcomes, outcomes)
def test_bars_lead_from_one_cost_to_the_other(base: Outcome, other: Outcome) -> None:
    first, *changes, last = of_difference(difference(base, other), "A", "B")
    assert first.usd + sum((bar.usd for bar in changes), Decimal(0)) == last.usd == other.usd
    assert all(bar.from_percent + bar.width_percent <= 100.01 for bar in (first, *changes, last))
    *parts, whole = of_outcome(other)
    assert sum((bar.usd for bar in parts), Decimal(0)) == whole.usd


@given(outcomes, outcomes)
def test_kinds_side_by_side_add_up_to_both_costs(base: Outcome, other: Outcome) -> None:
    rows = kind_rows([base, other])
    for column, each in enumerate((base, other)):
        assert sum((amounts[column] for _, amounts in rows), Decimal(0)) == each.usd


def test_the_sentence_names_cost_time_moves_and_what_makes_it() -> None:
    base = outcome("A", line("a", "compute", "4"), line("a", "idle", "6"))
    cheaper = outcome("B", line("a", "compute", "4"), line("a", "idle", "2.9"), seconds=112)
    assert sentence(difference(base, cheaper)) == (
        "B is 31 % cheaper but 12 % slower than A; no step moved; most of the saving is idle EC2."
    )
    moved = outcome("B", line("a", "compute", "11", "Lambda"), seconds=100, on="lambda")
    assert sentence(difference(base, moved)) == (
        "B is 10 % dearer than A and as fast; 1 step moved; "
        "most of the extra cost is computing on Lambda."
    )
    assert sentence(difference(base, replace(base, name="B"))) == (
        "B is as cheap and as fast as A; no step moved."
    )


def test_a_part_below_half_of_the_difference_is_not_called_most_of_it() -> None:
    base = outcome("A", line("a", "compute", "1"))
    more: tuple[Kind, ...] = ("startup", "requests", "storage")
    other = outcome("B", line("a", "compute", "1"), *(line("a", kind, "1") for kind in more))
    assert "33 % of the extra cost is" in sentence(difference(base, other))


def test_what_is_measured_and_what_is_estimated_is_said_where_both_are_there() -> None:
    plan = outcome("P", line("a", "compute", "1"), line("a", "idle", "1"))
    run = outcome("R", line("a", "compute", "1"), basis="measured")
    said = sentence(difference(plan, run))
    assert said.startswith("R (measured) is 50 % cheaper than P (estimate) and as fast")
    assert said.endswith("most of the saving is computing on EC2.")  # a run tells no idle time
    assert "Estimates stand beside measurements" in cautions([plan, run])[0]


def test_steps_move_by_platform_and_change_by_size() -> None:
    base = outcome("A", line("a", "compute", "1"), line("b", "compute", "1"))
    split = placed(base, "a", Place("ray", "s", 3), Place("lambda", "m", 1))
    resized = placed(base, "b", Place("ray", "l", 4))
    assert [(x.moved, x.resized) for x in difference(base, split).steps][:2] == [
        (True, False),
        (False, False),
    ]
    found = difference(base, resized)
    assert [(step.moved, step.resized) for step in found.steps][1] == (False, True)
    assert "no step moved; 1 step changed size" in sentence(found)


def test_steps_that_only_one_has_are_neither_moved_nor_lost() -> None:
    base, other = outcome("A", line("a", "compute", "1")), outcome("B", line("b", "compute", "3"))
    found = difference(base, other)
    assert {step.step: int(step.usd) for step in found.steps} == {"a": -1, "b": 3, None: 0}
    assert not any(step.moved or step.resized for step in found.steps)
    assert "they have no step in common" in sentence(found)


def test_several_outcomes_have_a_row_for_each_step_of_any() -> None:
    a, b, c = (outcome(x.upper(), line(x, "compute", "1")) for x in "abc")
    rows = side_by_side([difference(a, b), difference(a, c)])
    assert [row[0].step for row in rows] == ["a", "b", "c", None]
    assert [each.other_usd for each in rows[1]] == [1, 0]


@pytest.mark.parametrize(
    ("seconds", "usd", "role", "why"),
    [
        (90, "1", "front", "10 % faster and 0 % dearer than the chosen one"),
        (120, "2", "rejected", "x is better: this is 20.0 s slower and $1.00 dearer"),
        (120, "0.5", "front", "10.0 s past the deadline"),
        (100, "1", "front", "comes to the same"),
    ],
)
def test_each_point_is_told_why_it_was_not_taken(
    seconds: float, usd: str, role: str, why: str
) -> None:
    own = Point("x", 100, Decimal(1), "chosen")
    found = judged([own, Point("y", seconds, Decimal(usd))], 110)
    assert found[1].role == role
    if (seconds, usd) != (90, "1"):
        assert found[1].why == why
    assert found[0].role == "chosen"
