import csv
import gzip
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import UserError
from workflows.read_clustering import simulate as module
from workflows.read_clustering.simulate import Genome, ReadModel, ReadPairs, Record

DEMO = Path(module.__file__).parent / "demo"
OPPOSITE = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
MODEL = ReadModel()


def letters(bases: int, seed: int) -> str:
    return "".join("ACGT"[i] for i in np.random.default_rng(seed).integers(0, 4, bases))


def genome(origin: str, sequence: str, coverage: float) -> Genome:
    return Genome(
        origin, f"genus of {origin}", coverage, (Record(origin, module.encode(sequence)),)
    )


def small_genomes() -> tuple[dict[str, str], list[Genome]]:
    sequences = {"one": letters(6000, 1), "two": letters(9000, 2)}
    return sequences, [genome("one", sequences["one"], 20), genome("two", sequences["two"], 5)]


def records(text: bytes) -> list[tuple[str, str, list[int]]]:
    lines = text.decode().splitlines()
    assert len(lines) % 4 == 0
    assert set(lines[2::4]) == {"+"}
    return [
        (header[1:], bases, [ord(letter) - 33 for letter in quality])
        for header, bases, quality in zip(lines[0::4], lines[1::4], lines[3::4], strict=True)
    ]


def expected_mates(sequence: str, pairs: ReadPairs, row: int) -> tuple[str, str]:
    """Recompute the error-free mates in plain strings from the stated place."""
    start = int(pairs.start[row])
    fragment = sequence[start : start + int(pairs.fragment_bases[row])]
    backwards = "".join(OPPOSITE[letter] for letter in reversed(fragment))
    one, other = (backwards, fragment) if pairs.reverse[row] else (fragment, backwards)
    return one[: MODEL.read_bases], other[: MODEL.read_bases]


def write_folder(folder: Path, rows: str, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "genomes.tsv").write_text(rows)
    for stem, text in files.items():
        (folder / f"{stem}.fasta").write_text(text)
    return folder


HEADER = "file\torigin\tgenus\tcoverage\n"


def test_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    _, genomes = small_genomes()
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        module.write(module.simulate(genomes, MODEL, seed), genomes, tmp_path / folder, "s")
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == ["s.truth.tsv.gz", "s_R1.fastq.gz", "s_R2.fastq.gz"]
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == first
        assert (tmp_path / "c" / name).read_bytes() != first
        assert first[4:8] == bytes(4)  # gzip's time stamp


def test_reads_match_their_stated_place_up_to_the_errors_their_qualities_announce() -> None:
    sequences, genomes = small_genomes()
    pairs = module.simulate(genomes, MODEL, 3)
    mates = [records(module.fastq(pairs, mate, "s")) for mate in (0, 1)]
    wrong: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    for row in range(len(pairs)):
        source = sequences[genomes[int(pairs.genome[row])].origin]
        for expected, (_, bases, quality) in zip(
            expected_mates(source, pairs, row), (mates[0][row], mates[1][row]), strict=True
        ):
            for truth, base, q in zip(expected, bases, quality, strict=True):
                seen[q] += 1
                wrong[q] += truth != base
                assert (base == "N") == (q == 2)
    assert set(seen) == {2, 12, 23, 37}
    for q in (12, 23, 37):
        assert wrong[q] / seen[q] == pytest.approx(10 ** (-q / 10), rel=0.25)
    total = sum(seen.values())
    assert 0.003 < sum(wrong[q] for q in (12, 23, 37)) / total < 0.005


def test_quality_falls_towards_the_end_and_few_reads_are_bad_throughout() -> None:
    _, genomes = small_genomes()
    quality = module.simulate(genomes, MODEL, 3).quality
    assert quality[..., :10].mean() > quality[..., -10:].mean() + 2
    rejected = ((quality < 15).mean(axis=2) > 0.4).any(axis=0).mean()
    assert 0 < rejected < 0.02


