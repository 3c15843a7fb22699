"""Step `sketch`: what the clustering needs to know of each fragment, as columns of one npz file.

Minimizers (Roberts et al. 2004, doi:10.1093/bioinformatics/bth408): of every `window` consecutive
k-mers the one with the smallest hash. Two reads that share k + window - 1 bases without an error
share a minimizer for certain; a FracMinHash of the same density only does so with some chance,
which for overlaps of short reads is what counts. A k-mer and its reverse complement are one; the
hash is splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195) of its canonical 2-bit code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from placement.errors import UserError
from workflows.read_clustering.fastq import (
    WHITESPACE,
    Bytes,
    Places,
    Records,
    gather,
    kind_of,
    read_records,
)

K_RANGE = range(4, 32)
WINDOW_RANGE = range(1, 256)
NO_BASE = 4
TETRAMER_BASES = 4
TETRAMERS = 136
COUNT_LIMIT = 65_535
BUCKETS = 1 << 12
SMALL_BUCKET = 16

type Hashes = NDArray[np.uint64]
type Counts = NDArray[np.uint16]


def _base_codes() -> Bytes:
    """Return uint8[256]: A 0, C 1, G 2, T 3 in either case, so that 3 - code is the complement."""
    codes = np.full(256, NO_BASE, np.uint8)
    for code, base in enumerate(b"ACGT"):
        codes[[base, base + ord("a") - ord("A")]] = code
    return codes


def _tetramer_columns() -> Bytes:
    """Return uint8[256]: the column of each 4-mer's code, numbered in canonical order (136)."""
    codes = np.arange(256)
    digits = [(codes >> shift) & 3 for shift in (6, 4, 2, 0)]
    complements = sum((3 - digit) << (2 * place) for place, digit in enumerate(digits))
    canonical = np.minimum(codes, complements)
    return np.unique(canonical, return_inverse=True)[1].astype(np.uint8)


BASE_CODES = _base_codes()
TETRAMER_COLUMNS = _tetramer_columns()


@dataclass(frozen=True)
class Sketches:
    """The rows of some fragments; columns as in the npz file, lengths in place of offsets."""

    name_bytes: Bytes
    name_lengths: Places
    bases: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    hash_counts: Places
    tetra: NDArray[np.uint16]


def run(inputs: list[Path], output: Path, k: int = 21, window: int = 8) -> dict[str, int]:
    """Sketch the shard `inputs[0]` into `output`, an uncompressed npz with a row per fragment.

    Columns: name_bytes uint8, name_offsets int64[n + 1]; bases int32[n]; hashes uint64, sorted and
    without repeats in each fragment, hash_offsets int64[n + 1]; tetra[n, 136], counts of the
    canonical 4-mers, at most 65,535, uint8 where none is above 255, else uint16; k int64; scale
    float64, k-mers per kept one, (window + 1) / 2. Neither k-mers nor 4-mers go over an N or from
    mate to mate. A stretch of fewer than `window` k-mers gives its smallest.

    Returns fragments, bases and hashes.

    Raises:
        UserError: a parameter is out of range, or the shard is malformed.

    """
    if k not in K_RANGE:
        raise UserError(f"k is {k}; give {K_RANGE[0]} to {K_RANGE[-1]}")
    if window not in WINDOW_RANGE:
        raise UserError(f"window is {window}; give {WINDOW_RANGE[0]} to {WINDOW_RANGE[-1]}")
    shard = inputs[0]
    mates = 2 if kind_of(shard) == "paired" else 1
    parts = [_sketch(records, mates, k, window) for records in read_records(shard, mates)]
    sketches = _joined(parts)
    with output.open("xb") as file:
        np.savez(
            file,
            name_bytes=sketches.name_bytes,
            name_offsets=_offsets(sketches.name_lengths),
            bases=sketches.bases,
            hash_offsets=_offsets(sketches.hash_counts),
            hashes=sketches.hashes,
            tetra=_narrow(sketches.tetra),
            k=np.int64(k),
            scale=np.float64((window + 1) / 2),
        )
    return {
        "fragments": len(sketches.bases),
        "bases": int(sketches.bases.sum(dtype=np.int64)),
        "hashes": len(sketches.hashes),
    }


