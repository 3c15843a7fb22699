"""Generated samples: paired reads of random genomes, kept in out/bench, the same every time."""

from pathlib import Path

import numpy as np

from bench.peers import RESULTS
from workflows.read_clustering.fastq import GzipWriter
from workflows.read_clustering.simulate import (
    Genome,
    ReadModel,
    ReadPairs,
    Record,
    encode,
    fastq,
    simulate,
)

GENOME_PAIRS = 50_000
COVERAGE = 25.0  # of most genomes, so deep that their reads are whole components
THIN_COVERAGE = 2.0  # left in pieces: these are what the eigensolver has to join
THIN_GC = (0.42, 0.53)
THIN_GENOMES = len(THIN_GC)
THIN_BASES = 150_000
READ_BASES = ReadModel().read_bases


def generated_pair(reads: int) -> list[Path]:
    """Return the two files of a sample of at least `reads` reads (half as many pairs).

    A genome makes GENOME_PAIRS pairs, so memory does not grow with the number of reads. Two thin
    genomes come besides.
    """
    folder = RESULTS / "reads"
    files = [folder / f"g{reads}_R{mate}.fastq.gz" for mate in (1, 2)]
    if all(file.exists() for file in files):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    # Under their own names only when they are complete.
    parts = [file.with_suffix(".part") for file in files]
    for part in parts:
        part.unlink(missing_ok=True)
    with GzipWriter(parts[0], 1) as first, GzipWriter(parts[1], 1) as second:
        number, left = 0, reads // 2
        while left > 0 or number < THIN_GENOMES:
            pairs = _pairs_of_genome(number, max(left, 1))
            for mate, writer in enumerate((first, second)):
                writer.write(fastq(pairs, mate, f"g{number}"))
            left -= len(pairs) if number >= THIN_GENOMES else 0
            number += 1
    for part, file in zip(parts, files, strict=True):
        part.replace(file)
    return files


def _pairs_of_genome(number: int, most: int) -> ReadPairs:
    """Draw one genome and its reads."""
    random = np.random.default_rng((2026, number))
    if number < THIN_GENOMES:
        bases, coverage, gc = THIN_BASES, THIN_COVERAGE, THIN_GC[number]
    else:
        bases = round(min(most, GENOME_PAIRS) * 2 * READ_BASES / COVERAGE)
        coverage, gc = COVERAGE, 0.35 + 0.3 * random.random()
    shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    letters = random.choice(np.frombuffer(b"ACGT", np.uint8), max(bases, 1000), p=shares)
    sequence = Record(f"g{number}", encode(letters.tobytes().decode()))
    return simulate((Genome(f"g{number}", f"g{number}", coverage, (sequence,)),), ReadModel(), 7)
