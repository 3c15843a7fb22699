"""Cutting a sample's files into shards."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import UserError
from workflows.read_clustering import cut, fastq


def reads(count: int, suffix: str = "", seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        size = int(rng.integers(1, 40))
        bases = "".join(rng.choice(list("ACGTN"), size))
        made.append(f"@read{i}{suffix}\n{bases}\n+\n{'I' * size}\n")
    return made


def put(path: Path, records: list[str]) -> Path:
    content = "".join(records).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def shards(directory: Path) -> dict[str, str]:
    return {
        path.name: gzip.decompress(path.read_bytes()).decode()
        for path in sorted(directory.iterdir())
    }


def names(files: list[str]) -> list[tuple[str, ...]]:
    return [tuple(f.name for f in unit.files) for unit in cut.pair_up([Path(f) for f in files])]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x_R1.fastq.gz", "x_R2.fastq.gz"),
        ("x_R1_001.fastq.gz", "x_R2_001.fastq.gz"),
        ("x_S1_L001_R1_001.fq", "x_S1_L001_R2_001.fq"),
        ("x.r1.trimmed.fq.gz", "x.r2.trimmed.fq.gz"),
        ("R1.fastq", "R2.fastq"),
        ("x_1.fastq.gz", "x_2.fastq.gz"),
        ("x.1.fq", "x.2.fq"),
        ("x-1.fastq.bgz", "x-2.fastq.bgz"),
        ("x_R1.fastq", "x_R2.fastq.gz"),
        ("x_1", "x_2"),
    ],
)
def test_mates_are_found_by_their_names(first: str, second: str) -> None:
    assert names([second, first]) == [(first, second)]


@pytest.mark.parametrize(
    "files",
    [
        ["x_R1.fastq.gz", "y_R2.fastq.gz"],
        ["x_1.fastq.gz", "x_R2.fastq.gz"],
        ["x_1.fastq.gz"],
        ["x_R1_001.fastq.gz", "x_R2_002.fastq.gz"],
        ["x1.fastq", "x2.fastq"],
        ["x_1_a.fastq", "x_2_a.fastq"],
        ["x_R1.fastq", "x_R3.fastq"],
        ["1.fastq", "2.fastq"],
    ],
)
def test_other_files_are_single(files: list[str]) -> None:
    assert names(files[::-1]) == [(file,) for file in files]


def test_units_come_in_the_order_of_their_names() -> None:
    files = ["b_R2.fq", "c.fq", "a_1.fq", "b_R1.fq", "a_2.fq", "B.fq"]
    assert names(files) == [("B.fq",), ("a_1.fq", "a_2.fq"), ("b_R1.fq", "b_R2.fq"), ("c.fq",)]


@pytest.mark.parametrize("files", [["in/x.fq", "more/x.fq"], ["x_R1.fq", "x_R1.fq.gz", "x_R2.fq"]])
def test_the_same_reads_twice_are_refused(files: list[str]) -> None:
    with pytest.raises(UserError, match="are the same reads by their names"):
        cut.pair_up([Path(file) for file in files])


def test_single_reads_fill_shards_across_files(tmp_path: Path) -> None:
    a, b = reads(7, "a"), reads(5, "b", seed=1)
    files = [put(tmp_path / "b.fq", b), put(tmp_path / "a.fq.gz", a)]
    counts = cut.run(files, tmp_path / "out", reads_per_shard=5)
    found = shards(tmp_path / "out")
    assert list(found) == [f"0000{i}.single.fastq.gz" for i in range(3)]
    together = a + b
    assert list(found.values()) == ["".join(together[i : i + 5]) for i in (0, 5, 10)]
    bases = sum(len(record.split("\n")[1]) for record in together)
    assert counts == {"reads": 12, "fragments": 12, "bases": bases, "shards": 3}


def test_pairs_are_interleaved_and_stay_together(tmp_path: Path) -> None:
    left, right = reads(7, "/1"), reads(7, "/2", seed=1)
    files = [put(tmp_path / "x_R1.fq", left), put(tmp_path / "x_R2.fq.gz", right)]
    counts = cut.run(files, tmp_path / "out", reads_per_shard=3, level=0)
    pairs = [a + b for a, b in zip(left, right, strict=True)]
    assert shards(tmp_path / "out") == {
        f"0000{n}.paired.fastq.gz": "".join(pairs[3 * n : 3 * n + 3]) for n in range(3)
    }
    assert (counts["reads"], counts["fragments"], counts["shards"]) == (14, 7, 3)


def test_a_shard_holds_one_kind_only(tmp_path: Path) -> None:
    files = [
        put(tmp_path / "a.fq", reads(2)),
        put(tmp_path / "b_1.fq", reads(2)),
        put(tmp_path / "b_2.fq", reads(2)),
        put(tmp_path / "c.fq", reads(2)),
    ]
    cut.run(files, tmp_path / "out", reads_per_shard=100)
    kinds = [name.split(".")[1] for name in shards(tmp_path / "out")]
    assert kinds == ["single", "paired", "single"]


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=30),
    block=st.tuples(st.integers(40, 400), st.booleans()),
    per_shard=st.integers(1, 12),
)
def test_any_block_size_gives_the_same_shards(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    block: tuple[int, bool],
    per_shard: int,
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    left = [f"@r{i} x\n{'A' * size}\n+\n{'I' * size}\n" for i, size in enumerate(sizes)]
    # The second mates are short, so that the two files' blocks never end at the same read.
    right = [f"@r{i} y\nC\n+\nI\n" for i in range(len(sizes))]
    paired = block[1]
    files = [put(folder / "x_1.fq.gz", left)]
    files += [put(folder / "x_2.fq.gz", right)] if paired else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_BYTES", block[0])
        cut.run(files, folder / "out", reads_per_shard=per_shard)
    fragments = [a + b for a, b in zip(left, right, strict=True)] if paired else left
    expected = ["".join(fragments[i : i + per_shard]) for i in range(0, len(fragments), per_shard)]
    assert list(shards(folder / "out").values()) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("r", "r"),
        ("r/1", "r/2"),
        ("r/1 length=5", "r/2 length=7"),
        ("r 1:N:0:A", "r 2:N:0:A"),
        ("SRR1.7.1 x", "SRR1.7.2 y"),
        ("r_1", "r_2"),
        ("r/1", "r/1"),
        ("", ""),
    ],
)
def test_mates_names_that_match(tmp_path: Path, first: str, second: str) -> None:
    files = [
        put(tmp_path / "x_1.fq", [f"@{first}\nA\n+\nI\n"]),
        put(tmp_path / "x_2.fq", [f"@{second}\nC\n+\nI\n"]),
    ]
    assert cut.run(files, tmp_path / "out")["fragments"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [("r", "s"), ("r/1", "s/2"), ("r/2", "r/1"), ("r11", "r12"), ("r1", "r"), ("r/1", "r.2")],
)
def test_mates_names_that_do_not_match_are_refused(tmp_path: Path, first: str, second: str) -> None:
    same = ["@same\nA\n+\nI\n"]
    files = [
        put(tmp_path / "x_1.fq", [*same, f"@{first}\nA\n+\nI\n"]),
        put(tmp_path / "x_2.fq", [*same, f"@{second}\nC\n+\nI\n"]),
    ]
    complaint = f"^x_1.fq and x_2.fq: record 2 is '{first}' in one and '{second}' in the other"
    with pytest.raises(UserError, match=complaint):
        cut.run(files, tmp_path / "out")


@pytest.mark.parametrize("counts", [(3, 2), (2, 3)])
def test_mates_files_of_unequal_length_are_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    files = [put(tmp_path / f"x_{i + 1}.fq", reads(count)) for i, count in enumerate(counts)]
    short = "x_1.fq" if counts[0] < counts[1] else "x_2.fq"
    with pytest.raises(UserError, match=f"^{short} ends after record 2"):
        cut.run(files, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\n\n\n\n"])
def test_a_file_without_reads_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.fq").write_bytes(content)
    with pytest.raises(UserError, match=r"^a\.fq: "):
        cut.run([tmp_path / "a.fq"], tmp_path / "out")


@pytest.mark.parametrize(("name", "value"), [("reads_per_shard", 0), ("level", 4), ("level", -1)])
def test_parameters_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    file = put(tmp_path / "a.fq", reads(1))
    with pytest.raises(UserError, match=f"^{name} is {value}; give "):
        cut.run([file], tmp_path / "out", **{name: value})


def test_more_shards_than_five_digits_number_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut, "SHARD_LIMIT", 3)
    file = put(tmp_path / "a.fq", reads(4))
    with pytest.raises(UserError, match="raise reads_per_shard"):
        cut.run([file], tmp_path / "out", reads_per_shard=1)


def test_memory_does_not_grow_with_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "BLOCK_BYTES", 1 << 16)
    record = "@read\n" + "ACGT" * 25 + "\n+\n" + "I" * 100 + "\n"
    files = [put(tmp_path / f"x_{mate}.fq.gz", [record] * 40_000) for mate in (1, 2)]
    tracemalloc.start()
    cut.run(files, tmp_path / "out", reads_per_shard=30_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 3 << 20  # of 17 MB in all
