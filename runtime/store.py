"""The bucket: objects in, objects out."""

import json
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError

from placement.errors import UserError
from runtime.requests import Aws

PARALLEL_REQUESTS = 16
# Up to here one request moves an object; above, the transfer manager splits it into several.
ONE_REQUEST_BYTES = 16 * 2**20
# An answer that breaks off in its body is the caller's to ask for again: boto3 has retried by then.
BROKEN_OFF = (IncompleteReadError, ResponseStreamingError)
READ_ATTEMPTS = 5
MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}


# The version of an object in a bucket that keeps none.
NO_VERSION = "null"


@dataclass(frozen=True)
class StoredObject:
    """One object: where it lies, how large it is, and which version is meant; None: the newest."""

    key: str
    size_bytes: int
    version: str | None = None

    @property
    def name(self) -> str:
        """Return the last component of the key."""
        return self.key.rsplit("/", 1)[-1]


class Store:
    """One S3 bucket."""

    def __init__(self, aws: Aws, bucket: str) -> None:
        self.bucket = bucket
        self._aws = aws

    @property
    def _s3(self) -> Any:
        return self._aws.client("s3")

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON, sorted by key."""
        body = json.dumps(value, sort_keys=True, separators=(",", ":"))
        self.put_text(key, body, "application/json")

    def put_text(self, key: str, text: str, content_type: str) -> None:
        """Write a text."""
        self._s3.put_object(
            Bucket=self.bucket, Key=key, Body=text.encode(), ContentType=content_type
        )

    def get_bytes(
        self, key: str, span: tuple[int, int] | None = None, version: str | None = None
    ) -> bytes:
        """Return an object, or the bytes of it from span[0] up to, not including, span[1].

        Raises:
            UserError: there is no such object.

        """
        asked = _of_version(version)
        if span is not None:
            asked["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                answer = self._s3.get_object(Bucket=self.bucket, Key=key, **asked)
                return bytes(answer["Body"].read())
            except BROKEN_OFF:
                if attempt == READ_ATTEMPTS:
                    raise
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    raise self._missing(key) from error
                raise
        raise AssertionError("the last attempt returns or raises")

    def get_json(self, key: str) -> Any:
        """Return a JSON object.

        Raises:
            UserError: there is no such object.

        """
        return json.loads(self.get_bytes(key))

    def get_all_json(self, keys: Sequence[str]) -> list[Any]:
        """Return many JSON objects, in the order of their keys."""
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            return list(pool.map(self.get_json, keys))

    def find(self, key: str) -> Any | None:
        """Return a JSON object, or None where there is none."""
        try:
            return self.get_json(key)
        except UserError:
            return None

    def head(self, key: str, version: str | None = None) -> StoredObject:
        """Return an object as it is now, or a version of it.

        Raises:
            UserError: there is no such object.

        """
        try:
            answer = self._s3.head_object(Bucket=self.bucket, Key=key, **_of_version(version))
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                raise self._missing(key) from error
            raise
        found = answer.get("VersionId", NO_VERSION)
        return StoredObject(
            key, int(answer["ContentLength"]), None if found == NO_VERSION else str(found)
        )

    def listing(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects under a prefix in the order of their keys."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        for page in pages:
            for entry in page.get("Contents", []):
                yield StoredObject(entry["Key"], entry["Size"])

    def download(
        self, key: str, path: Path, size_bytes: int | None = None, version: str | None = None
    ) -> None:
        """Bring an object to a local file, all of it or nothing; knowing its size saves requests.

        Raises:
            UserError: there is no such object.

        """
        if size_bytes is not None and size_bytes <= ONE_REQUEST_BYTES:
            part = path.with_name(f".{secrets.token_hex(8)}.part")  # `path`'s name may be too long
            try:
                part.write_bytes(self.get_bytes(key, version=version))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            return
        # The transfer manager writes beside the file, and renames.
        try:
            self._s3.download_file(self.bucket, key, str(path), ExtraArgs=_of_version(version))
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                raise self._missing(key) from error
            raise

    def download_all(self, wanted: Sequence[tuple[StoredObject, Path]]) -> None:
        """Bring many objects, several at a time.

        Raises:
            UserError: one is missing.

        """

        def bring(one: tuple[StoredObject, Path]) -> None:
            stored, path = one
            self.download(stored.key, path, stored.size_bytes, stored.version)

        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, max(1, len(wanted)))) as pool:
            list(pool.map(bring, wanted))

    def upload(self, path: Path, key: str) -> StoredObject:
        """Put a local file under a key; readers see all of it or nothing."""
        size_bytes = path.stat().st_size
        if size_bytes <= ONE_REQUEST_BYTES:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes())
        else:
            self._s3.upload_file(str(path), self.bucket, key)
        return StoredObject(key, size_bytes)

    def upload_all(self, files: Sequence[tuple[Path, str]]) -> list[StoredObject]:
        """Put many files, several at a time; return them in their order."""
        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, max(1, len(files)))) as pool:
            return list(pool.map(lambda one: self.upload(*one), files))

    def _missing(self, key: str) -> UserError:
        return UserError(f"There is no object s3://{self.bucket}/{key}; upload it and start again.")


def _of_version(version: str | None) -> dict[str, str]:
    return {} if version is None else {"VersionId": version}
