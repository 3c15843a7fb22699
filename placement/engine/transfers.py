"""Which file is on which node since when, and how long moving files takes; compiled."""

from __future__ import annotations

import math

import numpy as np

from placement.engine.compiled import Ints
from placement.engine.jit import bare, njit

_EMPTY = -1


@bare
def moving_ms(count: int, size: int, latency_s: float, at_once: float, mb_per_s: float) -> int:
    """Return how long it takes (ms) to move `count` files of `size` bytes together."""
    if count == 0:
        return 0
    seconds = math.ceil(count / at_once) * latency_s + size / 1e6 / mb_per_s
    return math.ceil(round(seconds * 1000.0, 6))


@njit(cache=True)
def new_table(entries: int) -> Ints:
    """Return a hash table, with open addressing, that has room for so many files on nodes.

    Shape (slots, 2): the file on its node, as one number, and since when it is there (ms).
    """
    slots = 16
    while slots < 2 * entries:
        slots *= 2
    return np.full((slots, 2), _EMPTY, np.int64)


@bare
def _slot(table: Ints, key: int) -> int:
    mask = table.shape[0] - 1
    # Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
    at = (key * 0x9E3779B97F4A7C15 >> 17) & mask
    while table[at, 0] != _EMPTY and table[at, 0] != key:
        at = (at + 1) & mask
    return int(at)


@bare
def is_there(table: Ints, files: int, node: int, file: int, now: int) -> bool:
    """Return whether a file, of `files` in all, is on a node by now."""
    at = _slot(table, node * files + file)
    return bool(table[at, 0] != _EMPTY and table[at, 1] <= now)


@bare
def put_there(table: Ints, files: int, node: int, file: int, since: int) -> bool:
    """Note that a file is on a node from some moment on; return whether it was not noted before.

    Of two moments the earlier one counts.
    """
    key = node * files + file
    at = _slot(table, key)
    if table[at, 0] == _EMPTY:
        table[at, 0] = key
        table[at, 1] = since
        return True
    table[at, 1] = min(since, table[at, 1])
    return False
