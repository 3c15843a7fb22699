"""Takes rights away one at a time, does a job that needs each, and says where it was missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.rights import evidence, only_on_aws
from tests.rights.evidence import AccessLog, Decision, Logs
from tests.rights.jobs import LOOK_EVERY_S, Job, Outcome, Stage
from tests.rights.rights import Document, Right, taken

QUIET_S = 90.0  # how long a job may take until it is denied something
STILL_S = 15.0  # a job that goes on after a denial without an end for so long stands still
RESUMED_S = 60.0
CALM_S = 5.0
# An answer to HEAD has no body that could name a right.
HEAD_REFUSED = "calling the HeadObject operation: Forbidden"
AGENTS = {"ray": "RayAgent", "hpc": "HpcAgent"}


@dataclass(frozen=True)
class Use:
    """A job, and the decisions that it led to with all rights in place."""

    job: Job
    decisions: tuple[Decision, ...]
    seconds: float


@dataclass(frozen=True)
class Finding:
    """What came of taking one right away."""

    right: Right
    job: str
    denied: bool  # the emulator refused this action to a holder of the right
    ended: str | None  # None: the job stood still
    said: str | None  # where the denial is told
    resumed: str | None  # how a job that an agent let stand ended with the right back
    reason: str | None = None  # why only AWS asks for the right

    @property
    def well(self) -> bool:
        """Return whether the right is shown to be needed, or said to be needed on AWS."""
        if self.reason is not None:
            return not self.denied
        return self.denied and self.said is not None


def rehearse(stage: Stage, jobs: Sequence[Job], log: Callable[[], AccessLog]) -> Iterator[Use]:
    """Do every job with all rights in place, and yield what it used.

    Raises:
        AssertionError: a job did not end as it should, or was denied something.

    """
    for job in jobs:
        access, begun_s = log(), time.monotonic()
        outcome = job.do(stage, _never)
        assert outcome.status == job.ends, f"{job.name}: {outcome}"
        decisions = tuple(access.decisions())
        denied = [one for one in decisions if not one.allowed]
        assert not denied or job.name == "no step can begin", f"{job.name}: {denied}"
        yield Use(job, decisions, time.monotonic() - begun_s)


def job_for(document: Document, right: Right, uses: Sequence[Use]) -> Job | None:
    """Return the quickest job that uses a right; of an agent's rights, a job on its cluster.

    A right of several holders counts as used where each of them uses it.
    """
    found: list[Use] = []
    for holder in sorted(document.holders):
        mine = [use for use in uses if _uses(use, holder, right)]
        if not mine:
            return None
        found.append(min(mine, key=lambda use: use.seconds))
    return found[0].job if found else None


def _uses(use: Use, holder: str, right: Right) -> bool:
    agents = [agent for agent, name in AGENTS.items() if f"-{name}Role" in holder]
    if agents and use.job.agent not in agents:
        return False  # an agent asks for something all the time, whatever the job
    return any(
        one.allowed and one.holder == holder and right.allows(one.action, one.resource)
        for one in use.decisions
    )


def try_without(
    stage: Stage, document: Document, right: Right, job: Job, log: Callable[[], AccessLog]
) -> Finding:
    """Take a right away, do the job, give the right back, and say what came of it."""
    words = [f"not authorized to perform: {right.action}"]
    if right.action in {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}:
        words.append(HEAD_REFUSED)
    access, logs = log(), Logs()

    def denied() -> bool:
        return any(
            not one.allowed
            and one.holder in document.holders
            and right.allows(one.action, one.resource)
            for one in access.decisions()
        )

    begun_s, denied_s = time.monotonic(), 0.0

    def still() -> bool:
        nonlocal denied_s
        now_s = time.monotonic()
        if not denied_s and denied():
            denied_s = now_s
        return now_s - (denied_s or begun_s) > (STILL_S if denied_s else QUIET_S)

    with taken(stage.stack.root, document, right):
        outcome = job.do(stage, still)
        told = (_said(stage, outcome, logs, one) for one in words)
        said = next((place for place in told if place is not None), None)
    stands = outcome.status is None and document.owner.startswith(tuple(AGENTS.values()))
    resumed = _resumed(stage, outcome) if stands else None
    # Its retries would be denied, too, what the next job is about to be.
    if outcome.status is None and outcome.upload:
        evidence.stop(stage.stack, outcome.upload, outcome.run)
        if not stands:
            _wait_for_calm(document, access)
    return Finding(right, job.name, denied(), outcome.status, said, resumed)


def unused(right: Right) -> Finding:
    """Return the finding on a right that no job uses."""
    return Finding(right, "", False, None, None, None, only_on_aws.reason(right))


def _said(stage: Stage, outcome: Outcome, logs: Logs, words: str) -> str | None:
    if words in outcome.words:
        return "the command's or the function's answer"
    found = None
    if outcome.upload:
        found = evidence.mention(stage.stack, outcome.upload, outcome.run, words)
    return found or logs.mention(words)


def _resumed(stage: Stage, outcome: Outcome) -> str | None:
    """Wait for the end of a run that stood still; return its status."""
    deadline = time.monotonic() + RESUMED_S
    while time.monotonic() < deadline:
        item = stage.ledger.get(f"run#{outcome.run}", "run") or {}
        if item.get("status", "running") != "running":
            return str(item["status"])
        time.sleep(LOOK_EVERY_S)
    return None


def _wait_for_calm(document: Document, access: AccessLog) -> None:
    """Wait until the holders ask for nothing: the emulator goes on with tasks that were stopped."""
    seen, since_s = -1, time.monotonic()
    deadline_s = since_s + RESUMED_S
    while time.monotonic() < min(deadline_s, since_s + CALM_S):
        asked = sum(one.holder in document.holders for one in access.decisions())
        if asked != seen:
            seen, since_s = asked, time.monotonic()
        time.sleep(LOOK_EVERY_S)


def _never() -> bool:
    return False
