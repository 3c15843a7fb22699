"""Map tasks that behave in the ways that a runner must cope with."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from placement.errors import UserError

GATE_TIMEOUT_S = 60.0


def upper(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Write the text in capitals."""
    text = inputs[0].read_text()
    output.write_text(text.upper())
    return {"characters": len(text)}


def refuse(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Find every text wrong."""
    raise UserError(f"{inputs[0].name}: says nothing; write something for {output.suffix}.")


def crash(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Have a bug."""
    raise ZeroDivisionError(f"no {output.name} from {inputs[0].name}")


def gated(inputs: list[Path], output: Path, gate: str) -> dict[str, Any]:
    """Say in the folder `gate` that the task began, and go on when a file `open` lies there."""
    pass_gate(Path(gate), inputs[0].name)
    return upper(inputs, output)


def picky(inputs: list[Path], output: Path, gate: str, wrong: str) -> dict[str, Any]:
    """Find the text of this name wrong as soon as another task has begun; hold the others up."""
    if inputs[0].name != wrong:
        return gated(inputs, output, gate)
    while not list(Path(gate).glob("began-*")):
        time.sleep(0.02)
    return refuse(inputs, output)


def pass_gate(gate: Path, name: str) -> None:
    """Leave a file that names this process, and wait until the gate is open."""
    (gate / f"began-{name}-{os.getpid()}").touch()
    deadline = time.monotonic() + GATE_TIMEOUT_S
    while not (gate / "open").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{gate} was not opened")
        time.sleep(0.02)


def hoard(inputs: list[Path], output: Path, gate: str) -> dict[str, Any]:
    """Take ever more memory, until somebody ends this process or 8 GB are taken."""
    (Path(gate) / f"began-{inputs[0].name}-{os.getpid()}").touch()
    taken: list[bytearray] = []
    while len(taken) < 160:
        taken.append(bytearray(b"x") * (50 * 2**20))
        time.sleep(0.02)
    output.write_text("all of it")
    return {}
