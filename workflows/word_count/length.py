"""Measures a text."""

from pathlib import Path
from typing import Any


def run(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Write the number of characters of one text, its line ends left out."""
    length = sum(len(line) for line in inputs[0].read_text(encoding="utf-8").splitlines())
    output.write_text(f"{length}\n", encoding="utf-8")
    return {"characters": length}
