"""How well clusters agree with known origins."""

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from placement.errors import UserError

JUDGED_BY = ("genus", "origin")


def judged_column(columns: Iterable[str]) -> str:
    """Return the column that a result is judged by: genus, else origin, else the first by name."""
    known = set(columns)
    return next((name for name in JUDGED_BY if name in known), min(known))


def adjusted_rand_index(first: Sequence[object], second: Sequence[object]) -> float:
    """Return the adjusted Rand index of two labellings of the same things: 1 same, about 0 chance.

    Hubert and Arabie 1985, doi:10.1007/BF01908075. Two labellings that leave nothing to chance
    (each all in one cluster, or each all apart) have index 1.
    """
    pairs = np.unique(_numbers(first) + 1j * _numbers(second), return_counts=True)[1]
    joint = _pairs(pairs)
    rows = _pairs(np.unique(_numbers(first), return_counts=True)[1])
    columns = _pairs(np.unique(_numbers(second), return_counts=True)[1])
    everything = len(first) * (len(first) - 1) / 2
    expected = rows * columns / everything if everything else 0.0
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else (joint - expected) / (largest - expected)


def read_truth(path: Path) -> dict[str, dict[str, str]]:
    """Return each column after the first of a tab-separated file with a header, by read id.

    Raises:
        UserError: the file has no second column, or a line has too few.

    """
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        lines = csv.reader(file, delimiter="\t")
        header = next(lines, [])
        if len(header) < 2:  # noqa: PLR2004 - an id and what is known of it
            raise UserError(f"{path.name} needs a header line with a read id and an origin")
        columns: dict[str, dict[str, str]] = {name: {} for name in header[1:]}
        for number, words in enumerate(lines, start=2):
            if len(words) < len(header):
                raise UserError(f"{path.name} line {number} has fewer columns than the header")
            for name, word in zip(header[1:], words[1:], strict=False):
                columns[name][words[0]] = word
    return columns


def scores(
    names: Sequence[str], clusters: Sequence[int], truth: Mapping[str, Mapping[str, str]]
) -> dict[str, float]:
    """Return the index of the clusters against each column of the truth.

    Reads of which the truth says nothing do not count.
    """
    result = {}
    for column, origins in truth.items():
        known = [
            (origins[name], cluster)
            for name, cluster in zip(names, clusters, strict=True)
            if name in origins
        ]
        result[column] = adjusted_rand_index([k[0] for k in known], [k[1] for k in known])
    return result


def _numbers(labels: Sequence[object]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.float64)


def _pairs(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    return float((counts * (counts - 1) / 2).sum())