def _narrow(counts: NDArray[np.uint16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return counts in one byte each if they fit: they are a third of what a shard holds."""
    if counts.max(initial=0) > np.iinfo(np.uint8).max:
        return counts
    return counts.astype(np.uint8)


def _sketch(records: Records, mates: int, k: int, window: int) -> Sketches:
    lengths = records.lengths
    fragments = len(lengths) // mates
    name_starts, name_lengths = _names(records, mates)
    hashes = np.empty(int(np.maximum(lengths - k + 1, 0).sum()), np.uint64)
    hash_counts = np.zeros(fragments, np.int64)
    tetra = np.zeros((fragments, TETRAMERS), np.uint16)
    used = _fill_rows(
        records.data,
        records.line_ends.reshape(fragments, mates, 4),
        k,
        window,
        (hashes, hash_counts, tetra),
    )
    hashes.resize(used, refcheck=False)
    return Sketches(
        name_bytes=gather(records.data, name_starts, name_lengths),
        name_lengths=name_lengths,
        bases=lengths.reshape(-1, mates).sum(axis=1).astype(np.int32),
        hashes=hashes,
        hash_counts=hash_counts,
        tetra=tetra,
    )


def _names(records: Records, mates: int) -> tuple[Places, Places]:
    """Return start and length of each fragment's id: its first header's first word, no /1, /2."""
    data = records.data
    starts = records.bounds[:-1:mates] + 1
    ends = _word_ends(data, starts, records.line_ends[::mates, 0].copy())
    last = data[ends - 1]
    numbered = (data[ends - 2] == ord("/")) & ((last == ord("1")) | (last == ord("2")))
    return starts, ends - starts - 2 * numbered


def _joined(parts: list[Sketches]) -> Sketches:
    """Return the rows of all parts; no parts give no rows."""

    def column(name: str, empty: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([empty, *(getattr(part, name) for part in parts)])

    return Sketches(
        name_bytes=column("name_bytes", np.empty(0, np.uint8)),
        name_lengths=column("name_lengths", np.empty(0, np.int64)),
        bases=column("bases", np.empty(0, np.int32)),
        hashes=column("hashes", np.empty(0, np.uint64)),
        hash_counts=column("hash_counts", np.empty(0, np.int64)),
        tetra=column("tetra", np.empty((0, TETRAMERS), np.uint16)),
    )


def _offsets(lengths: Places) -> Places:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))


def _compiled[F: Callable[..., Any]](signature: str) -> Callable[[F], F]:
    """Compile on import, once on a machine: later imports load it from numba's cache."""
    return cast("Callable[[F], F]", numba.njit(signature, cache=True, nogil=True))


@_compiled("u8(u8)")
def _mix(code: np.uint64) -> np.uint64:
    """Return splitmix64's output for the state `code`, a bijection of the 64-bit numbers."""
    z = code + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_compiled("i8[::1](u1[::1], i8[::1], i8[::1])")
def _word_ends(data: Bytes, starts: Places, limits: Places) -> Places:
    """Return where the word that begins at each start ends: at white space, or at its limit."""
    ends = limits.copy()
    for i in range(len(starts)):
        for place in range(starts[i], limits[i]):
            if data[place] == WHITESPACE[0] or data[place] == WHITESPACE[1]:
                ends[i] = place
                break
    return ends


@_compiled("i8(u8[::1], u8[::1])")
def _put_changes(values: Hashes, found: Hashes) -> int:
    """Put each value that differs from the one before into `found`; return how many.

    `found` may be `values`. An unsigned index is one that is not looked at for being negative.
    """
    if len(values) == 0:
        return 0
    kept, before = np.uint64(1), values[0]
    found[0] = before
    for i in range(1, len(values)):
        value = values[i]
        found[kept] = value
        kept += np.uint64(value != before)
        before = value
    return int(kept)


@_compiled("i8(u8[::1], u8[::1], i8, u8[::1])")
def _put_minima(kmers: Hashes, spare: Hashes, window: int, found: Hashes) -> int:
    """Hash k-mers and put the minima of their windows into `found`; return how many.

    The minimum of 2, 4, 8, ... neighbours comes from two of half as many, and that of `window`
    from two that overlap: passes without branches, from one array into the other, which the
    processor does several numbers at a time. Both are overwritten.
    """
    count = len(kmers)
    if count == 0:
        return 0
    for i in range(count):
        kmers[i] = _mix(kmers[i])
    span, width = min(window, count), 1
    while width < span:
        step = min(width, span - width)
        count -= step
        near, far = kmers[:count], kmers[step : step + count]
        for i in range(count):
            spare[i] = min(near[i], far[i])
        kmers, spare = spare, kmers
        width += step
    return _put_changes(kmers[:count], found)


@_compiled("i8(u1[::1], i8, i8, u8[:,::1], u8[::1], u2[::1])")
def _add_sequence(
    sequence: Bytes, k: int, window: int, spare: Hashes, found: Hashes, tetra: Counts
) -> int:
    """Put a sequence's minimizers into `found` and return how many; add its 4-mers to `tetra`.

    `spare` is two rows as long as the sequence. Counts of 4-mers stop at COUNT_LIMIT.
    """
    mask = (np.uint64(1) << np.uint64(2 * k)) - np.uint64(1)
    top = np.uint64(2 * (k - 1))
    kmers = spare[0]
    forward = reverse = end = np.uint64(0)  # kmers[:end] are those of the stretch at hand
    bases = used = 0
    for position in range(len(sequence)):
        code = np.uint64(BASE_CODES[sequence[position]])
        if code == NO_BASE:
            used += _put_minima(kmers[: int(end)], spare[1], window, found[used:])
            end = np.uint64(0)
            bases = 0
            continue
        forward = (forward << np.uint64(2)) | code
        reverse = (reverse >> np.uint64(2)) | ((np.uint64(3) - code) << top)
        bases += 1
        if bases >= TETRAMER_BASES:
            column = TETRAMER_COLUMNS[forward & np.uint64(255)]
            if tetra[column] < COUNT_LIMIT:
                tetra[column] += 1
        if bases >= k:
            kmers[end] = min(forward & mask, reverse)
            end += np.uint64(1)
    return used + _put_minima(kmers[: int(end)], spare[1], window, found[used:])


@_compiled("void(u8[::1], i8)")
def _shell_sort(values: Hashes, gap: int) -> None:
    """Sort, in steps that begin with `gap`."""
    while gap:
        for i in range(gap, len(values)):
            value = values[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap = 1 if gap == 2 else gap * 5 // 11  # noqa: PLR2004 - steps shrink by 2.2, down to 1


@_compiled("i8(u8[::1], u8[::1], u8[::1])")
def _sort_unique(hashes: Hashes, spare: Hashes, ends: Hashes) -> int:
    """Sort hashes and move each value once to the front; return how many there are.

    Hashes are spread evenly enough that their first bits bring each close to its place: into twice
    as many buckets as there are hashes, if `ends` has so many. A Shell sort does the rest, its
    first step no wider than the largest bucket: nothing has further to go. `spare` is at least as
    long as `hashes`, the length of `ends` is a power of two.
    """
    count = len(hashes)
    bits = 1
    while (1 << bits) < 2 * count and (2 << bits) <= len(ends):
        bits += 1
    shift = np.uint64(64 - bits)
    ends = ends[: 1 << bits]
    ends[:] = 0
    for i in range(count):
        ends[hashes[i] >> shift] += np.uint64(1)
    begin = largest = np.uint64(0)
    for bucket in range(len(ends)):
        size = ends[bucket]
        ends[bucket] = begin
        begin += size
        largest = max(largest, size)
    for i in range(count):
        value = hashes[i]
        bucket = value >> shift
        spare[ends[bucket]] = value
        ends[bucket] += np.uint64(1)
    _shell_sort(spare[:count], int(largest) // 2 if largest > SMALL_BUCKET else 1)
    return _put_changes(spare[:count], hashes)


@_compiled("i8(u1[::1], i8[:,:,::1], i8, i8, Tuple((u8[::1], i8[::1], u2[:,::1])))")
def _fill_rows(
    data: Bytes,
    line_ends: Places,
    k: int,
    window: int,
    rows: tuple[Hashes, Places, NDArray[np.uint16]],
) -> int:
    """Sketch every fragment, line_ends being [fragments, mates, 4]; return how many hashes."""
    hashes, hash_counts, tetra = rows
    longest = 0
    for fragment in range(len(line_ends)):
        bases = 0
        for mate in range(line_ends.shape[1]):
            bases += line_ends[fragment, mate, 1] - line_ends[fragment, mate, 0] - 1
        longest = max(longest, bases)
    spare, bucket_ends = np.empty((2, longest), np.uint64), np.empty(BUCKETS, np.uint64)
    used = 0
    for fragment in range(len(line_ends)):
        mine = hashes[used:]
        count = 0
        for mate in range(line_ends.shape[1]):
            ends = line_ends[fragment, mate]
            sequence = data[ends[0] + 1 : ends[1]]
            count += _add_sequence(sequence, k, window, spare, mine[count:], tetra[fragment])
        count = _sort_unique(mine[:count], spare[0], bucket_ends)
        hash_counts[fragment] = count
        used += count
    return used
