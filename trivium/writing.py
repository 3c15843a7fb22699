"""Files that a command writes: refused early where they cannot be, replaced once they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from placement.errors import UserError
from trivium.console import say


def check_outputs(outputs: Mapping[str, Path | None], sources: Iterable[Path] = ()) -> None:
    """Refuse files that cannot or must not be written, before anything is worked out.

    `outputs` has a path for each option that names one; None: it was not given.

    Raises:
        UserError: a path is a folder, is in none, is one of the `sources`, or is named twice.

    """
    taken = {source.resolve(): "" for source in sources}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.is_dir():
            raise UserError(f"{path} is a folder; {option} takes the name of a file.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"there is no folder {path.parent} for {option}.")
        other = taken.setdefault(path.resolve(), option)
        if not other:
            raise UserError(f"{option} would overwrite {path}; give it another name.")
        if other != option:
            raise UserError(f"{other} and {option} would both write {path}.")


def write_text(path: Path, text: str) -> None:
    """Write a file in place of what was there. Raises UserError: it cannot be written."""
    try:
        with replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    say(f"wrote {path}")


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file that takes the place of another once all of it is written.

    Whatever ends the writing before leaves what was there. What is no ordinary file, such as
    /dev/stdout, is written as it is.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    target = path.resolve()  # a link stays one
    begun = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with begun.open("w", encoding="utf-8") as file:
            yield file
        begun.replace(target)
    finally:
        begun.unlink(missing_ok=True)
