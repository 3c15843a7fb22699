"""The best interval between checkpoints, and what failures make of a job's time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.books import default_books
from placement.checkpoints import best_interval_s, expected_s, with_failures_s


@pytest.mark.parametrize(("mtbf_min", "interval_min"), [(24 * 60, 117), (6 * 60, 57), (15, 9.1)])
def test_the_interval_is_that_of_dalys_own_examples(mtbf_min: float, interval_min: float) -> None:
    # Figures 3 to 5 of the paper: a checkpoint takes five minutes.
    assert best_interval_s(5 * 60, mtbf_min * 60) / 60 == pytest.approx(interval_min, rel=0.01)


def test_one_that_takes_longer_than_nodes_live_is_written_once_in_a_life() -> None:
    assert best_interval_s(250, 100) == 100


def simulated_s(pieces: int, piece_s: float, restart_s: float, mtbf_s: float) -> float:
    """Return how long so many pieces of work took, each done again until no failure comes."""
    luck = random.Random(1)  # noqa: S311 - a simulation
    taken_s = 0.0
    for _ in range(pieces):
        needed_s = piece_s
        while (failure_s := luck.expovariate(1 / mtbf_s)) < needed_s:
            taken_s += failure_s
            needed_s = restart_s + piece_s
        taken_s += needed_s
    return taken_s


def test_the_expected_time_is_what_a_simulation_of_a_long_job_takes() -> None:
    save_s, restart_s, mtbf_s, pieces = 300.0, 900.0, 6 * 3600.0, 50_000
    interval_s = best_interval_s(save_s, mtbf_s)
    simulated = simulated_s(pieces, interval_s + save_s, restart_s, mtbf_s)
    expected = expected_s(pieces * interval_s, save_s, restart_s, mtbf_s)
    assert expected == pytest.approx(simulated, rel=0.005)


@given(st.floats(0.001, 1e7), st.floats(0.01, 1e4), st.floats(0, 1e3), st.floats(1e4, 1e8))
def test_failures_never_shorten_a_job(
    work_s: float, save_s: float, restart_s: float, mtbf_s: float
) -> None:
    assert expected_s(work_s, save_s, restart_s, mtbf_s) >= work_s * (1 - 1e-9)


def test_more_nodes_fail_more_often_and_an_hours_job_hardly_notices() -> None:
    _, book = default_books()
    hour = [with_failures_s(3600.0, nodes, book) for nodes in (1, 4, 1000)]
    assert hour == sorted(hour)
    assert hour[1] == pytest.approx(3600.0, rel=1e-3)
    assert hour[2] > 1.01 * 3600.0
