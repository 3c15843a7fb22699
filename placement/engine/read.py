"""What `trivium plan` is given: a workflow trace or a workflow file, told apart by content."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from placement.books import PlatformBook
from placement.engine.from_workflow import graph_of_workflow
from placement.engine.taskgraph import TaskGraph
from placement.engine.trace_json import parse
from placement.engine.wfformat import graph_of
from placement.errors import UserError
from placement.workflow_file import load_workflow

_YAML = {".yaml", ".yml"}


def read_graph(path: Path, book: PlatformBook, uploads: Mapping[str, tuple[int, ...]]) -> TaskGraph:
    """Read a trace (a JSON object) or a workflow file (YAML).

    `uploads` holds the sizes in bytes of a workflow's uploaded files, by role; a trace has its
    own. Raises UserError: one sentence.
    """
    with _no_collection():
        return _graph_of(path, _bytes(path), book, uploads)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Spare a large trace the garbage collector, which would go through its values again and again.

    They hold no cycles.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _graph_of(
    path: Path, raw: bytes, book: PlatformBook, uploads: Mapping[str, tuple[int, ...]]
) -> TaskGraph:
    if not raw.strip():
        raise UserError(f"{path.name} is empty; give a trace in WfFormat or a workflow file.")
    if _is_json(path, raw):
        data = parse(raw, path.name)
        if not (isinstance(data, dict) and "steps" in data and "workflow" not in data):
            if uploads:
                raise UserError(
                    f"{path.name} is a trace, which states the sizes of its files; "
                    "--upload is for workflow files."
                )
            return graph_of(data, path.name, book)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not text in UTF-8.") from error
    return graph_of_workflow(load_workflow(text, path.name), uploads, book)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _is_json(path: Path, raw: bytes) -> bool:
    """Whether to read JSON; YAML may begin with a brace too, so there the name decides."""
    begins_so = raw[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    suffix = path.suffix.lower()
    if begins_so and suffix in _YAML:
        try:
            parse(raw, path.name)
        except UserError:
            return False
    return begins_so or suffix == ".json"
