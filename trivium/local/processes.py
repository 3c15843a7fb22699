"""Background processes of the local stack: started into their own group, found again, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from placement.errors import UserError

TERM_WAIT_S = 5.0


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Processes:
    """The processes whose notes and logs lie in one folder."""

    folder: Path

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process that lives on when this one ends; its output goes to `<name>.log`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(environment),
            )
        started_s = psutil.Process(process.pid).create_time()
        self._note(name).write_text(json.dumps({"pid": process.pid, "started_s": started_s}))

    def log(self, name: str) -> Path:
        """Return the file that a process prints into."""
        return self.folder / f"{name}.log"

    def alive(self, name: str) -> bool:
        """Return whether the process that was started under this name still runs."""
        return self._find(name) is not None

    def wait_until(self, name: str, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until a process answers.

        Raises:
            UserError: it ended, or did not answer in time; the sentence names its log.

        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive(name):
                raise UserError(f"{name} ended while it started; see {self.log(name)}.")
            if time.monotonic() > deadline:
                raise UserError(
                    f"{name} did not answer within {timeout_s:.0f} s; see {self.log(name)}."
                )
            time.sleep(0.1)

    def stop_all(self) -> list[str]:
        """Stop every process that was started from this folder, newest first; return their names.

        Each gets SIGTERM with all its descendants, and SIGKILL if it is still there after a while.
        """
        notes = sorted(self.folder.glob("*.pid"), key=lambda p: p.stat().st_mtime, reverse=True)
        families: list[psutil.Process] = []
        for note in notes:
            process = self._find(note.stem)
            if process is not None:
                families += [process, *process.children(recursive=True)]
        for process in families:
            _signal(process, signal.SIGTERM)
        _, left = psutil.wait_procs(families, timeout=TERM_WAIT_S)
        for process in left:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=TERM_WAIT_S)
        for note in notes:
            note.unlink()
        return [note.stem for note in notes]

    def _note(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _find(self, name: str) -> psutil.Process | None:
        try:
            noted = json.loads(self._note(name).read_text())
            process = psutil.Process(noted["pid"])
            same = process.create_time() == noted["started_s"]
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process if same and alive else None


def _signal(process: psutil.Process, number: int) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
