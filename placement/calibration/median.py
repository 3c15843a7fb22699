"""The median that fits take of what has modes, such as a cold and a warm one."""

from collections.abc import Sequence


def observed_median(values: Sequence[float]) -> float:
    """Return the median of values in order of time: one of them, of two middle ones the newer.

    Between two modes nothing ever lies, and what was seen last is the likelier one.
    """
    ranked = sorted(range(len(values)), key=lambda i: (values[i], i))
    middle = {ranked[(len(values) - 1) // 2], ranked[len(values) // 2]}
    return values[max(middle)]
