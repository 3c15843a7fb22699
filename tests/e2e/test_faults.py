"""Runs end with the same bytes whatever is done to them: a few faults, on the running stack.

`python -m tests.faults` does so with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.injections import catalogue
from tests.faults.stage import Stage
from tests.faults.sweep import plan, sweep, undisturbed
from trivium.local.stack import LocalStack

pytestmark = pytest.mark.timeout(600)
SEED = 20261122
FAULTS = (
    "ray: the agent dies after submitting",
    "hpc: the agent dies before deleting the message",
    "hpc: the job is killed",
    "lambda: a worker is killed",
)


@pytest.fixture
def stage(local_stack: LocalStack) -> Iterator[Stage]:
    with Stage(local_stack) as made:
        yield made


def test_faults_leave_the_bytes_the_account_and_the_queues_as_they_should_be(stage: Stage) -> None:
    chosen = [one for one in catalogue(stage) if one.name in FAULTS]
    assert len(chosen) == len(FAULTS)
    planned = plan(chosen, count=len(chosen), pairs=0, seed=SEED)
    findings = sweep(stage, planned, undisturbed(stage, planned), lambda _: None)
    assert [finding for finding in findings if not finding.held] == []
    assert {finding.verdict.ended for finding in findings} == {"succeeded"}