def test_each_genome_gets_its_coverage_and_all_of_it_is_reached() -> None:
    sequences, genomes = small_genomes()
    pairs = module.simulate(genomes, MODEL, 5)
    for index, wanted in enumerate(genomes):
        length = len(sequences[wanted.origin])
        depth = np.zeros(length)
        rows = np.flatnonzero(pairs.genome == index)
        for row in rows:
            start, end = int(pairs.start[row]), int(pairs.start[row] + pairs.fragment_bases[row])
            depth[start : start + 150] += 1
            depth[end - 150 : end] += 1
        assert depth.mean() == pytest.approx(wanted.coverage, rel=0.01)
        assert (depth[500:-500] > 0).mean() > 1 - 3 * np.exp(-wanted.coverage)
        assert 0.4 < pairs.reverse[rows].mean() < 0.6


def test_fragments_have_the_mean_and_deviation_asked_for() -> None:
    pairs = module.simulate([genome("one", letters(50_000, 1), 20)], MODEL, 1)
    assert pairs.fragment_bases.mean() == pytest.approx(350, abs=3)
    assert pairs.fragment_bases.std() == pytest.approx(35, abs=2)


def test_another_genome_leaves_the_reads_of_the_first_unchanged() -> None:
    _, genomes = small_genomes()
    alone = module.simulate(genomes[:1], MODEL, 3)
    together = module.simulate(genomes, MODEL, 3)
    mine = together.genome == 0
    assert sorted(map(bytes, alone.codes[0])) == sorted(map(bytes, together.codes[0][mine]))


def test_unknown_bases_are_read_as_no_calls() -> None:
    pairs = module.simulate([genome("one", "N" * 2000 + "acgtr" * 80, 5)], MODEL, 1)
    inside = pairs.start + pairs.fragment_bases <= 2000
    assert inside.any()
    assert (pairs.codes[:, inside] == 4).all()
    assert (pairs.quality[:, inside] == 2).all()


def test_names_are_running_numbers_that_do_not_follow_the_origin() -> None:
    _, genomes = small_genomes()
    pairs = module.simulate(genomes, MODEL, 3)
    first, second = (records(module.fastq(pairs, mate, "demo")) for mate in (0, 1))
    assert [name for name, _, _ in first] == [f"demo_{i:06d}/1" for i in range(len(pairs))]
    assert [name for name, _, _ in second] == [f"demo_{i:06d}/2" for i in range(len(pairs))]
    changes = int((np.diff(pairs.genome) != 0).sum())
    assert changes > len(pairs) / 4


@settings(max_examples=25, deadline=None)
@given(bases=st.integers(150, 900), coverage=st.floats(0.7, 6), seed=st.integers(0, 2**40))
def test_fragments_stay_on_the_sequence_whatever_its_length(
    bases: int, coverage: float, seed: int
) -> None:
    pairs = module.simulate([genome("one", letters(bases, 1), coverage + 1)], MODEL, seed)
    assert (pairs.start >= 0).all()
    assert (pairs.start + pairs.fragment_bases <= bases).all()
    assert (pairs.fragment_bases >= 150).all()
    assert pairs.codes.max() <= 4


def test_a_sequence_shorter_than_a_read_is_named() -> None:
    with pytest.raises(UserError, match="one has 149 bases, fewer than a read of 150"):
        module.simulate([genome("one", "A" * 149, 5)], MODEL, 1)


