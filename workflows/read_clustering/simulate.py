"""Simulate paired Illumina reads of known origin from a folder of genomes, from a seed.

The folder holds FASTA files (plain or gzip) and `genomes.tsv`, which says for each file the origin
(the genome its records belong to), the genus, and the coverage to draw. The result is
`NAME_R1.fastq.gz`, `NAME_R2.fastq.gz` and `NAME.truth.tsv.gz`; read names carry a running number
after a shuffle, so they tell nothing of the origin.

The model. A fragment lies uniformly on its sequence and on either strand; its length is the mean
plus the deviation times a sum of twelve uniform numbers less six (near enough to a normal one).
The reads are its two ends. Qualities take the four levels of Illumina's RTA3 (Q2 for no call,
Q12, Q23, Q37; Illumina, "NovaSeq 6000 System Quality Scores and RTA3 Software"). The share of lower
levels rises with the square of the cycle and differs from read to read by a Pareto factor, so that
a few reads are bad as a whole. A base of quality Q is wrong with probability 10^(-Q/10), that is
what a Phred quality says. With the default profile 0.35 % of the bases of first mates and 0.45 % of
second mates are wrong, four to five times as many in the last ten cycles as in the first ten.

Only uniform numbers of numpy's PCG64, sums, products, quotients and square roots are used: IEEE 754
fixes their results to the last bit, so one seed gives the same reads on every machine.
"""

import argparse
import csv
import gzip
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from placement.errors import UserError

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

PHRED_OFFSET = 33
NO_CALL_Q, LOW_Q, MIDDLE_Q, HIGH_Q = 2, 12, 23, 37
ERROR_CHANCE: Reals = np.zeros(64)
ERROR_CHANCE[[LOW_Q, MIDDLE_Q, HIGH_Q]] = 0.063095734, 0.005011872, 0.000199526  # 10^(-Q/10)
CODE_OF_N = 4
LETTERS: Bytes = np.frombuffer(b"ACGTN", dtype=np.uint8)
COLUMNS = ("file", "origin", "genus", "coverage")


@dataclass(frozen=True)
class Record:
    """One sequence to draw from, named by its accession.

    `codes` uint8[bases] is 0 to 3 for A, C, G, T; all else is 4 and is read as N.
    """

    name: str
    codes: Bytes = field(repr=False)


@dataclass(frozen=True)
class Genome:
    """One origin: its sequences, its genus, and how many times each base is read on average."""

    origin: str
    genus: str
    coverage: float
    sequences: tuple[Record, ...]


@dataclass(frozen=True)
class ReadModel:
    """Lengths in bases, and shares of bases at the first cycle and added up to the last one."""

    read_bases: int = 150
    insert_mean_bases: float = 350.0
    insert_sd_bases: float = 35.0
    low_share_start: float = 0.02
    low_share_rise: float = 0.09
    middle_share_start: float = 0.02
    middle_share_rise: float = 0.06
    no_call_share: float = 0.0002
    second_mate_factor: float = 1.3
    worst_read_factor: float = 16.0


@dataclass(frozen=True)
class ReadPairs:
    """n read pairs in the order in which they are written, with their true places.

    `genome` and `sequence` int64[n] index into the genomes and into that genome's sequences; the
    fragment covers `start` to `start + fragment_bases` (int64[n], counted from 0) and is read from
    the reverse strand where `reverse` bool[n] is set. `codes` and `quality` are
    uint8[2, n, read_bases]: the first and the second mate, Phred values without their offset.
    """

    genome: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    fragment_bases: npt.NDArray[np.int64]
    reverse: npt.NDArray[np.bool_]
    codes: Bytes = field(repr=False)
    quality: Bytes = field(repr=False)

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.start)


def simulate(genomes: Sequence[Genome], model: ReadModel, seed: int) -> ReadPairs:
    """Draw the pairs of every genome and shuffle them.

    Each sequence has random numbers of its own, so a genome more leaves the others' reads as they
    were. Raises UserError for a seed below 0, a sequence shorter than a read, or where nothing is
    to be drawn.
    """
    if seed < 0:
        raise UserError(f"The seed must be 0 or more, not {seed}.")
    drawn = [
        _draw(sequence, genome.coverage, model, np.random.default_rng([seed, i, j]), (i, j))
        for i, genome in enumerate(genomes)
        for j, sequence in enumerate(genome.sequences)
    ]
    total = sum(len(pairs) for pairs in drawn)
    if total == 0:
        raise UserError(
            "No read pair to simulate: give at least one genome with a coverage above 0."
        )
    order = np.argsort(np.random.default_rng([seed]).random(total), kind="stable")
    return ReadPairs(
        genome=np.concatenate([pairs.genome for pairs in drawn])[order],
        sequence=np.concatenate([pairs.sequence for pairs in drawn])[order],
        start=np.concatenate([pairs.start for pairs in drawn])[order],
        fragment_bases=np.concatenate([pairs.fragment_bases for pairs in drawn])[order],
        reverse=np.concatenate([pairs.reverse for pairs in drawn])[order],
        codes=np.concatenate([pairs.codes for pairs in drawn], axis=1)[:, order],
        quality=np.concatenate([pairs.quality for pairs in drawn], axis=1)[:, order],
    )


