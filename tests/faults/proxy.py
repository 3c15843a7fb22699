"""A proxy on loopback between one part and the emulator, which can be told to do wrong."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from trivium.local.processes import free_port

type Wrong = Literal["refuses", "throttles", "slow", "cuts the answer", "loses the answer"]
WRONGS: tuple[Wrong, ...] = (
    "refuses",
    "throttles",
    "slow",
    "cuts the answer",
    "loses the answer",
)
SLOW_S = 2.0
ANSWER_S = 90.0


@dataclass
class Order:
    """What to do wrong, with how many requests, to which service."""

    wrong: Wrong
    times: int
    service: str  # a word of X-Amz-Target, or s3
    method: str | None = None
    slow_s: float = SLOW_S
    run: str | None = None  # only requests that name this run


class Server(ThreadingHTTPServer):
    """Serves each request in a thread; who hangs up early is no news, for killed processes do."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Proxy:
    """One proxy: where it listens, and what it has been told."""

    def __init__(self, endpoint: str) -> None:
        there = urlsplit(endpoint)
        self._there = (there.hostname or "", there.port or 80)
        self._order: Order | None = None
        self._lock = threading.Lock()
        self.done = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                proxy._serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        port = free_port()
        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def tell(self, order: Order) -> None:
        """Do wrong from now on, until it has been done so many times."""
        with self._lock:
            self._order, self.done = order, 0

    def forgive(self) -> None:
        """Do right from now on."""
        with self._lock:
            self._order = None

    def _taken(self, request: BaseHTTPRequestHandler, body: bytes) -> Order | None:
        target = request.headers.get("X-Amz-Target")
        with self._lock:
            order = self._order
            if order is None:
                return None
            is_s3 = target is None and request.path.startswith("/trivium-data-")
            if not (is_s3 if order.service == "s3" else order.service in (target or "")):
                return None
            if order.method is not None and order.method != request.command:
                return None
            named = order.run is None or order.run in request.path or order.run.encode() in body
            if not named:
                return None
            self.done += 1
            if self.done >= order.times:
                self._order = None
            return order

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = _body(request)
        order = self._taken(request, body)
        wrong = None if order is None else order.wrong
        if order is not None and wrong == "slow":
            time.sleep(order.slow_s)
        if wrong == "refuses":
            request.close_connection = True
            return
        if wrong == "throttles":
            said = (
                b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
            )
            _answer(request, 503, [("Content-Type", "application/xml")], said)
            return
        try:
            status, headers, content = self._forward(request, body)
        except (OSError, http.client.HTTPException):
            request.close_connection = True
            return
        if wrong == "loses the answer":
            request.close_connection = True
            return
        try:
            _answer(request, status, headers, content, half=wrong == "cuts the answer")
        except OSError:
            request.close_connection = True

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self._there, timeout=ANSWER_S)
        try:
            connection.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() not in {"expect", "connection", "transfer-encoding"}:
                    connection.putheader(name, value)
            if "Content-Length" not in request.headers and body:
                connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Connection", "close")
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
        whole = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            whole += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return whole
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))


def _answer(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    content: bytes,
    *,
    half: bool = False,
) -> None:
    request.send_response_only(status)
    no_body = request.command == "HEAD"
    for name, value in headers:
        if name.lower() in {"connection", "transfer-encoding"}:
            continue
        if name.lower() == "content-length" and not no_body:
            continue
        request.send_header(name, value)
    if not no_body:
        request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if no_body:
        return
    request.wfile.write(content[: len(content) // 2] if half else content)
    request.wfile.flush()
    if half:
        request.close_connection = True
