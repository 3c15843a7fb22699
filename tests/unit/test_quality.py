"""The filter against a plain transcription of fastp's rule."""

import gzip
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from placement.errors import UserError
from workflows.read_clustering import fastq, quality

type Read = tuple[str, str]
SEVERITY = ("pass", "too_many_n", "too_short", "low_quality")


def verdict(bases: str, qualities: str) -> str:
    """fastp's passFilter, base by base."""
    low = unknown = 0
    for base, character in zip(bases, qualities, strict=True):
        if ord(character) < 33 + 15:
            low += 1
        if base == "N":
            unknown += 1
    if low > 40 * len(bases) / 100.0:
        return "low_quality"
    if unknown > 5:
        return "too_many_n"
    return "too_short" if len(bases) < 15 else "pass"


def expected(reads: list[Read], mates: int) -> tuple[list[int], dict[str, int]]:
    kept = []
    counts = dict.fromkeys(("low_quality", "too_many_n", "too_short"), 0)
    for i in range(0, len(reads), mates):
        verdicts = [verdict(*read) for read in reads[i : i + mates]]
        worst = max(verdicts, key=SEVERITY.index)
        if worst == "pass":
            kept += list(range(i, i + mates))
        else:
            counts[worst] += mates
    return kept, counts


def text(reads: list[Read], chosen: list[int]) -> bytes:
    return "".join(f"@r{i} x\n{reads[i][0]}\n+r\n{reads[i][1]}\n" for i in chosen).encode()


def check(folder: Path, reads: list[Read], kind: str) -> None:
    shard = folder / f"00000.{kind}.fastq.gz"
    shard.write_bytes(gzip.compress(text(reads, list(range(len(reads))))))
    output = folder / f"out.{kind}.fastq.gz"
    counts = quality.run([shard], output)
    kept, reasons = expected(reads, 2 if kind == "paired" else 1)
    assert gzip.decompress(output.read_bytes()) == text(reads, kept)
    assert counts == {
        "reads_in": len(reads),
        "reads_out": len(kept),
        "bases_in": sum(len(bases) for bases, _ in reads),
        "bases_out": sum(len(reads[i][0]) for i in kept),
        **reasons,
    }


@st.composite
def near_the_limits(draw: st.DrawFn) -> Read:
    size = draw(st.integers(0, 60))
    low = draw(st.integers(max(0, 2 * size // 5 - 1), min(size, 2 * size // 5 + 1)))
    unknown = min(size, draw(st.integers(0, 7)))
    letters = draw(st.text("ACGTnacgt.", min_size=size - unknown, max_size=size - unknown))
    scores = draw(st.text("0INJ~", min_size=size - low, max_size=size - low))
    bases = draw(st.permutations(letters + "N" * unknown))
    qualities = draw(st.permutations(scores + draw(st.sampled_from("/!")) * low))
    return "".join(bases), "".join(qualities)


@settings(deadline=None)
@given(
    reads=st.lists(near_the_limits(), max_size=14),
    kind=st.sampled_from(["single", "paired"]),
    block=st.integers(20, 900),
)
@example(
    reads=[("A" * 15, "/" * 6 + "0" * 9), ("A" * 15, "/" * 7 + "0" * 8)], kind="single", block=9
)
@example(
    reads=[("N" * 5 + "A" * 10, "I" * 15), ("N" * 6 + "A" * 9, "I" * 15)], kind="single", block=9
)
@example(reads=[("A" * 14, "I" * 14), ("", "")], kind="paired", block=9)
def test_exactly_the_reads_of_the_rule_are_kept_unchanged(
    tmp_path_factory: pytest.TempPathFactory, reads: list[Read], kind: str, block: int
) -> None:
    if kind == "paired":
        reads = reads[: len(reads) // 2 * 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_BYTES", block)
        check(tmp_path_factory.mktemp("quality"), reads, kind)


def test_a_pair_falls_with_one_mate_and_counts_under_the_worse_reason(tmp_path: Path) -> None:
    good, low = ("A" * 20, "I" * 20), ("A" * 20, "#" * 20)
    short, unknown = ("A" * 9, "I" * 9), ("N" * 20, "I" * 20)
    pairs = [good, good, good, low, unknown, low, unknown, short, unknown, good]
    check(tmp_path, pairs, "paired")
    _, counts = expected(pairs, 2)
    assert counts == {"low_quality": 4, "too_many_n": 2, "too_short": 2}


def test_no_read_left_gives_an_empty_gzip_file(tmp_path: Path) -> None:
    check(tmp_path, [("A" * 20, "#" * 20)], "single")


def test_an_empty_shard_is_legal(tmp_path: Path) -> None:
    check(tmp_path, [], "paired")


def test_a_long_read_is_counted_in_full(tmp_path: Path) -> None:
    size = 100_000
    limit = 2 * size // 5
    kept = ("A" * size, "#" * limit + "I" * (size - limit))
    dropped = ("A" * size, "#" * (limit + 1) + "I" * (size - limit - 1))
    check(tmp_path, [kept, dropped], "single")


def test_a_shard_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a shard's name ends in"):
        quality.run([tmp_path / "reads.fastq.gz"], tmp_path / "out")
