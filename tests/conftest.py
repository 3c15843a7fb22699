"""Fixtures of all tests: a stack in moto's memory, and a clock that stands still until told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from moto import mock_aws

from control.stack import Stack
from tests.support import ENVIRONMENT, FakeClock, make_stack, set_environment

# The same examples everywhere, unless somebody looks for new ones: HYPOTHESIS_PROFILE=explore.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


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
