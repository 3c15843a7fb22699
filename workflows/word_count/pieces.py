"""Cuts texts into pieces of whole lines."""

from pathlib import Path
from typing import Any

from placement.errors import UserError


def run(inputs: list[Path], output: Path, lines_per_piece: int) -> dict[str, Any]:
    """Write the lines of all texts into files of `lines_per_piece` lines each; return counts.

    Raises:
        UserError: a text is not UTF-8.

    """
    output.mkdir()
    piece: list[str] = []
    lines = pieces = 0
    for path in inputs:
        try:
            with path.open(encoding="utf-8") as text:
                for line in text:
                    piece.append(line if line.endswith("\n") else f"{line}\n")
                    lines += 1
                    if len(piece) == lines_per_piece:
                        _write(output, pieces, piece)
                        pieces, piece = pieces + 1, []
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path.name} is not text in UTF-8 (byte {error.start}); convert it first."
            ) from error
    if piece:
        _write(output, pieces, piece)
        pieces += 1
    return {"lines": lines, "pieces": pieces}


def _write(folder: Path, number: int, lines: list[str]) -> None:
    (folder / f"{number:05d}.txt").write_text("".join(lines), encoding="utf-8")
