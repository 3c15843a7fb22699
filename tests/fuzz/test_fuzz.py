"""Readers stand what a coverage-guided fuzzer finds in some seconds; `make fuzz` looks longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, inputs_of

SECONDS = 10
MEMORY_MB = 1024


@pytest.mark.parametrize(
    ("target", "path"),
    [(target, path) for target in TARGETS for path in inputs_of(target)],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_what_was_found_before_is_read_or_refused(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_new_is_found_in_some_seconds(target: str, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    options = [f"-max_total_time={SECONDS}", f"-rss_limit_mb={MEMORY_MB}", "-max_len=4096"]
    words = [sys.executable, "-m", "tests.fuzz", target, *options, f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [*words, new, CORPUS / target],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-5000:]
    assert "Done " in said
