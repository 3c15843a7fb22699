"""Reading and writing FASTQ in blocks; dnaio and the standard library's gzip are the oracles."""

import gzip
import io
from pathlib import Path

import dnaio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import UserError
from workflows.read_clustering import fastq

TWO_READS = b"@a first\nACGT\n+\nIIII\n@b\nGG\n+b\n!~\n"


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def read_all(path: Path, mates: int = 1) -> list[tuple[str, str, str]]:
    found = []
    for records in fastq.read_records(path, mates):
        assert len(records.line_ends) % mates == 0
        lines = records.data.tobytes().decode().split("\n")
        assert len(lines) == 4 * len(records.line_ends) + 1
        found += list(zip(lines[0:-1:4], lines[1::4], lines[3::4], strict=True))
        sizes = [len(sequence) for sequence in lines[1::4]]
        assert records.lengths.tolist() == sizes
    return [(name[1:], sequence, qualities) for name, sequence, qualities in found]


def written(tmp_path: Path, content: bytes, name: str = "x.fastq") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


TWO = [("a first", "ACGT", "IIII"), ("b", "GG", "!~")]


@pytest.mark.parametrize(
    "content",
    [
        TWO_READS,
        TWO_READS[:-1],
        TWO_READS + b"\n\n\n",
        TWO_READS + b"\n\n\n\n\n",
        TWO_READS.replace(b"\n", b"\r\n"),
        TWO_READS.replace(b"\n", b"\r\n")[:-1],
        zipped(TWO_READS),
        zipped(TWO_READS[:20]) + zipped(TWO_READS[20:]) + zipped(b""),
        zipped(TWO_READS) + bytes(512),
    ],
    ids=[
        "plain",
        "no last newline",
        "blank lines at the end",
        "a blank record at the end",
        "windows line ends",
        "windows line ends, cut in the last one",
        "gzip",
        "gzip members cut within a record, as in bgzip",
        "gzip padded with zeros, as on tapes",
    ],
)
@pytest.mark.parametrize("name", ["x.fastq", "x.fastq.gz"])
def test_content_decides_how_a_file_is_read(tmp_path: Path, content: bytes, name: str) -> None:
    assert read_all(written(tmp_path, content, name)) == TWO


def test_a_read_of_no_bases_at_the_end_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, TWO_READS + b"@c\n\n+\n\n\n\n")
    assert read_all(path) == [*TWO, ("c", "", "")]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert read_all(written(tmp_path, b"")) == []
    assert read_all(written(tmp_path, zipped(b""))) == []


word = st.text("ACGTN", max_size=30)
record = st.tuples(st.text("ab/ 1é", max_size=9), word, st.booleans())


