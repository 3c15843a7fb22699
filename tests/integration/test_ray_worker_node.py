"""A Ray worker on EC2 ends when its head is gone, whatever Ray itself does then."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ray_tasks.worker_node import HeadWatch, run
from tests.integration.support import gone, until

EVERY_S = 0.05


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """Return what listens as a head does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def watch(head: socket.socket, patience_s: float) -> HeadWatch:
    return HeadWatch.of(f"127.0.0.1:{head.getsockname()[1]}", patience_s)


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_head_is_gone_when_it_was_out_of_reach_for_longer_than_the_patience(
    head: socket.socket,
) -> None:
    patient, hasty = watch(head, 3600), watch(head, 0)
    assert not patient.gone()
    assert not hasty.gone()
    head.close()
    assert not patient.gone()
    assert hasty.gone()


def test_a_node_whose_ray_ends_ends_with_its_exit_code(head: socket.socket) -> None:
    assert run(program("raise SystemExit(7)"), watch(head, 0), EVERY_S) == 7


@pytest.mark.parametrize(
    "ignore", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN);"], ids=["at once", "unwillingly"]
)
def test_a_node_whose_head_is_lost_ends_though_ray_goes_on(
    head: socket.socket,
    tmp_path: Path,
    ignore: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ray_tasks.worker_node.GRACE_S", 0.5)
    note = tmp_path / "pid"
    words = program(
        f"import os, pathlib, signal, time;{ignore}"
        f"pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(300)"
    )
    ends: list[int] = []
    node = threading.Thread(target=lambda: ends.append(run(words, watch(head, 0.2), EVERY_S)))
    node.start()
    until(lambda: note.exists() and note.read_text(), "the start of what Ray would run")
    pid = int(note.read_text())
    assert psutil.pid_exists(pid)
    port = head.getsockname()[1]
    head.close()
    node.join(30)
    assert ends == [1]
    assert gone([pid])
    assert capfd.readouterr().err == f"The head at 127.0.0.1:{port} is gone.\n"
