"""Files that the command writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


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
