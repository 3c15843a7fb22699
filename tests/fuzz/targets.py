"""What is fuzzed: for any bytes a reader returns a valid value or raises UserError with a sentence.

Whatever else it raises is a crash. The readers of reads see small blocks here, so that few bytes
reach across their borders.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from control.upload import Upload, read_upload
from placement.errors import UserError, shown
from placement.workflow import Workflow, topological_order
from placement.workflow_file import load_workflow
from workflows.read_clustering import cut, fastq, quality

CORPUS = Path(__file__).parent / "corpus"
BLOCK_BYTES = 64
RECORD_LIMIT_BYTES = 512
INFLATION_CHECKED_BYTES = 4096
MATES_AT_ONCE = 3
PARTED = b"\0\0"
LONGEST_SENTENCE = 2_000

type Fuzzed = Callable[[bytes], None]


def reads(data: bytes) -> None:
    """Cut one file, or two of mates with two zero bytes between, and filter every shard."""
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        folder = Path(name)
        files = [folder / f"a_R{mate}.fastq" for mate in (1, 2)]
        parts = data.split(PARTED, 1)
        for path, part in zip(files, parts, strict=False):
            path.write_bytes(part)
        with (
            mock.patch.object(fastq, "BLOCK_BYTES", BLOCK_BYTES),
            mock.patch.object(fastq, "RECORD_LIMIT_BYTES", RECORD_LIMIT_BYTES),
            mock.patch.object(fastq, "INFLATION_CHECKED_BYTES", INFLATION_CHECKED_BYTES),
            mock.patch.object(cut, "MATES_AT_ONCE", MATES_AT_ONCE),
        ):
            try:
                counts = cut.run(files[: len(parts)], folder / "out", reads_per_shard=5)
            except UserError as error:
                _check_sentence(error)
                return
            shards = sorted((folder / "out").iterdir())
            found = [quality.run([shard], folder / f"kept-{shard.name}") for shard in shards]
        assert counts["reads"] > 0
        assert counts["shards"] == len(shards)
        assert counts["reads"] == sum(one["reads_in"] for one in found)
        assert counts["bases"] == sum(one["bases_in"] for one in found)


def workflow(data: bytes) -> None:
    """Read a workflow file."""
    text = data.decode(errors="replace")
    try:
        found = load_workflow(text, "w.yaml")
    except UserError as error:
        _check_sentence(error)
        return
    assert isinstance(found, Workflow)
    before = {step.name: step.predecessors for step in found.steps}
    assert topological_order(before) == tuple(step.name for step in found.steps)


def upload(data: bytes) -> None:
    """Read what an event says was uploaded: a key, and after a line end what the object holds."""
    key, _, content = data.partition(b"\n")
    name = key.decode(errors="replace")
    try:
        found = read_upload(name, lambda: content)
    except UserError as error:
        _check_sentence(error)
        return
    assert isinstance(found, Upload)
    assert found.files
    folder = name.rsplit("/", 1)[0]
    for file in found.files:
        assert file.startswith(f"{folder}/")
        assert ".." not in file.split("/")
        file.encode()


TARGETS: dict[str, Fuzzed] = {"reads": reads, "workflow": workflow, "upload": upload}


def inputs_of(target: str) -> list[Path]:
    """Return the corpus of a target, sorted by name."""
    return sorted((CORPUS / target).iterdir())


def _check_sentence(error: UserError) -> None:
    said = str(error)
    assert said
    assert len(said) < LONGEST_SENTENCE
    assert said == shown(said)
    assert "\n" not in said
    assert "Traceback" not in said


def _memory() -> str | None:
    """Return a folder in memory where there is one: thousands of small files are written."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
