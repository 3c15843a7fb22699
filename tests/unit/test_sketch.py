"""Sketches against a slow, plain implementation that works on strings."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import UserError
from workflows.read_clustering import fastq, sketch

COMPLEMENT = str.maketrans("ACGT", "TGCA")
WORD = (1 << 64) - 1


def random_bases(seed: int, size: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size))


def reverse_complement(bases: str) -> str:
    return bases.translate(COMPLEMENT)[::-1]


def canonical(bases: str) -> str:
    return min(bases, reverse_complement(bases))


def splitmix64(state: int) -> int:
    """As in the reference implementation of Vigna, https://prng.di.unimi.it/splitmix64.c."""
    z = (state + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def kmer_hash(kmer: str) -> int:
    return splitmix64(int(canonical(kmer).translate(str.maketrans("ACGT", "0123")), 4))


def stretches(bases: str) -> list[str]:
    return "".join(b if b in "ACGT" else " " for b in bases.upper()).split()


def minimizers(bases: str, k: int, window: int) -> set[int]:
    found = set()
    for stretch in stretches(bases):
        hashes = [kmer_hash(stretch[i : i + k]) for i in range(len(stretch) - k + 1)]
        if hashes:
            last = max(1, len(hashes) - window + 1)
            found |= {min(hashes[i : i + window]) for i in range(last)}
    return found


COLUMNS = sorted({canonical("".join(word)) for word in itertools.product("ACGT", repeat=4)})


def tetramers(bases: str) -> list[int]:
    words = [canonical(s[i : i + 4]) for s in stretches(bases) for i in range(len(s) - 3)]
    return [words.count(column) for column in COLUMNS]


def fastq_text(reads: list[str], header: str = "r{}") -> bytes:
    return "".join(
        f"@{header.format(i)}\n{bases}\n+\n{'I' * len(bases)}\n" for i, bases in enumerate(reads)
    ).encode()


def sketched(
    folder: Path, content: bytes, kind: str = "single", **parameters: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    shard = folder / f"00000.{kind}.fastq.gz"
    shard.write_bytes(gzip.compress(content))
    output = folder / "00000.npz"
    counts = sketch.run([shard], output, **parameters)
    with np.load(output) as columns:
        return dict(columns), counts


def rows(columns: dict[str, np.ndarray], values: str, offsets: str) -> list[np.ndarray]:
    bounds = columns[offsets].tolist()
    assert bounds[0] == 0
    assert bounds[-1] == len(columns[values])
    return [columns[values][a:b] for a, b in itertools.pairwise(bounds)]


def names(columns: dict[str, np.ndarray]) -> list[str]:
    return [row.tobytes().decode() for row in rows(columns, "name_bytes", "name_offsets")]


dna = st.text("ACGT", max_size=70) | st.text("ACGTNacgtR", max_size=70) | st.text("AT", max_size=70)


@settings(deadline=None)
@given(
    reads=st.lists(dna, max_size=8),
    kind=st.sampled_from(["single", "paired"]),
    sizes=st.tuples(st.sampled_from([4, 5, 8, 21, 31]), st.integers(1, 12)),
    block=st.integers(20, 500),
)
def test_every_column_is_what_the_plain_implementation_says(
    tmp_path_factory: pytest.TempPathFactory,
    reads: list[str],
    kind: str,
    sizes: tuple[int, int],
    block: int,
) -> None:
    k, window = sizes
    mates = 2 if kind == "paired" else 1
    reads = reads[: len(reads) // mates * mates]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_BYTES", block)
        columns, counts = sketched(
            tmp_path_factory.mktemp("sketch"), fastq_text(reads), kind, k=k, window=window
        )
    fragments = list(itertools.batched(reads, mates, strict=True))
    assert [row.tolist() for row in rows(columns, "hashes", "hash_offsets")] == [
        sorted(set().union(*(minimizers(read, k, window) for read in fragment)))
        for fragment in fragments
    ]
    assert columns["tetra"].tolist() == [
        np.sum([tetramers(read) for read in fragment], axis=0).tolist() for fragment in fragments
    ]
    assert columns["bases"].tolist() == [sum(map(len, fragment)) for fragment in fragments]
    assert names(columns) == [f"r{i * mates}" for i in range(len(fragments))]
    assert counts == {
        "fragments": len(fragments),
        "bases": sum(map(len, reads)),
        "hashes": len(columns["hashes"]),
    }
    assert [columns["k"].item(), columns["scale"].item()] == [k, (window + 1) / 2]


def test_the_mixer_gives_the_published_first_number_of_splitmix64() -> None:
    assert int(sketch._mix(np.uint64(0))) == 0xE220A8397B1DCDAF
    assert splitmix64(0) == 0xE220A8397B1DCDAF


def test_the_columns_have_the_agreed_types_and_shapes(tmp_path: Path) -> None:
    columns, _ = sketched(tmp_path, fastq_text(["ACGTA" * 10] * 3))
    found = {name: (str(values.dtype), values.shape) for name, values in columns.items()}
    total, hashes = len(columns["name_bytes"]), len(columns["hashes"])
    assert found == {
        "name_bytes": ("uint8", (total,)),
        "name_offsets": ("int64", (4,)),
        "bases": ("int32", (3,)),
        "hash_offsets": ("int64", (4,)),
        "hashes": ("uint64", (hashes,)),
        "tetra": ("uint8", (3, 136)),
        "k": ("int64", ()),
        "scale": ("float64", ()),
    }


def test_counts_above_255_take_two_bytes(tmp_path: Path) -> None:
    columns, _ = sketched(tmp_path, fastq_text(["A" * 400, "ACGTA" * 10]))
    assert columns["tetra"].dtype == np.uint16
    assert columns["tetra"].max() == 397


def test_there_are_136_canonical_tetramers_in_lexicographic_order(tmp_path: Path) -> None:
    words = ["".join(word) for word in itertools.product("ACGT", repeat=4)]
    columns, _ = sketched(tmp_path, fastq_text(words))
    assert len(COLUMNS) == 136
    assert [int(row.argmax()) for row in columns["tetra"]] == [
        COLUMNS.index(canonical(word)) for word in words
    ]
    assert (columns["tetra"].sum(axis=1) == 1).all()


def test_a_palindromic_tetramer_counts_once(tmp_path: Path) -> None:
    columns, _ = sketched(tmp_path, fastq_text(["ACGT", "GATC", "AATTAATT"]))
    assert columns["tetra"].sum(axis=1).tolist() == [1, 1, 5]
    assert columns["tetra"][2, COLUMNS.index("AATT")] == 2


def test_a_read_and_its_reverse_complement_have_the_same_sketch(tmp_path: Path) -> None:
    bases = random_bases(1, 150)
    columns, _ = sketched(tmp_path, fastq_text([bases, reverse_complement(bases), bases.lower()]))
    sketches = [row.tolist() for row in rows(columns, "hashes", "hash_offsets")]
    assert sketches[0] == sketches[1] == sketches[2]
    assert (columns["tetra"] == columns["tetra"][0]).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_reads_that_overlap_by_a_window_share_a_minimizer(
    tmp_path_factory: pytest.TempPathFactory, seed: int, window: int
) -> None:
    genome = random_bases(seed, 300)
    overlap = 21 + window - 1
    reads = [genome[:150], reverse_complement(genome[150 - overlap : 300 - overlap])]
    folder = tmp_path_factory.mktemp("overlap")
    columns, _ = sketched(folder, fastq_text(reads), window=window)
    first, second = rows(columns, "hashes", "hash_offsets")
    assert len(np.intersect1d(first, second)) >= 1


def test_the_scale_is_the_share_of_kmers_that_are_kept(tmp_path: Path) -> None:
    bases = random_bases(2, 40_000)
    columns, counts = sketched(tmp_path, fastq_text([bases]))
    assert counts["hashes"] * columns["scale"] == pytest.approx(40_000 - 20, rel=0.03)


def test_neither_kmers_nor_tetramers_go_from_mate_to_mate(tmp_path: Path) -> None:
    columns, counts = sketched(tmp_path, fastq_text(["A" * 20, "A" * 3]), "paired")
    assert counts["hashes"] == 0
    assert columns["tetra"].sum() == 17


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("read/1", "read"),
        ("read/2 x", "read"),
        ("read/3", "read/3"),
        ("read.1\tlength=5", "read.1"),
        ("read 1:N:0", "read"),
        ("/1", ""),
        ("1", "1"),
        ("größe/1", "größe"),
        ("", ""),
    ],
)
def test_the_id_is_the_first_word_without_mate_number(
    tmp_path: Path, header: str, name: str
) -> None:
    text = f"@{header}\nACGT\n+\nIIII\n@{header[:-1]}2\nACGT\n+\nIIII\n".encode()
    assert names(sketched(tmp_path, text, "paired")[0]) == [name]


def test_an_empty_shard_gives_a_file_without_rows(tmp_path: Path) -> None:
    columns, counts = sketched(tmp_path, b"")
    assert counts == {"fragments": 0, "bases": 0, "hashes": 0}
    assert columns["name_offsets"].tolist() == columns["hash_offsets"].tolist() == [0]
    assert columns["tetra"].shape == (0, 136)


def test_tetramer_counts_stop_at_what_the_column_can_hold(tmp_path: Path) -> None:
    columns, counts = sketched(tmp_path, fastq_text(["A" * 70_000]))
    assert columns["tetra"].max() == 65_535
    assert counts["hashes"] == 1


def test_the_same_shard_gives_the_same_file(tmp_path: Path) -> None:
    text = fastq_text(["ACGTTGCA" * 20] * 4)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sketched(tmp_path / name, text)
    first, second = ((tmp_path / name / "00000.npz").read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(("name", "value"), [("k", 3), ("k", 32), ("window", 0), ("window", 256)])
def test_parameters_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    shard = tmp_path / "00000.single.fastq.gz"
    with pytest.raises(UserError, match=f"^{name} is {value}; give "):
        sketch.run([shard], tmp_path / "out", **{name: value})
