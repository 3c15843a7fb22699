"""Counts the AWS requests that this process makes, because AWS bills them."""

import threading
from collections import Counter
from typing import Any

import boto3
from botocore.config import Config

# S3 bills PUT, COPY, POST and LIST in one class and everything else in another; DELETE is free
# (aws.amazon.com/s3/pricing, "Requests & data retrievals").
S3_PUT_CLASS = frozenset(
    {
        "PutObject",
        "CopyObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "ListObjectsV2",
        "ListObjects",
        "ListObjectVersions",
    }
)
S3_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
DYNAMODB_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"})


class RequestCount:
    """A running count of requests by billing class; safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, service: str, operation: str) -> None:
        """Count one request that is about to be sent; a retry is sent, and billed, again."""
        kind = billing_class(service, operation)
        if kind is not None:
            with self._lock:
                self._counts[kind] += 1

    def snapshot(self) -> Counter[str]:
        """Return the counts so far."""
        with self._lock:
            return Counter(self._counts)

    def since(self, earlier: Counter[str]) -> dict[str, int]:
        """Return what has been counted since a snapshot, sorted by class."""
        now = self.snapshot()
        return {
            kind: now[kind] - earlier[kind] for kind in sorted(now) if now[kind] > earlier[kind]
        }

    def forget_since(self, earlier: Counter[str]) -> None:
        """Go back to a snapshot: what came after it is on record, and must not be so twice."""
        with self._lock:
            self._counts = Counter(earlier)


def billing_class(service: str, operation: str) -> str | None:
    """Return the class in which AWS bills a request, or None where requests are free."""
    if service == "s3":
        if operation in S3_FREE:
            return None
        return "s3_put" if operation in S3_PUT_CLASS else "s3_get"
    if service == "dynamodb":
        return "dynamodb_write" if operation in DYNAMODB_WRITES else "dynamodb_read"
    if service == "sqs":
        return "sqs"
    return None


class Aws:
    """The boto3 clients of one process, whose requests are counted.

    A client is made when it is first asked for: each costs tens of milliseconds of a cold start.
    """

    def __init__(
        self, session: boto3.Session | None = None, endpoint_url: str | None = None
    ) -> None:
        self.requests = RequestCount()
        self._endpoint_url = endpoint_url
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._session = session or boto3.Session()
        self._session.events.register("before-send", self._count)

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(  # type: ignore[call-overload]
                    service,
                    endpoint_url=self._endpoint_url,
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 6},
                        max_pool_connections=32,
                        connect_timeout=5,
                        read_timeout=70,
                        # Bodies carry a checksum. Over TLS boto3 signs no hash of them; on the
                        # local stack, over loopback, hashing took more than sending.
                        s3={"payload_signing_enabled": False},
                    ),
                )
            return self._clients[service]

    def _count(self, event_name: str, **_: Any) -> None:
        words = event_name.split(".", 2)
        self.requests.add(words[1], words[2])
