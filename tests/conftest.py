"""Fixtures of all tests: a stack in moto's memory, and a clock that stands still until told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from moto import mock_aws

from control.stack import Stack
from tests.support import ENVIRONMENT, FakeClock, make_stack


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stack(aws_environment: None) -> Iterator[Stack]:
    with mock_aws():
        yield make_stack()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr("runtime.clock.time", fake)
    return fake
