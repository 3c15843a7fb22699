"""The wall time of a step is attributed to what its workers did, without a remainder."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.walltime import KINDS, Interval, split_wall_time

moments = st.integers(-5, 25)
on_a_grid = st.lists(st.builds(Interval, st.sampled_from(KINDS), moments, moments), max_size=12)
anywhere = st.lists(
    st.builds(Interval, st.sampled_from(KINDS), st.floats(-1e3, 1e4), st.floats(-1e3, 1e4)),
    max_size=30,
)


def second_by_second(start: int, end: int, intervals: list[Interval]) -> dict[str, Fraction]:
    """Ask of every second apart which workers were busy in it."""
    spent = dict.fromkeys(("queue", *KINDS), Fraction(0))
    for second in range(start, end):
        busy = [i.kind for i in intervals if i.start_s <= second and second + 1 <= i.end_s]
        for kind in busy or ["queue"]:
            spent[kind] += Fraction(1, max(1, len(busy)))
    return spent


@given(st.integers(0, 10), st.integers(0, 15), on_a_grid)
def test_it_agrees_with_asking_second_by_second(
    start: int, length: int, intervals: list[Interval]
) -> None:
    split = split_wall_time(start, start + length, intervals)
    expected = second_by_second(start, start + length, intervals)
    assert split.queue_s == pytest.approx(float(expected["queue"]), abs=1e-9)
    for kind in KINDS:
        assert getattr(split, f"{kind}_s") == pytest.approx(float(expected[kind]), abs=1e-9)


@given(st.floats(0, 1e4), st.floats(0, 1e4), anywhere)
def test_the_parts_add_up_to_the_wall_time(
    start: float, length: float, intervals: list[Interval]
) -> None:
    end = start + length
    split = split_wall_time(start, end, intervals)
    assert split.wall_s == pytest.approx(end - start, abs=1e-6)
    assert min(split.queue_s, split.startup_s, split.transfer_s, split.compute_s) >= -1e-9


@given(anywhere, st.randoms(use_true_random=False))
def test_the_order_of_the_intervals_does_not_matter(
    intervals: list[Interval], random: object
) -> None:
    shuffled = sorted(intervals, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert split_wall_time(0.0, 100.0, shuffled) == split_wall_time(0.0, 100.0, intervals)


def test_without_work_all_is_queueing() -> None:
    split = split_wall_time(10.0, 25.0, [])
    assert (split.queue_s, split.startup_s, split.transfer_s, split.compute_s) == (15, 0, 0, 0)


def test_workers_that_do_the_same_at_once_are_counted_once() -> None:
    split = split_wall_time(0.0, 10.0, [Interval("compute", 2.0, 8.0)] * 50)
    assert split.queue_s == pytest.approx(4.0)
    assert split.compute_s == pytest.approx(6.0)


def test_workers_that_do_different_things_at_once_share_the_moment() -> None:
    busy = [Interval("compute", 0.0, 4.0)] * 3 + [Interval("transfer", 0.0, 4.0)]
    split = split_wall_time(0.0, 4.0, busy)
    assert (split.compute_s, split.transfer_s) == (3.0, 1.0)


def test_what_lies_outside_is_cut_off() -> None:
    outside = [Interval("startup", -5.0, 1.0), Interval("compute", 9.0, 20.0)]
    split = split_wall_time(0.0, 10.0, outside)
    assert (split.startup_s, split.queue_s, split.compute_s) == (1.0, 8.0, 1.0)


def test_an_unknown_kind_is_not_attributed_to_anything() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        split_wall_time(0.0, 1.0, [Interval("lunch", 0.0, 1.0)])
