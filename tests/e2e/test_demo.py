"""The demo as its user runs it: a command of its own, interrupted in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from trivium.local.stack import root

pytestmark = pytest.mark.timeout(600)


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out, heeding_interrupts():
        demo = subprocess.Popen(
            [sys.executable, "-m", "trivium", "demo", "--out", str(tmp_path / "out")],
            cwd=root(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 300
    while b"uploaded" not in said.read_bytes():
        assert demo.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.2)
    started = family_of_the_stack()
    assert len(started) > 5
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=120) == 130
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let processes that are started inside heed Ctrl-C, as a terminal's do.

    What is started in the background by a shell or by a service inherits that it is ignored or
    blocked.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)


def family_of_the_stack() -> list[psutil.Process]:
    """Return every process whose environment names the demo's own stack."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("TRIVIUM_LOCAL") == str(root() / ".local-demo"):
            found.append(process)
    return found
