"""Compare the counting of 4-mers in step `sketch` with scikit-learn's CountVectorizer.

    python -m bench.frequencies_vs_sklearn [--reads N] [--runs N]

Both have the reads in memory, ours as the bytes of the file, CountVectorizer as strings, and count
the 4-mers of every read; those over a base that is not A, C, G or T do not count. CountVectorizer
gets its vocabulary, the 256 4-mers, so that it need not look for one. Ours adds up a 4-mer and its
reverse complement (136 columns); of CountVectorizer's counts that is done afterwards, not timed,
and all counts must be the same. Ours finds the minimizers of every read in the same pass; what that
takes counts as well. Compared are processor seconds on one core.
"""

import argparse
import itertools
import os
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from bench.generated_reads import generated_pair
from bench.peers import Result, in_turn, middle, write
from workflows.read_clustering.fastq import Records, read_records
from workflows.read_clustering.sketch import TETRAMER_COLUMNS, TETRAMERS, _fill_rows

GOAL = 30.0
WORDS = ["".join(letters) for letters in itertools.product("ACGT", repeat=4)]


def count_reads(block: Records) -> NDArray[np.uint16]:
    """Sketch every read of a block; return its counts of 4-mers, [reads, 136]."""
    reads = len(block.line_ends)
    hashes = np.empty(int(block.lengths.sum()), np.uint64)
    counts = np.zeros((reads, TETRAMERS), np.uint16)
    rows = hashes, np.zeros(reads, np.int64), counts
    _fill_rows(block.data, block.line_ends.reshape(reads, 1, 4), 21, 8, rows)
    return counts


def folded(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return counts[reads, 256] with each 4-mer added to its reverse complement: [reads, 136]."""
    columns = np.zeros((len(counts), TETRAMERS), np.int64)
    for code, column in enumerate(TETRAMER_COLUMNS):
        columns[:, column] += counts[:, code]
    return columns


def main() -> None:
    """Read the command line, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    blocks = list(read_records(generated_pair(given.reads)[0]))
    reads = sum(len(block.line_ends) for block in blocks)
    texts = [
        block.data[ends[0] + 1 : ends[1]].tobytes().decode()
        for block in blocks
        for ends in block.line_ends
    ]
    vectorizer = CountVectorizer(
        analyzer="char", ngram_range=(4, 4), lowercase=False, vocabulary=WORDS
    )

    def ours() -> tuple[float, NDArray[np.uint16]]:
        begun_s = time.process_time()
        parts = [count_reads(block) for block in blocks]
        return time.process_time() - begun_s, np.concatenate(parts)

    def sklearn() -> tuple[float, NDArray[np.int64]]:
        begun_s = time.process_time()
        counts = vectorizer.transform(texts)
        return time.process_time() - begun_s, counts.toarray()

    if not np.array_equal(ours()[1], folded(sklearn()[1])):
        raise SystemExit("CountVectorizer and step sketch count different 4-mers")
    found = in_turn(given.runs, ours=lambda: ours()[0], sklearn=lambda: sklearn()[0])
    print(f"{reads:,} reads, {given.runs} runs each, the same counts")
    speeds = {name: reads / middle(several) for name, several in found.items()}
    ratio = speeds["ours"] / speeds["sklearn"]
    write(
        [
            Result(
                "frequencies", speeds["ours"], speeds["sklearn"], ratio, GOAL, "reads/s processor"
            )
        ],
        found,
    )


if __name__ == "__main__":
    main()
