"""What an upload asks for: which workflow, which files, how to place them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from placement.errors import UserError, shown
from placement.probe import LEAST_SHARDS, MOST_SHARDS
from runtime.keys import MANIFEST_NAMES, upload_workflow

# Steps keep a file's name, with a number before it; file systems take 255 bytes.
MAX_FILE_NAME_BYTES = 200
LONGEST_SHOWN = 100  # characters of a field that does not belong there


class ProbeOptions(BaseModel):
    """What a probe may cost, and how many shards of each step it does on every place."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: str = Field(pattern=r"^[0-9]{1,10}(\.[0-9]{1,30})?$")
    shards: int = Field(default=MOST_SHARDS, ge=LEAST_SHARDS, le=MOST_SHARDS)


class Manifest(BaseModel):
    """`manifest.json`: the files of one sample, and what to do with them."""

    model_config = ConfigDict(extra="forbid")

    files: list[str] = Field(min_length=1, max_length=1_000)
    objective: Literal["cost", "time"] | None = None
    deadline_s: float | None = Field(default=None, gt=0, le=1e9)
    policy: str = "trivium"
    place: dict[str, str] = {}
    probe: ProbeOptions | None = None

    @model_validator(mode="after")
    def _probe_places_by_itself(self) -> Self:
        others = {"objective", "deadline_s", "policy", "place"} & self.model_fields_set
        if self.probe is not None and others:
            raise ValueError(f"a probe runs on every place, so it takes no {min(others)}")
        return self


@dataclass(frozen=True)
class Upload:
    """One request to run a workflow."""

    workflow: str
    files: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


def waits_for_manifest(key: str) -> bool:
    """Return whether a file only starts a run together with others.

    `raw/<workflow>/<file>` starts by itself; files in a folder, `raw/<workflow>/<sample>/<file>`,
    wait for the folder's manifest. A folder made in the S3 console, `raw/<workflow>/`, is no file.
    """
    parts = key.split("/")
    if not parts[-1]:
        return True
    if ".." in parts:
        return False  # it is refused, not waited for
    in_folder = len(parts) > 3  # noqa: PLR2004 - raw, workflow, file
    return in_folder and parts[-1] not in MANIFEST_NAMES


def read_upload(key: str, read_bytes: Any) -> Upload:
    """Return what the object that was uploaded asks for.

    Args:
        key: the object's key.
        read_bytes: returns its content; called for a manifest only.

    Raises:
        UserError: the key names no workflow, the manifest is wrong, or a file's name is too long
            or cannot be shown.

    """
    _checked(key)
    workflow = upload_workflow(key)
    if workflow is None or ".." in key.split("/"):
        raise UserError(
            f"The upload {key!r} names no workflow; upload it as raw/<workflow>/<file>."
        )
    folder, _, name = key.rpartition("/")
    if name == "manifest.json":
        manifest = parse_manifest(key, read_bytes())
    elif name == "samplesheet.csv":
        manifest = _manifest(key, {"files": parse_sample_sheet(key, read_bytes())})
    else:
        return Upload(workflow, (key,))
    options = manifest.model_dump(exclude={"files"}, exclude_none=True)
    files = tuple(_in_folder(key, folder, file) for file in manifest.files)
    twice = [file for file in manifest.files if manifest.files.count(file) > 1]
    if twice:
        raise UserError(f"{key} names {twice[0]} twice; name every file once.")
    return Upload(workflow, files, options)


def parse_manifest(key: str, content: bytes) -> Manifest:
    """Return a manifest.

    Raises:
        UserError: it is not JSON, or a field is wrong; the sentence names the field.

    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{key} is not JSON ({error}); mend it and upload it again.") from error
    return _manifest(key, value)


def _manifest(key: str, value: Any) -> Manifest:
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:LONGEST_SHOWN] or "the whole"
        where = where if where.isprintable() else ascii(where)
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{key}: {where}: {said}; mend it and upload it again.") from error


def parse_sample_sheet(key: str, content: bytes) -> list[str]:
    """Return the files that a sample sheet names, in its order.

    The columns `file`, `fastq_1` and `fastq_2` name files; others are left alone.

    Raises:
        UserError: it is not UTF-8 text, or names no file.

    """
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{key} is not a CSV file in UTF-8; save it as one.") from error
    columns = ("file", "fastq_1", "fastq_2")
    files = [row[name].strip() for row in rows for name in columns if (row.get(name) or "").strip()]
    if not files:
        raise UserError(
            f"{key} names no file; give it a column `file`, or `fastq_1` and `fastq_2`."
        )
    return files


def _in_folder(key: str, folder: str, file: str) -> str:
    parts = file.split("/")
    if not all(parts) or ".." in parts or "." in parts:
        raise UserError(
            f"{key} names the file {file!r}; name files that lie in its own folder, without `..`."
        )
    return _checked(f"{folder}/{file}")


def _checked(key: str) -> str:
    """Return a file's key if its name is one that every platform can take."""
    name = key.rsplit("/", 1)[-1]
    if key != shown(key) or "\n" in key:
        raise UserError(f"The key {key!r} has a control character; rename the file.")
    size = len(name.encode())
    if size > MAX_FILE_NAME_BYTES:
        raise UserError(
            f"The name of the file {name[:40]!r}... has {size} bytes; rename it to at most "
            f"{MAX_FILE_NAME_BYTES}."
        )
    return key
