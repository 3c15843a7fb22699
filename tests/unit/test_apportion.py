"""A whole is divided exactly, and nobody gets a unit more or less than its fair share."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.apportion import apportion

weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any)


def test_a_remainder_goes_to_the_largest_and_of_equals_to_the_first() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(10, [6, 3, 3]) == [5, 3, 2]
    assert apportion(7, [0, 5, 0]) == [0, 7, 0]
    assert apportion(0, [0, 0]) == [0, 0]
    assert apportion(0, []) == []


@given(st.integers(0, 10**18), weights)
def test_shares_add_up_and_each_is_its_quota_rounded_up_or_down(
    whole: int, given_weights: list[int]
) -> None:
    shares = apportion(whole, given_weights)
    assert sum(shares) == whole
    for share, weight in zip(shares, given_weights, strict=True):
        quota = Fraction(whole * weight, sum(given_weights))
        assert share >= 0
        assert abs(share - quota) < 1


@pytest.mark.parametrize(("whole", "wrong"), [(1, []), (1, [0]), (-1, [1]), (1, [2, -1])])
def test_what_cannot_be_divided_is_an_error(whole: int, wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        apportion(whole, wrong)
