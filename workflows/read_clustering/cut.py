"""Step `cut`: one sample's FASTQ files, each read once, become shards of equal size.

Which files are mates follows from their names: `x_R1` and `x_R2` (also within a name, as in
`x_R1_001`), or `x_1` and `x_2`, `x.1` and `x.2` at the end. All other files are single reads.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from placement.errors import UserError
from workflows.read_clustering.fastq import (
    Bytes,
    GzipWriter,
    Kind,
    Places,
    Records,
    first_word_ends,
    gather,
    read_records,
)

EXTENSION = re.compile(r"(\.(fastq|fq|txt))?(\.(gz|bgz|bgzf))?$", re.IGNORECASE)
MATE_PATTERNS = (
    re.compile(r"(?P<head>(?:.*[._-])?)[Rr](?P<mate>[12])(?P<tail>(?:[._-].*)?)"),
    re.compile(r"(?P<head>.*[._-])(?P<mate>[12])(?P<tail>)"),
)
MATE_SEPARATORS = np.frombuffer(b"/._", np.uint8)
SHARD_LIMIT = 100_000
MATES_AT_ONCE = 100_000  # each takes some hundred bytes while it is interleaved
GZIP_LEVELS = range(4)


@dataclass(frozen=True)
class Unit:
    """What is read together: one file of single reads, or two files of mates."""

    files: tuple[Path, ...]

    @property
    def kind(self) -> Kind:
        """Which kind of shard it goes to."""
        return "single" if len(self.files) == 1 else "paired"


@dataclass(frozen=True)
class Fragments:
    """Some fragments, ready to be written: fragment i is data[bounds[i] : bounds[i + 1]]."""

    data: Bytes
    bounds: Places
    bases: int


def run(
    inputs: list[Path], output: Path, reads_per_shard: int = 20_000, level: int = 1
) -> dict[str, int]:
    """Write the shards 00000.single.fastq.gz or 00000.paired.fastq.gz, ... into `output`.

    A shard has `reads_per_shard` reads, or pairs (interleaved), only the last of a kind has fewer;
    `level` is python-isal's, 0 (fastest) to 3 (smallest). Files are taken in the order of their
    names. Memory does not grow with the input.

    Returns reads, fragments (reads, or pairs), bases and shards.

    Raises:
        UserError: a file is empty or malformed, mates do not match, or a parameter is out of range.

    """
    if reads_per_shard < 1:
        raise UserError(f"reads_per_shard is {reads_per_shard}; give 1 or more")
    if level not in GZIP_LEVELS:
        raise UserError(f"level is {level}; give 0 (fastest) to 3 (smallest)")
    output.mkdir()
    counts = {"reads": 0, "fragments": 0, "bases": 0}
    with _Shards(output, reads_per_shard, level) as shards:
        for unit in pair_up(inputs):
            found = 0
            for fragments in _fragments(unit):
                shards.write(unit.kind, fragments)
                found += len(fragments.bounds) - 1
                counts["bases"] += fragments.bases
            if not found:
                raise UserError(f"{unit.files[0].name}: has no reads; upload the file again")
            counts["fragments"] += found
            counts["reads"] += found * len(unit.files)
    return counts | {"shards": shards.count}


def pair_up(files: list[Path]) -> list[Unit]:
    """Return the files as mates or single ones, by their names alone, sorted by name.

    Raises:
        UserError: two files have the same name, or are the same mate of one pair.

    """
    groups: dict[tuple[str, ...], dict[str, Path]] = defaultdict(dict)
    for file in sorted(files, key=lambda file: (file.name, file)):
        key, mate = _pair_key(file.name)
        if mate in groups[key]:
            raise UserError(
                f"{groups[key][mate].name} and {file.name} are the same reads by their names; "
                "rename or leave out one"
            )
        groups[key][mate] = file
    units = []
    for group in groups.values():
        if group.keys() == {"1", "2"}:
            units.append(Unit((group["1"], group["2"])))
        else:
            units.extend(Unit((file,)) for file in group.values())
    return sorted(units, key=lambda unit: unit.files[0].name)


def _pair_key(name: str) -> tuple[tuple[str, ...], str]:
    """Return what both mates' names share, and which mate this is ("" for none)."""
    stem = EXTENSION.sub("", name, count=1)
    for number, pattern in enumerate(MATE_PATTERNS):
        match = pattern.fullmatch(stem)
        if match:
            return (str(number), match["head"], match["tail"]), match["mate"]
    return (stem, name), ""


def _fragments(unit: Unit) -> Iterator[Fragments]:
    if unit.kind == "paired":
        yield from _interleaved(*unit.files)
        return
    for records in read_records(unit.files[0]):
        yield Fragments(records.data, records.bounds, int(records.lengths.sum()))


