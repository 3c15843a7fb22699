"""One local stack for all end-to-end tests: emulator, sam deploy, Ray, Slurm or mpirun, agents."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivium.local import stack as local
from trivium.target import Target


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="trv-", dir="/tmp") as folder:
        before = os.environ.get("TRIVIUM_LOCAL")
        os.environ["TRIVIUM_LOCAL"] = str(Path(folder) / "stack")
        try:
            yield Target.local(local.up(print))
        finally:
            local.down()
            if before is None:
                del os.environ["TRIVIUM_LOCAL"]
            else:
                os.environ["TRIVIUM_LOCAL"] = before
