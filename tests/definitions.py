"""The state machines' definitions as data, and every way in which they say that a state fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MACHINES = {"step": "StepMachine", "workflow": "WorkflowMachine"}
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
TIME_OUTS = ("TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath")


def definition_text(machine: str) -> str:
    """Return a definition as it lies in the repository."""
    return (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")


def definition(machine: str) -> dict[str, Any]:
    """Return a definition with every placeholder filled in with 1, a number or a text."""
    return dict(json.loads(PLACEHOLDER.sub("1", definition_text(machine))))


def scopes(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the machine and everything inside it that has states of its own."""
    yield machine
    for state in machine["States"].values():
        inner = [state[name] for name in ("ItemProcessor", "Iterator") if name in state]
        for scope in [*inner, *state.get("Branches", [])]:
            yield from scopes(scope)


def states(machine: str) -> dict[str, dict[str, Any]]:
    """Return every state by its name, those inside Maps as well."""
    return {
        name: state
        for scope in scopes(definition(machine))
        for name, state in scope["States"].items()
    }


def retried_errors(machine: str) -> Iterator[tuple[str, int, str]]:
    """Yield every state that retries: its name, which of its retriers, and one error of that."""
    for name, state in states(machine).items():
        for number, retrier in enumerate(state.get("Retry", [])):
            for error in retrier["ErrorEquals"]:
                yield name, number, error


def failure_paths(machine: str) -> Iterator[str]:
    """Yield a name for every catcher, every retrier that gives up, and every time-out."""
    for scope in scopes(definition(machine)):
        if "TimeoutSeconds" in scope:
            yield f"{machine}: TimeoutSeconds"
    for name, state in states(machine).items():
        for kind in ("Catch", "Retry"):
            yield from (f"{machine}: {name} {kind} {i}" for i in range(len(state.get(kind, []))))
        yield from (f"{machine}: {name} {kind}" for kind in TIME_OUTS if kind in state)