def _interleaved(first: Path, second: Path) -> Iterator[Fragments]:
    """Yield the pairs of two files, which are read in step.

    Raises:
        UserError: one file has more reads than the other, or the mates' names do not match.

    """
    blocks = read_records(first), read_records(second)
    held: list[Records | None] = [None, None]
    done = 0
    while True:
        for i in (0, 1):
            if held[i] is None:
                held[i] = next(blocks[i], None)
        left, right = held
        if left is None and right is None:
            return
        if left is None or right is None:
            long, short = (first, second) if right is None else (second, first)
            raise UserError(
                f"{short.name} ends after record {done}, {long.name} goes on: mates' files must "
                "have the same number of reads; upload both again"
            )
        size = min(len(left.line_ends), len(right.line_ends), MATES_AT_ONCE)
        now, held[0] = _divide(left, size)
        mates, held[1] = _divide(right, size)
        _check_names(now, mates, (first, second), done)
        done += size
        yield _interleave(now, mates)


def _divide(records: Records, size: int) -> tuple[Records, Records | None]:
    """Return the first `size` records and the others, if there are any."""
    if size == len(records.line_ends):
        return records, None
    at = records.line_ends[size - 1, 3] + 1
    return (
        Records(records.data[:at], records.line_ends[:size]),
        Records(records.data[at:], records.line_ends[size:] - at),
    )


def _interleave(left: Records, right: Records) -> Fragments:
    bounds = [records.bounds for records in (left, right)]
    pieces: list[memoryview] = [memoryview(b"")] * (2 * len(left.line_ends))
    for i, records in enumerate((left, right)):
        text, places = memoryview(records.data), bounds[i].tolist()
        # Slices joined at C speed: four times as fast as numpy's indexing byte by byte.
        pieces[i::2] = [text[a:b] for a, b in pairwise(places)]
    data = np.frombuffer(b"".join(pieces), np.uint8)
    return Fragments(data, bounds[0] + bounds[1], int(left.lengths.sum() + right.lengths.sum()))


def _check_names(left: Records, right: Records, files: tuple[Path, Path], done: int) -> None:
    """Raise unless the first words of the headers are equal, but for a final /1 and /2.

    `.1` and `.2`, `_1` and `_2` are taken likewise (the names that SRA's fastq-dump gives).
    """
    ends = first_word_ends(left), first_word_ends(right)
    starts = left.bounds[:-1] + 1, right.bounds[:-1] + 1
    last = left.data[ends[0] - 1], right.data[ends[1] - 1]
    separator = left.data[ends[0] - 2], right.data[ends[1] - 2]
    numbered = (last[0] == ord("1")) & (last[1] == ord("2"))
    numbered &= (separator[0] == separator[1]) & np.isin(separator[0], MATE_SEPARATORS)
    lengths = [ends[i] - starts[i] - 2 * numbered for i in (0, 1)]
    unequal = lengths[0] != lengths[1]
    if not unequal.any():
        names = gather(left.data, starts[0], lengths[0]), gather(right.data, starts[1], lengths[1])
        owners = np.repeat(np.arange(len(unequal)), lengths[0])
        unequal[owners[names[0] != names[1]]] = True
    if unequal.any():
        bad = int(unequal.argmax())
        words = [
            records.data[starts[i][bad] : ends[i][bad]].tobytes().decode(errors="replace")
            for i, records in enumerate((left, right))
        ]
        raise UserError(
            f"{files[0].name} and {files[1].name}: record {done + bad + 1} is {words[0]!r} in one "
            f"and {words[1]!r} in the other; give mates in the same order, or rename the files if "
            "they are not mates"
        )


class _Shards:
    """The shards being written, one open at a time; each holds one kind."""

    def __init__(self, directory: Path, size: int, level: int) -> None:
        self.count = 0
        self._directory = directory
        self._size = size
        self._level = level
        self._kind: Kind | None = None
        self._free = 0
        self._writer: GzipWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._close()

    def write(self, kind: Kind, fragments: Fragments) -> None:
        """Append the fragments, opening new shards where one is full or of another kind."""
        begin, end = 0, len(fragments.bounds) - 1
        while begin < end:
            writer = self._open(kind)
            stop = min(end, begin + self._free)
            writer.write(fragments.data[fragments.bounds[begin] : fragments.bounds[stop]])
            self._free -= stop - begin
            begin = stop

    def _open(self, kind: Kind) -> GzipWriter:
        if self._writer is not None and self._free and self._kind == kind:
            return self._writer
        self._close()
        if self.count == SHARD_LIMIT:
            raise UserError(
                f"more than {SHARD_LIMIT} shards of {self._size} reads; raise reads_per_shard"
            )
        path = self._directory / f"{self.count:05d}.{kind}.fastq.gz"
        self._writer = GzipWriter(path, self._level)
        self._kind, self._free = kind, self._size
        self.count += 1
        return self._writer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
