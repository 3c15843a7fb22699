"""Step `quality`: keep the reads of a shard that fastp keeps by default, unchanged.

The rule is that of fastp 0.23 with adapter and poly-G trimming off (`fastp -A -G`), in its order
(https://github.com/OpenGene/fastp, src/filter.cpp, Filter::passFilter): a read fails
  1. for low quality, when more than 40 % of its bases have a quality below 15,
  2. for too many N, when more than 5 of its bases are N,
  3. as too short, when it has fewer than 15 bases.
A pair is kept when both mates pass.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflows.read_clustering.fastq import (
    GzipWriter,
    Places,
    Records,
    kind_of,
    read_records,
)

QUALIFIED_CHARACTER = ord("!") + 15
UNQUALIFIED_PERCENT_LIMIT = 40
N_BASE_LIMIT = 5
LENGTH_REQUIRED_BASES = 15
GZIP_LEVEL = 1

# fastp's figures (src/common.h): of two mates that fail, the pair gets the greater one.
PASS, TOO_MANY_N, TOO_SHORT, LOW_QUALITY = 0, 12, 16, 20


def run(inputs: list[Path], output: Path) -> dict[str, int]:
    """Filter the shard `inputs[0]` into the gzip file `output`, same order, same kind.

    Returns reads_in, reads_out, bases_in, bases_out, and the dropped reads by reason: low_quality,
    too_many_n, too_short. As in fastp's report, a read counts under the first rule that it fails,
    and both mates of a dropped pair count under the worse of their two (low quality before too
    short before too many N).

    Raises:
        UserError: the shard's name or its content is not that of a shard.

    """
    shard = inputs[0]
    paired = kind_of(shard) == "paired"
    counts = np.zeros(7, np.int64)
    with GzipWriter(output, GZIP_LEVEL) as kept_reads:
        for records in read_records(shard, 2 if paired else 1):
            verdicts = _verdicts(records)
            if paired:
                verdicts = np.repeat(verdicts.reshape(-1, 2).max(axis=1), 2)
            counts += _counts(records.lengths, verdicts)
            _write_kept(records, verdicts == PASS, kept_reads)
    names = ("reads_in", "reads_out", "bases_in", "bases_out")
    reasons = ("low_quality", "too_many_n", "too_short")
    return dict(zip(names + reasons, counts.tolist(), strict=True))


def _verdicts(records: Records) -> NDArray[np.uint8]:
    """Return fastp's verdict on each read by itself, uint8[n]."""
    data, ends, lengths = records.data, records.line_ends, records.lengths
    low = _count_within(data < QUALIFIED_CHARACTER, ends[:, 2] + 1, ends[:, 3])
    unknown = _count_within(data == ord("N"), ends[:, 0] + 1, ends[:, 1])
    return np.select(
        [
            100 * low > UNQUALIFIED_PERCENT_LIMIT * lengths,
            unknown > N_BASE_LIMIT,
            lengths < LENGTH_REQUIRED_BASES,
        ],
        [np.uint8(LOW_QUALITY), np.uint8(TOO_MANY_N), np.uint8(TOO_SHORT)],
        np.uint8(PASS),
    )


def _count_within(mask: NDArray[np.bool_], starts: Places, ends: Places) -> Places:
    """Return how many places are set in mask[start:end] of every range, int64[n].

    Counts 64 places at a time: a machine word each, summed up once, and the part of a word that
    lies before a range's end cut out by a mask. Ten times as fast as np.add.reduceat.
    """
    packed = np.packbits(mask, bitorder="little")
    words = np.zeros(len(packed) // 8 + 1, np.dtype("<u8"))
    words.view(np.uint8)[: len(packed)] = packed
    before = np.cumsum(np.bitwise_count(words), dtype=np.int64) - np.bitwise_count(words)

    def rank(places: Places) -> Places:
        below = (np.uint64(1) << (places & 63).astype(np.uint64)) - np.uint64(1)
        ranks: Places = before[places >> 6] + np.bitwise_count(words[places >> 6] & below)
        return ranks

    counts: Places = rank(ends) - rank(starts)
    return counts


def _counts(lengths: Places, verdicts: NDArray[np.uint8]) -> Places:
    kept = verdicts == PASS
    return np.array(
        [
            len(lengths),
            np.count_nonzero(kept),
            lengths.sum(),
            lengths[kept].sum(),
            *(np.count_nonzero(verdicts == v) for v in (LOW_QUALITY, TOO_MANY_N, TOO_SHORT)),
        ],
        np.int64,
    )


def _write_kept(records: Records, kept: NDArray[np.bool_], output: GzipWriter) -> None:
    """Write the kept reads; neighbours go out together, as most reads are kept."""
    changes = np.diff(kept.astype(np.int8), prepend=0, append=0)
    bounds = records.bounds
    firsts, lasts = bounds[changes == 1].tolist(), bounds[changes == -1].tolist()
    text = memoryview(records.data)
    output.write(b"".join([text[a:b] for a, b in zip(firsts, lasts, strict=True)]))