def encode(letters: str) -> Bytes:
    """Turn bases in either case into codes uint8[bases]: ACGT to 0..3, all else to 4."""
    table = np.full(256, CODE_OF_N, dtype=np.uint8)
    for code, letter in enumerate(b"ACGT"):
        table[letter] = code
        table[ord(chr(letter).lower())] = code
    return table[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]


def read_genomes(folder: Path) -> tuple[Genome, ...]:
    """Read `genomes.tsv` of `folder` and the FASTA files that it names, in its order.

    Raises UserError where the table or a file of it cannot be used.
    """
    table = folder / "genomes.tsv"
    if not table.is_file():
        raise UserError(f"{folder} has no genomes.tsv with the columns {', '.join(COLUMNS)}.")
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise UserError(f"{table} must have the tab-separated columns {', '.join(COLUMNS)}.")
        return tuple(_genome(folder, row, f"{table}, line {rows.line_num}") for row in rows)


def fastq(pairs: ReadPairs, mate: int, name: str) -> bytes:
    """Format one mate (0 or 1) of all pairs as FASTQ text, named `NAME_000000/1` and on."""
    n = len(pairs)
    ends = np.broadcast_to(np.frombuffer(b"\n+\n", dtype=np.uint8), (n, 3))
    headers = "".join(f"@{read_id}/{mate + 1}\n" for read_id in read_ids(n, name))
    text = np.concatenate(
        [
            np.frombuffer(headers.encode(), dtype=np.uint8).reshape(n, -1),
            LETTERS[pairs.codes[mate]],
            ends,
            pairs.quality[mate] + np.uint8(PHRED_OFFSET),
            np.full((n, 1), ord("\n"), dtype=np.uint8),
        ],
        axis=1,
    )
    return text.tobytes()


def truth(pairs: ReadPairs, genomes: Sequence[Genome], name: str) -> str:
    """Format the origins as a table: read_id, origin, genus, source_seq, one line a pair."""
    lines = ["read_id\torigin\tgenus\tsource_seq\n"]
    ids = read_ids(len(pairs), name)
    for read_id, i, j in zip(ids, pairs.genome.tolist(), pairs.sequence.tolist(), strict=True):
        genome = genomes[i]
        lines.append(f"{read_id}\t{genome.origin}\t{genome.genus}\t{genome.sequences[j].name}\n")
    return "".join(lines)


def read_ids(pairs: int, name: str) -> list[str]:
    """Name the pairs `NAME_000000` and on, all of one width."""
    width = max(6, len(str(pairs)))
    return [f"{name}_{number:0{width}d}" for number in range(pairs)]


def write(pairs: ReadPairs, genomes: Sequence[Genome], out: Path, name: str) -> dict[str, int]:
    """Write the three files into `out` and return their compressed sizes in bytes.

    No time stamp goes into them, so the same pairs give the same bytes. Raises UserError for a
    name that could not stand in a read's name.
    """
    if not (name.isascii() and name.isidentifier()):
        raise UserError(f"A sample's name is made of letters, digits and _, unlike {name!r}.")
    contents = {
        f"{name}_R1.fastq.gz": fastq(pairs, 0, name),
        f"{name}_R2.fastq.gz": fastq(pairs, 1, name),
        f"{name}.truth.tsv.gz": truth(pairs, genomes, name).encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    return {
        file: (out / file).write_bytes(gzip.compress(content, 9, mtime=0))
        for file, content in contents.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 when the files are written, 2 when something given is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m workflows.read_clustering.simulate",
        description="Simulate paired Illumina reads of known origin.",
    )
    parser.add_argument("--genomes", type=Path, required=True, help="folder with genomes.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--name", default="demo", help="first part of file and read names")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same reads")
    given = parser.parse_args(arguments)
    try:
        genomes = read_genomes(given.genomes)
        pairs = simulate(genomes, ReadModel(), given.seed)
        sizes = write(pairs, genomes, given.out, given.name)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps({"read_pairs": len(pairs), "file_bytes": sizes}) + "\n")
    return 0