@pytest.mark.parametrize(("genomes", "seed"), [([], 1), ([genome("one", "A" * 500, 0)], 1)])
def test_nothing_to_draw_is_an_error(genomes: list[Genome], seed: int) -> None:
    with pytest.raises(UserError, match="No read pair to simulate"):
        module.simulate(genomes, MODEL, seed)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file\torigin\n", "must have the tab-separated columns"),
        (HEADER + "a.fasta\tA\tG\tmany\n", "line 2: coverage must be a number"),
        (HEADER + "a.fasta\tA\tG\t-1\n", "line 2: coverage must be a number"),
        (HEADER + "a.fasta\tA\tG\tnan\n", "line 2: coverage must be a number"),
        (HEADER + "a.fasta\tA\n", "line 2: fill in every column"),
        (HEADER + "b.fasta\tA\tG\t2\n", "there is no file"),
        (HEADER + "bad.fasta\tA\tG\t2\n", "is not FASTA"),
        (HEADER + "nameless.fasta\tA\tG\t2\n", "is not FASTA"),
    ],
)
def test_a_wrong_genome_folder_is_told_in_one_sentence(
    tmp_path: Path, rows: str, message: str
) -> None:
    folder = write_folder(tmp_path / "g", rows, a=">x\nACGT\n", bad="ACGT\n", nameless=">\nACGT\n")
    with pytest.raises(UserError, match=message):
        module.read_genomes(folder)


def test_a_damaged_gzip_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "g", HEADER + "a.fasta.gz\tA\tG\t2\n")
    (folder / "a.fasta.gz").write_bytes(gzip.compress(b">x\nACGT\n")[:-9])
    with pytest.raises(UserError, match="cannot be read as text"):
        module.read_genomes(folder)


def test_the_command_line_writes_a_sample_and_refuses_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta = ">x one\n" + letters(600, 1) + "\n>y two\n" + letters(900, 2) + "\n"
    folder = write_folder(tmp_path / "g", HEADER + "a.fasta\tA\tG\t4\n", a=fasta)
    given_words = ["--genomes", str(folder), "--out", str(tmp_path / "out")]
    assert module.main([*given_words, "--name", "s"]) == 0
    assert '"read_pairs": 20' in capsys.readouterr().out
    with gzip.open(tmp_path / "out" / "s.truth.tsv.gz", "rt") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert Counter(row["source_seq"] for row in rows) == {"x": 8, "y": 12}
    assert {(row["origin"], row["genus"]) for row in rows} == {("A", "G")}
    assert [row["read_id"] for row in rows] == [f"s_{i:06d}" for i in range(20)]
    for wrong in (["--seed", "-1"], ["--name", "a/b"], ["--genomes", str(tmp_path)]):
        assert module.main([*given_words, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_bundled_sample_is_what_the_bundled_genomes_give() -> None:
    genomes = module.read_genomes(DEMO / "genomes")
    pairs = module.simulate(genomes, MODEL, 7)
    made = {
        "demo_R1.fastq.gz": module.fastq(pairs, 0, "demo"),
        "demo_R2.fastq.gz": module.fastq(pairs, 1, "demo"),
        "demo.truth.tsv.gz": module.truth(pairs, genomes, "demo").encode(),
    }
    for file, content in made.items():
        # the text and not the gzip bytes: another zlib may pack the same text differently
        bundled = gzip.decompress((DEMO / file).read_bytes())
        assert hashlib.sha256(bundled).hexdigest() == hashlib.sha256(content).hexdigest(), file


def test_the_bundled_sources_table_says_what_the_files_hold() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (DEMO / "SOURCES.md").read_text().splitlines()
        if ".fasta.gz |" in line
    ]
    told = {row[0]: (row[2], int(row[3]), float(row[4]), int(row[5])) for row in rows}
    with gzip.open(DEMO / "demo.truth.tsv.gz", "rt") as table:
        drawn = Counter(row["source_seq"] for row in csv.DictReader(table, delimiter="\t"))
    files = (DEMO / "genomes" / "genomes.tsv").read_text().splitlines()[1:]
    genomes = module.read_genomes(DEMO / "genomes")
    held = {
        line.split("\t")[0]: (
            entry.sequences[0].name,
            len(entry.sequences[0].codes),
            entry.coverage,
            drawn[entry.sequences[0].name],
        )
        for line, entry in zip(files, genomes, strict=True)
    }
    assert told == held
    assert {file.name for file in (DEMO / "genomes").glob("*.fasta.gz")} == set(held)
