"""How well clusters agree with known origins."""

import csv
import gzip
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from placement.errors import UserError

JUDGED_BY = ("genus", "origin")
LINE_LIMIT_CHARACTERS = 100_000


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


def read_truth(path: Path, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return each column after the first of a tab-separated file with a header, by read id.

    Only reads with one of the `names` are kept, so that memory does not follow the file's size.

    Raises:
        UserError: the file is damaged or not text in UTF-8, has no second column, or a line is too
            long or has too few.

    """
    columns: dict[str, dict[str, str]] = {}
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            for number, words in enumerate(csv.reader(_lines(file, path), delimiter="\t"), start=1):
                if number == 1:
                    header = words
                    columns = {name: {} for name in header[1:]}
                elif len(words) < len(header):
                    raise UserError(f"{path.name} line {number} has fewer columns than the header")
                elif words[0] in names:
                    for name, word in zip(header[1:], words[1:], strict=False):
                        columns[name][words[0]] = word
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not text in UTF-8; save it as such") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path.name}: the gzip data are damaged or end too early, in or after line "
            f"{number + 1}; upload the file again"
        ) from error
    except csv.Error as error:
        raise UserError(
            f"{path.name} line {number + 1} is not tab-separated text: {error}"
        ) from error
    if not columns:
        raise UserError(f"{path.name} needs a header line with a read id and an origin")
    return columns


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file, none of which may be so long that it fills memory."""
    number = 0
    while line := file.readline(LINE_LIMIT_CHARACTERS):
        number += 1
        if len(line) == LINE_LIMIT_CHARACTERS:
            raise UserError(
                f"{path.name} line {number} is longer than {LINE_LIMIT_CHARACTERS:,} characters; "
                "check that the file is tab-separated text"
            )
        yield line


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
