"""Divides a whole number exactly: the largest-remainder method (Hamilton's)."""

from collections.abc import Sequence


def apportion(whole: int, weights: Sequence[int]) -> list[int]:
    """Divide `whole` in proportion to the weights; the shares are whole and add up to it.

    What rounding down leaves over goes, one each, to the largest remainders, the earlier of equal
    ones first. Amounts of money or time are given in their smallest unit. O(n log n).

    Raises:
        ValueError: a number is negative, or there is something to divide and no weight.

    """
    total = sum(weights)
    if whole < 0 or any(weight < 0 for weight in weights):
        raise ValueError("a whole and its weights are not negative")
    if total == 0:
        if whole:
            raise ValueError(f"there is no weight by which to divide {whole}")
        return [0] * len(weights)
    shares = [whole * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(whole * weights[i] % total), i))
    for index in by_remainder[: whole - sum(shares)]:
        shares[index] += 1
    return shares