def _draw(
    sequence: Record,
    coverage: float,
    model: ReadModel,
    random: np.random.Generator,
    place: tuple[int, int],
) -> ReadPairs:
    """Draw the pairs of one sequence, first to last."""
    length = len(sequence.codes)
    if length < model.read_bases:
        raise UserError(
            f"{sequence.name} has {length} bases, fewer than a read of {model.read_bases}."
        )
    n = round(coverage * length / (2 * model.read_bases))
    fragment_bases = _fragment_lengths(n, length, model, random)
    start = (random.random(n) * (length - fragment_bases + 1)).astype(np.int64)
    reverse = random.random(n) < 0.5  # noqa: PLR2004 - both strands alike
    left = sequence.codes[start[:, None] + np.arange(model.read_bases)]
    last = (start + fragment_bases)[:, None] - 1 - np.arange(model.read_bases)
    right = _complement(sequence.codes[last])
    first = np.where(reverse[:, None], right, left)
    second = np.where(reverse[:, None], left, right)
    mates = [
        _sequenced(first, 1.0, model, random),
        _sequenced(second, model.second_mate_factor, model, random),
    ]
    return ReadPairs(
        genome=np.full(n, place[0], dtype=np.int64),
        sequence=np.full(n, place[1], dtype=np.int64),
        start=start,
        fragment_bases=fragment_bases,
        reverse=reverse,
        codes=np.stack([codes for codes, _ in mates]),
        quality=np.stack([quality for _, quality in mates]),
    )


def _fragment_lengths(
    n: int, sequence_bases: int, model: ReadModel, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw n lengths, no shorter than a read and no longer than the sequence: int64[n]."""
    deviation = np.full(n, -6.0)
    for _ in range(12):
        deviation = deviation + random.random(n)
    wanted = (model.insert_mean_bases + model.insert_sd_bases * deviation).astype(np.int64)
    return np.minimum(np.maximum(wanted, model.read_bases), sequence_bases)


def _sequenced(
    true_codes: Bytes, factor: float, model: ReadModel, random: np.random.Generator
) -> tuple[Bytes, Bytes]:
    """Give reads uint8[n, read_bases] their qualities and, by these, their errors."""
    n, cycles = true_codes.shape
    # 0.5 / sqrt(u) has mean 1 and a long tail: most reads are good and a few are bad throughout
    badness = factor * 0.5 / np.sqrt(1.0 - random.random((n, 1)))
    badness = np.minimum(badness, model.worst_read_factor)
    rise = (np.arange(cycles) / max(1, cycles - 1)) ** 2
    low = np.minimum(badness * (model.low_share_start + model.low_share_rise * rise), 0.9)
    middle = badness * (model.middle_share_start + model.middle_share_rise * rise)
    level = random.random((n, cycles))
    quality = np.full((n, cycles), HIGH_Q, dtype=np.uint8)
    quality[level < low + middle] = MIDDLE_Q
    quality[level < low] = LOW_Q
    wrong = random.random((n, cycles)) < ERROR_CHANCE[quality]
    shift = 1 + (random.random((n, cycles)) * 3).astype(np.uint8)
    codes = np.where(wrong, (true_codes + shift) % np.uint8(4), true_codes)
    no_call = (random.random((n, cycles)) < model.no_call_share) | (true_codes == CODE_OF_N)
    codes[no_call] = CODE_OF_N
    quality[no_call] = NO_CALL_Q
    return codes.astype(np.uint8), quality


def _complement(codes: Bytes) -> Bytes:
    """Complement bases; N stays N."""
    return np.where(codes == CODE_OF_N, codes, np.uint8(3) - codes).astype(np.uint8)


def _genome(folder: Path, row: dict[str, str], where: str) -> Genome:
    """Read the genome of one row of the table."""
    if not all(row[column] for column in COLUMNS):
        raise UserError(f"{where}: fill in every column: {', '.join(COLUMNS)}.")
    try:
        coverage = float(row["coverage"])
    except ValueError:
        coverage = -1.0
    if not 0 <= coverage < float("inf"):
        raise UserError(f"{where}: coverage must be a number of 0 or more, not {row['coverage']}.")
    file = folder / row["file"]
    if not file.is_file():
        raise UserError(f"{where}: there is no file {file}.")
    return Genome(row["origin"], row["genus"], coverage, _fasta(file))


def _fasta(file: Path) -> tuple[Record, ...]:
    """Read the records of a FASTA file; a record's name is the first word of its header."""
    content = file.read_bytes()
    try:
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{file} cannot be read as text: {error}.") from error
    records = [record.partition("\n") for record in text.split(">")[1:]]
    if not text.startswith(">") or not all(header.strip() for header, _, _ in records):
        raise UserError(f"{file} is not FASTA: every record must begin with '>' and a name.")
    return tuple(
        Record(header.split()[0], encode("".join(letters.split())))
        for header, _, letters in records
    )


if __name__ == "__main__":
    sys.exit(main())
