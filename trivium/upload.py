"""Uploads the files of one sample, and its manifest last: that starts the run."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from control.upload import read_upload
from placement.errors import UserError
from runtime.keys import UPLOAD_PREFIX, run_id
from trivium.target import Target


def upload(target: Target, workflow: str, files: Sequence[Path], options: Mapping[str, Any]) -> str:
    """Upload files and start a run; return the run's name.

    Raises:
        UserError: a file is not there, two have one name, or an option or a name is refused;
            nothing has been uploaded then.

    """
    check_files(files)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = f"{UPLOAD_PREFIX}{workflow}/{moment}-{secrets.token_hex(3)}"
    key = f"{folder}/manifest.json"
    body = json.dumps({"files": [path.name for path in files], **options}).encode()
    read_upload(key, lambda: body)
    for path in files:
        target.stack.store.upload(path, f"{folder}/{path.name}")
    bucket = target.stack.store.bucket
    answer = target.stack.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return run_id(workflow, bucket, key, answer.get("VersionId", "null"))


def check_files(files: Sequence[Path]) -> None:
    """Refuse files that cannot be one sample.

    Raises:
        UserError: a file is not there, or two have one name.

    """
    for path in files:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
    names = [path.name for path in files]
    if len(set(names)) < len(names):
        raise UserError("Two of the files have the same name; rename one of them.")
