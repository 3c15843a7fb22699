"""One local stack for all end-to-end tests: emulator, sam deploy, Ray, Slurm or mpirun, agents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.requests import Aws
from trivium.local import stack as local
from trivium.target import Target

# The emulator's measure for the waits between retries: what stays denied fails in a second.
RETRIES_WAIT = "0.02"


@pytest.fixture(scope="session")
def local_stack() -> Iterator[local.LocalStack]:
    with tempfile.TemporaryDirectory(prefix="trv-", dir="/tmp") as folder:
        settings = {
            "TRIVIUM_LOCAL": str(Path(folder) / "stack"),
            "TRIVIUM_ACCESS_LOG": str(Path(folder) / "access.jsonl"),
            "SFN_WAIT_SCALE": RETRIES_WAIT,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            try:
                yield local.up(print)
            finally:
                local.down()


@pytest.fixture(scope="session")
def target(local_stack: local.LocalStack) -> Target:
    """Return the stack as a user of it sees it."""
    return Target.local(local_stack)


@pytest.fixture(scope="session")
def root(local_stack: local.LocalStack) -> Aws:
    """Return clients that may do what a user may not: look at executions, and start them."""
    return local_stack.root
