"""Fixtures of all tests: a stack in moto's memory, a clock that stands still, the command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from moto import mock_aws
from xdist.scheduler import LoadFileScheduling

from control.stack import Stack
from tests.command import Done, Run, run_command
from tests.support import ENVIRONMENT, FakeClock, make_stack, set_environment

# The same examples everywhere, unless somebody looks for new ones: HYPOTHESIS_PROFILE=explore.
# No test asserts a time: a machine that is busy must not fail one.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


class OneStack(LoadFileScheduling):  # type: ignore[misc]
    """Gives a worker whole files, and all end-to-end tests to one: they share a local stack."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneStack:
    return OneStack(config, log)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    set_environment(monkeypatch, ENVIRONMENT)
    with mock_aws():
        yield make_stack()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr("runtime.clock.time", fake)
    return fake


@pytest.fixture
def trivium(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs the command, as if nothing were set up for AWS or for Trivium."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TRIVIUM_"))]:
        monkeypatch.delenv(name)

    def run(*words: object) -> Done:
        return run_command(capsys, *words)

    return run
