"""A calibration recovers what is true of a step, in spite of outliers, and says what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.calibration.assess import assess
from placement.calibration.calibration import Calibration, Scope
from placement.calibration.fit import fit
from placement.calibration.line import Line, fit_line
from placement.calibration.median import observed_median
from placement.calibration.samples import MOST_CALLS, RunSample, Work
from placement.errors import UserError
from placement.model import Model
from placement.planner import plan
from placement.situation import Situation
from tests.unit.calibration_samples import (
    KNOWN,
    MB,
    PLATFORMS,
    PRICES,
    STEP,
    WORKFLOW,
    Truth,
    on_ray,
    sample,
)

AT = "2026-01-02T03:04:05.000Z"
EXACT = Scope("w", "work", "lambda", "1769")
SIZES = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
SECONDS = st.floats(0.01, 100)


# lines


@settings(deadline=None)  # no timed assertions
@given(st.tuples(SECONDS, SECONDS), st.integers(0, 5), st.floats(3, 1000))
def test_a_line_is_found_among_outliers(
    truth: tuple[float, float], wrong: int, factor: float
) -> None:
    line = Line(*truth)
    points = [(float(x), line.at(x)) for x in range(1, 13)]
    for i in range(wrong):
        x, y = points[2 * i]
        points[2 * i] = (x, y * factor)
    found = fit_line(points, Line(1.0, 1.0))
    assert found.fitted
    assert found.line.intercept == pytest.approx(line.intercept, rel=1e-6, abs=1e-6)
    assert found.line.slope == pytest.approx(line.slope, rel=1e-6)


@settings(deadline=None)  # no timed assertions
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=30))
def test_no_line_is_negative_anywhere(points: list[tuple[float, float]]) -> None:
    found = fit_line(points, Line(0.5, 0.1))
    assert found.line.intercept >= 0
    assert found.line.slope >= 0
    assert found.spread >= 0


def test_sizes_that_are_alike_scale_the_known_line() -> None:
    found = fit_line([(10.0, 6.0), (10.0, 6.2), (10.0, 600.0)], Line(1.0, 0.2))
    assert not found.fitted
    assert found.line.intercept == pytest.approx(6.2 / 3)  # the median is 6.2, where 3 was known
    assert found.line.slope == pytest.approx(6.2 / 3 * 0.2)


def test_of_two_middle_values_the_newer_is_the_median() -> None:
    assert observed_median([5.0, 0.3]) == 0.3
    assert observed_median([0.3, 5.0]) == 5.0
    assert observed_median([0.3, 5.0, 0.4]) == 0.4


# the fit


@settings(deadline=None)  # no timed assertions
@given(
    st.builds(
        Truth,
        s_per_task=SECONDS,
        s_per_mb=SECONDS,
        request_scale=st.floats(0.1, 10),
        s_per_mb_moved=st.floats(0.001, 1),
        queue_s=st.floats(0, 100),
    ),
    st.sets(st.integers(0, 6), max_size=2),
    st.floats(2, 50),
)
def test_a_known_model_is_recovered_from_runs_of_which_some_were_disturbed(
    truth: Truth, disturbed: set[int], slower: float
) -> None:
    samples = [
        sample(truth, mb, at, slower=slower if at in disturbed else 1.0)
        for at, mb in enumerate(SIZES)
    ]
    found = fit(samples, [], KNOWN, AT)
    computing, overheads = found.computing[EXACT], found.overheads[EXACT]
    assert computing.line
    assert computing.s_per_task == pytest.approx(truth.s_per_task, rel=1e-3, abs=1e-3)
    assert computing.s_per_mb == pytest.approx(truth.s_per_mb, rel=1e-3)
    assert overheads.request_scale == pytest.approx(truth.request_scale, rel=1e-3)
    assert overheads.s_per_mb == pytest.approx(truth.s_per_mb_moved, rel=1e-3)
    model = Model(Situation({}, (), 10), PRICES, PLATFORMS, found, "w")
    unseen = sample(truth, 40.0, 99)
    estimate = model.estimate(STEP, KNOWN.load(unseen), "lambda", unseen.size)
    assert estimate.seconds == pytest.approx(truth.wall_s(40.0, fresh=False), rel=2e-3, abs=2e-3)


def test_the_start_of_a_step_is_told_from_its_tasks() -> None:
    truth = Truth()
    cold = [sample(truth, mb, at, fresh=True) for at, mb in enumerate(SIZES)]
    warm = [sample(truth, mb, 10 + at) for at, mb in enumerate(SIZES[:4])]
    found = fit([*cold, *warm], [], KNOWN, AT)
    assert found.computing[EXACT].s_per_task == pytest.approx(truth.s_per_task, rel=1e-3)
    assert found.computing[EXACT].own_start_s == pytest.approx(truth.own_start_s, rel=1e-3)
    assert found.overheads[EXACT].startup_s == pytest.approx(truth.init_s)
    assert found.overheads[EXACT].queue_s == pytest.approx(truth.queue_s, abs=2e-3)


def test_functions_that_were_warm_lately_are_expected_to_be_warm() -> None:
    truth = Truth()
    found = fit([sample(truth, 5, 1, fresh=True), sample(truth, 5, 2)], [], KNOWN, AT)
    assert found.computing[EXACT].own_start_s == 0
    assert found.overheads[EXACT].startup_s == 0
    found = fit([sample(truth, 5, 1), sample(truth, 5, 2, fresh=True)], [], KNOWN, AT)
    assert found.computing[EXACT].own_start_s == pytest.approx(truth.own_start_s, rel=1e-3)
    assert found.overheads[EXACT].startup_s == truth.init_s


def test_one_attempt_leaves_the_book_and_says_so() -> None:
    one = sample(Truth(), 5, 1)
    found = fit([one], [], KNOWN, AT)
    assert (found.computing, found.overheads, found.run_times) == ({}, {}, None)
    assert found.basis("w", "work", "lambda", "1769") == "the book: fewer than 2 attempts"
    assert KNOWN.seconds(one, found) == KNOWN.seconds(one)


def test_a_size_that_was_not_tried_takes_what_others_of_the_platform_had() -> None:
    truth = Truth()
    found = fit([sample(truth, mb, at) for at, mb in enumerate(SIZES)], [], KNOWN, AT)
    scope, computing = found.computing_of("w", "work", "lambda", "1024") or pytest.fail("none")
    assert scope == Scope("w", "work", "lambda", "")
    assert computing.s_per_task == pytest.approx(truth.s_per_task, rel=1e-3)
    assert "7 attempts (work on lambda)" in found.basis("w", "work", "lambda", "1024")


def test_a_platform_that_was_not_tried_takes_the_computing_and_the_books_overheads() -> None:
    truth = Truth()
    found = fit([sample(truth, mb, at) for at, mb in enumerate(SIZES)], [], KNOWN, AT)
    scope, _ = found.computing_of("w", "work", "ray", "c7i.large") or pytest.fail("none")
    assert scope == Scope("w", "work", "", "")
    assert found.overheads_of("w", "work", "ray", "c7i.large") is None
    assert found.basis("w", "work", "ray", "c7i.large") == (
        "computing from 7 attempts (work on any platform), waiting, start-up and transfer from "
        "the book"
    )


def test_what_a_platform_takes_to_start_holds_for_steps_that_never_ran_there() -> None:
    truth = Truth()
    found = fit([on_ray(sample(truth, 5, at)) for at in range(4)], [], KNOWN, AT)
    scope, _ = found.overheads_of("other", "step", "ray", "c7i.large") or pytest.fail("none")
    assert scope == Scope("", "", "ray", "")
    fewer = fit([on_ray(sample(truth, 5, at)) for at in range(3)], [], KNOWN, AT)
    assert fewer.overheads_of("other", "step", "ray", "c7i.large") is None


def test_a_probe_teaches_all_but_waiting() -> None:
    truth = Truth(queue_s=500.0)
    probes = [replace(sample(truth, mb, at), probe=True) for at, mb in enumerate(SIZES)]
    found = fit(probes, [], KNOWN, AT)
    assert found.computing[EXACT].s_per_mb == pytest.approx(truth.s_per_mb, rel=1e-3)
    book = Model(Situation({}, (), 10), PRICES, PLATFORMS)
    assert found.overheads[EXACT].queue_s == (
        book.pace(STEP, KNOWN.load(probes[0]), "lambda", "1769").queue_s
    )
    run = sample(Truth(), 5.0, 99)
    found = fit([*probes, run], [], KNOWN, AT)
    assert found.overheads[EXACT].queue_s == pytest.approx(Truth().queue_s, abs=2e-3)
    assert [row.attempts for row in assess([*probes, run], KNOWN, found)] == [1]


def test_what_runs_take_beside_their_steps_is_the_median_of_runs() -> None:
    runs = [RunSample(f"r{i}", float(i), 0.5 + i / 10, (0.2, 0.3), 0.1) for i in range(3)]
    times = fit([sample(Truth(), 5, 1)], runs, KNOWN, AT).run_times
    assert times is not None
    assert (times.start_s, times.end_s, times.runs) == (0.6, 0.1, 3)
    assert times.handover_s in (0.2, 0.3)


def test_the_error_falls_to_nothing_where_nothing_varies() -> None:
    samples = [sample(Truth(), mb, at) for at, mb in enumerate(SIZES)]
    (row,) = assess(samples, KNOWN, fit(samples, [], KNOWN, AT))
    assert (row.step, row.platform, row.size, row.attempts) == ("work", "lambda", "1769", 7)
    assert row.book_error > 0.2
    assert row.calibrated_error < 0.002


def test_the_order_in_which_samples_come_does_not_matter() -> None:
    samples = [sample(Truth(), mb, at, slower=1 + at / 10) for at, mb in enumerate(SIZES)]
    assert fit(samples[::-1], [], KNOWN, AT) == fit(samples, [], KNOWN, AT)


# what is kept


def test_a_calibration_is_read_as_it_was_written() -> None:
    runs = [RunSample(f"r{i}", float(i), 0.5, (0.2,), 0.1) for i in range(2)]
    found = fit([sample(Truth(), mb, at) for at, mb in enumerate(SIZES)], runs, KNOWN, AT)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_calibration_of_another_version_is_refused() -> None:
    data = fit([sample(Truth(), 5, 1)], [], KNOWN, AT).to_json()
    with pytest.raises(UserError, match="version 0; this Trivium reads version 1"):
        Calibration.from_json(data | {"version": 0})


def test_of_many_calls_a_few_are_kept_from_the_least_to_the_largest() -> None:
    call = sample(Truth(), 1, 1).work.calls[0]
    calls = tuple(replace(call, over_bytes=(i * 37 % 100) * MB) for i in range(100))
    work = Work(100, 1, 1, 0, 0, 0, 100, calls).thinned()
    kept = [one.over_bytes // MB for one in work.calls]
    assert len(kept) == MOST_CALLS
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 99)
    assert Work.from_json(json.loads(json.dumps(work.to_json()))) == work


# plans


def test_a_plan_uses_the_calibration_names_it_and_keeps_what_the_book_says() -> None:
    truth = Truth()
    found = fit([sample(truth, mb, at) for at, mb in enumerate(SIZES)], [], KNOWN, AT)
    situation = Situation({"r": (10 * MB,)}, (), 10)
    by_book = plan(WORKFLOW, situation)
    made = plan(WORKFLOW, situation, calibration=found)
    step = made.step("work")
    assert made.books[-1].name == "calibration"
    assert made.books[-1].date == AT
    assert step.calibrated.startswith("7 attempts (work on lambda")
    assert step.by_book is not None
    same = by_book.step("work")
    if step.parts == same.parts:
        assert step.by_book.seconds == same.estimate.seconds
        assert step.by_book.usd == same.estimate.usd
    core = min(1.0, int(step.parts[0].size["memory_mb"]) / 1769)
    expected_s = (
        truth.queue_s + truth.moving_s(10) + (truth.s_per_task + 10 * truth.s_per_mb) / core
    )
    assert step.estimate.seconds == pytest.approx(expected_s, rel=2e-3)
    assert type(made).from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_plan_without_a_calibration_says_nothing_of_one() -> None:
    made = plan(WORKFLOW, Situation({"r": (10 * MB,)}, (), 10))
    assert made.by_book is None
    assert made.step("work").by_book is None
    assert made.step("work").calibrated == ""
    assert [book.name for book in made.books] == [PRICES.stamp.name, PLATFORMS.stamp.name]


def test_a_calibration_with_nothing_in_it_changes_no_estimate() -> None:
    situation = Situation({"r": (10 * MB,)}, (), 10)
    empty = fit([sample(Truth(), 5, 1)], [], KNOWN, AT)
    with_it, without = plan(WORKFLOW, situation, calibration=empty), plan(WORKFLOW, situation)
    assert with_it.step("work").estimate == without.step("work").estimate
    assert with_it.seconds == without.seconds
    assert with_it.by_book is not None
    assert with_it.by_book.seconds == without.seconds
    assert with_it.by_book.usd == without.usd
