"""`trivium` as its user runs it, in the process of the tests: how it ends, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from trivium.cli import app, guarded

# The fields that every plan has as JSON; "deadline_s", "budget_usd" and "reason" may come on top.
PLAN_KEYS = {
    "workflow",
    "policy",
    "objective",
    "makespan_s",
    "cost_usd",
    "bound",
    "gap",
    "feasible",
    "assumptions",
    "steps",
    "planner_s",
    "seed",
    "thorough",
    "books",
    "version",
    "items",
    "timeline",
}


@dataclass(frozen=True)
class Done:
    """How a command ended; what it says of its progress is in `talk`, not in `err`."""

    code: int
    out: str
    err: str
    talk: str

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.out)
        return data


type Run = Callable[..., Done]


def run_command(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    capsys.readouterr()
    code = guarded(lambda: app([str(word) for word in words], standalone_mode=False))
    out, err = capsys.readouterr()
    talk: list[str] = []
    said: list[str] = []
    for line in err.splitlines():
        (talk if line.startswith("·") else said).append(line)
    return Done(code, out, "\n".join(said), "\n".join(talk))


def check_refused(done: Done, said: str = "") -> None:
    """Check that a mistake was told in one sentence with these words in it, and nothing else."""
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert done.err.strip()
    assert said in done.err
    assert "Traceback" not in done.err
