"""Runs one task: a Python callable or a command line that reads and writes local files."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placement.errors import UserError

COMMAND_OUTPUT_SHOWN = 2_000  # characters of a failed command's last words


@dataclass(frozen=True)
class TaskCode:
    """What a step runs: exactly one of a callable, `module:function`, and a command, words."""

    run: str | None
    command: tuple[str, ...] | None
    parameters: Mapping[str, Any]

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TaskCode:
        """Return the code that a part's description names."""
        command = value.get("command")
        return TaskCode(
            run=value.get("run"),
            command=tuple(command) if command else None,
            parameters=dict(value.get("parameters") or {}),
        )


def run_task(code: TaskCode, inputs: Sequence[Path], output: Path) -> dict[str, Any]:
    """Run one task and return the small JSON counts that it returns.

    Raises:
        UserError: the task says that its input is wrong, its code cannot be found, its command
            failed, or it left no output.

    """
    if code.run is not None:
        counts = _call(code.run, inputs, output, code.parameters)
    elif code.command is not None:
        run_command(fill_in(code.command, inputs, output, code.parameters))
        counts = {}
    else:
        raise UserError("The step names neither `run` nor `command`; give it one of them.")
    if not output.exists():
        raise UserError(f"The task {code.run or code.command} ended without writing its output.")
    try:
        json.dumps(counts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The task {code.run} returned counts that are not JSON ({error}); "
            "return plain finite numbers and texts."
        ) from error
    return dict(counts)


def _call(
    name: str, inputs: Sequence[Path], output: Path, parameters: Mapping[str, Any]
) -> Mapping[str, Any]:
    function = load_callable(name)
    try:
        return function(list(inputs), output, **parameters) or {}
    except SystemExit as stop:
        # It would end the worker, and its other tasks with it.
        raise UserError(f"The task {name} ended its process with {stop.code}.") from stop


def load_callable(name: str) -> Callable[..., dict[str, Any] | None]:
    """Return the function that `module:function` names.

    Raises:
        UserError: there is none.

    """
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"The step's `run: {name}` cannot be loaded ({error}); "
            "name an importable `module:function`."
        ) from error
    return function  # type: ignore[no-any-return]


def fill_in(
    command: Sequence[str], inputs: Sequence[Path], output: Path, parameters: Mapping[str, Any]
) -> list[str]:
    """Return the command with its placeholders filled in.

    `{inputs}` as a word of its own becomes one word per input, inside a longer word their paths
    with spaces between; `{output}` and `{NAME of a parameter}` become their values.
    """
    values = {name: str(value) for name, value in parameters.items()}
    values |= {"output": str(output), "inputs": " ".join(map(str, inputs))}
    words: list[str] = []
    for word in command:
        if word == "{inputs}":
            words.extend(map(str, inputs))
        else:
            # In one pass, so that a value that looks like a placeholder stays as it is.
            words.append(re.sub(r"\{(\w+)\}", lambda hit: values.get(hit[1], hit[0]), word))
    return words


def run_command(words: Sequence[str]) -> None:
    """Run a command with this interpreter's directory first on its PATH.

    Raises:
        UserError: it could not be started, or did not end with 0: with its last words.

    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    try:
        done = subprocess.run(
            list(words),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": path},
        )
    except OSError as error:
        raise UserError(f"The command {words[0]} cannot be started: {error.strerror}.") from error
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()[-COMMAND_OUTPUT_SHOWN:]
        raise UserError(f"The command {words[0]} ended with {done.returncode}: {said}")
