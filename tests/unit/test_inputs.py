"""Every input that a user may get wrong gives its sentence, within bounds of memory and disk."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from placement.errors import UserError
from tests import inputs
from tests.inputs import READ_INPUTS, TRUTHS, Reads, bomb, cut_reads, long_name, truth_sentence

# What a process may take of the machine: half of it is the libraries' before anything is read.
MEMORY_BYTES = 1 << 30
DISK_BYTES = 64 << 20
BOUNDED = """
import json, resource, sys
from pathlib import Path
from placement.errors import UserError
from workflows.read_clustering import cut
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
said = None
try:
    cut.run([Path(word) for word in sys.argv[3:]], Path(sys.argv[1]))
except UserError as error:
    said = str(error)
# Not ru_maxrss, which begins with what the process that forked this one had.
status = Path("/proc/self/status").read_text()
peak_kib = int(status.split("VmHWM:")[1].split()[0])
print(json.dumps({"said": said, "peak_bytes": peak_kib * 1024}))
"""


@pytest.mark.parametrize("case", READ_INPUTS, ids=lambda case: case.what)
def test_reads_are_counted_or_refused_with_a_sentence(case: Reads, tmp_path: Path) -> None:
    if isinstance(case.says, int):
        assert cut_reads(case.make(), tmp_path) == case.says
    else:
        with pytest.raises(UserError) as refused:
            cut_reads(case.make(), tmp_path)
        assert str(refused.value) == case.says


def endless_line() -> bytes:
    return inputs.packed([b"@r\n", *(1024 * [b"A" * inputs.MEGABYTE])])


def empty_reads() -> bytes:
    """Return three million reads of no bases: nothing has more records in a block."""
    return inputs.packed(14 * [b"@\n\n+\n\n" * 200_000])


@pytest.mark.parametrize(
    ("make", "files"),
    [
        (bomb, ["a.fastq.gz"]),
        (long_name, ["a.fastq.gz"]),
        (endless_line, ["a_R1.fastq.gz", "a_R2.fastq.gz"]),
        (empty_reads, ["a_R1.fastq.gz", "a_R2.fastq.gz"]),
    ],
)
def test_no_file_of_reads_fills_memory_or_disk(
    make: Callable[[], bytes], files: list[str], tmp_path: Path
) -> None:
    content = make()
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.write_bytes(content)
    words = [
        sys.executable,
        "-c",
        BOUNDED,
        str(tmp_path / "out"),
        str(DISK_BYTES),
        *map(str, paths),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["peak_bytes"] < MEMORY_BYTES
    assert (found["said"] is None) == (make is empty_reads)
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < DISK_BYTES


@pytest.mark.parametrize("what", TRUTHS)
def test_origins_that_cannot_be_read_are_refused_with_a_sentence(what: str, tmp_path: Path) -> None:
    content, says = TRUTHS[what]
    assert truth_sentence(content, tmp_path) == says
    assert truth_sentence(gzip.compress(content), tmp_path, "a.truth.tsv.gz") == says.replace(
        "a.truth.tsv", "a.truth.tsv.gz"
    )


@pytest.mark.parametrize("cut_bytes", [1, 9, 40])
def test_origins_in_damaged_gzip_are_refused_with_a_sentence(
    cut_bytes: int, tmp_path: Path
) -> None:
    whole = gzip.compress(b"id\torigin\n" + b"".join(b"r%d\tx\n" % n for n in range(2000)))
    said = truth_sentence(whole[:-cut_bytes], tmp_path, "a.truth.tsv.gz")
    assert said.startswith("a.truth.tsv.gz: the gzip data are damaged or end too early, in or")
    said = truth_sentence(b"\x1f\x8b\x08rubbish", tmp_path, "a.truth.tsv.gz")
    assert said.startswith("a.truth.tsv.gz: the gzip data are damaged or end too early, in or")


def test_the_page_on_inputs_says_what_the_code_says() -> None:
    assert inputs.PAGE.read_text(encoding="utf-8") == inputs.page(), (
        "python -m tests.inputs writes it anew"
    )