@settings(deadline=None)
@given(
    reads=st.lists(record, min_size=1, max_size=12),
    block=st.integers(1, 200),
    mates=st.integers(1, 2),
    form=st.tuples(st.sampled_from(["\n", "\r\n"]), st.sampled_from([None, 0, 3])),
)
def test_blocks_of_any_size_give_the_records_that_dnaio_reads(
    tmp_path_factory: pytest.TempPathFactory,
    reads: list[tuple[str, str, bool]],
    block: int,
    mates: int,
    form: tuple[str, int | None],
) -> None:
    line_end, level = form
    text = "".join(
        line_end.join([f"@{name}", bases, f"+{name if twice else ''}", "F" * len(bases), ""])
        for name, bases, twice in reads * mates
    ).encode()
    path = tmp_path_factory.mktemp("reads") / "x"
    if level is None:
        path.write_bytes(text)
    else:
        with fastq.GzipWriter(path, level) as writer:
            writer.write(text)
    ascii_text = text.replace("é".encode(), b"e")  # dnaio takes ASCII only
    with dnaio.open(io.BytesIO(ascii_text), fileformat="fastq") as oracle:
        expected = [(r.name, r.sequence, r.qualities) for r in oracle]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_BYTES", block)
        found = read_all(path, mates)
    assert [(name.replace("é", "e"), *rest) for name, *rest in found] == expected


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b">a\nACGT\n", "record 1 is FASTA, not FASTQ"),
        (b"name\tlength\n", "record 1 does not begin with '@'; the file is not FASTQ"),
        (b"\n" + TWO_READS, "record 1 does not begin with '@'"),
        (TWO_READS + b"@c\nACGT\n+\nIII\n", "record 3 has 4 bases but 3 qualities"),
        (TWO_READS + b"@c\nACGT\nACGT\n+\nIIII\nIIII\n", "record 3 has no '+' on its third line"),
        (TWO_READS + b"c\nACGT\n+\nIIII\n", "record 3 does not begin with '@'"),
        (TWO_READS + b"\n" + TWO_READS, "record 3 does not begin with '@'"),
        (TWO_READS + b"@c\nACGT\n+\n", "record 3 has only 3 of its 4 lines"),
        (TWO_READS + b"@c\nAC", "record 3 has only 2 of its 4 lines"),
        (TWO_READS + b"@c\nAC\x00T\n+\nIIII\n", "record 3 has the byte 0"),
        (TWO_READS + b"@c\nACGT\n+\nII\x80I\n", "record 3 has the byte 128"),
        (TWO_READS.replace(b"\n", b"\r"), "record 1 has only 1 of its 4 lines"),
        (zipped(TWO_READS * 99)[:-9], "the gzip data end too early"),
        (zipped(TWO_READS)[:5], "the gzip data end too early"),
        (zipped(TWO_READS)[:-8] + bytes(8), "the gzip data are damaged"),
        (zipped(TWO_READS)[:10] + b"\xff" * 40, "the gzip data are damaged"),
        (zipped(TWO_READS) + b"more rubbish", "the gzip data are damaged"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"PK\x03\x04", "compressed with zip"),
    ],
)
def test_what_is_not_fastq_is_refused_with_file_and_record(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = written(tmp_path, content, "sample 1.fq")
    with pytest.raises(UserError, match=r"^sample 1\.fq: ") as caught:
        read_all(path)
    assert complaint in str(caught.value)


def test_the_record_number_counts_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "BLOCK_BYTES", 64)
    path = written(tmp_path, TWO_READS * 50 + b"@c\nA\n-\nI\n")
    with pytest.raises(UserError, match="record 101 has no '\\+'"):
        read_all(path)


def test_an_interleaved_file_of_odd_length_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, TWO_READS + b"@c\nACGT\n+\nIIII\n")
    with pytest.raises(UserError, match="record 3 has no mate"):
        read_all(path, mates=2)


def test_a_record_without_end_is_refused_before_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(fastq, "RECORD_LIMIT_BYTES", 2 << 20)
    path = written(tmp_path, zipped(b"@a\n" + b"A" * (8 << 20)))
    with pytest.raises(UserError, match="record 1 is over 2 MB"):
        read_all(path)


def test_a_long_read_spans_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "BLOCK_BYTES", 1000)
    bases = "ACGT" * 5000
    path = written(tmp_path, f"@long\n{bases}\n+\n{'#' * 20_000}\n".encode() + TWO_READS)
    assert read_all(path) == [("long", bases, "#" * 20_000), *TWO]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("00000.single.fastq.gz", "single"), ("7.paired.fastq.gz", "paired"), ("p.paired.fastq", "p")],
)
def test_the_kind_stands_in_the_shard_name(name: str, kind: str) -> None:
    assert fastq.kind_of(Path(name)).startswith(kind)


def test_a_name_without_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"reads\.fastq\.gz: a shard's name ends in"):
        fastq.kind_of(Path("reads.fastq.gz"))


def test_the_first_word_ends_at_a_space_a_tab_or_the_line_end(tmp_path: Path) -> None:
    text = b"@a b c\nA\n+\nI\n@ab\tc d\nA\n+\nI\n@abc\nA C\n+\nIII\n@\nA\n+\nI\n"
    (records,) = fastq.read_records(written(tmp_path, text))
    starts, ends = records.bounds[:-1] + 1, fastq.first_word_ends(records)
    words = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    assert words == [b"a", b"ab", b"abc", b""]


def test_gather_joins_ranges_in_any_order() -> None:
    data = np.frombuffer(b"0123456789", np.uint8)
    joined = fastq.gather(data, np.array([7, 0, 3, 3]), np.array([2, 0, 3, 1]))
    assert joined.tobytes() == b"783453"


def test_the_same_bytes_give_the_same_gzip_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with fastq.GzipWriter(tmp_path / name, 1) as writer:
            writer.write(TWO_READS)
            writer.write(np.frombuffer(TWO_READS, np.uint8))
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress(content) == TWO_READS * 2
