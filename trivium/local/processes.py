"""Background processes of the local stack: started into their own group, found again, stopped."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from agents.notes import Note
from placement.errors import UserError

TERM_WAIT_S = 5.0
STOP_TIMEOUT_S = 20.0
# Every process inherits it from the one that was started here, also one that has cut all other ties
# to it: Slurm's job steps and an agent's jobs outlive their parents on purpose.
MARK = "TRIVIUM_PROCESSES"


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Processes:
    """The processes whose notes and logs lie in one folder."""

    folder: Path
    _children: list[subprocess.Popen[bytes]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

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
                env=dict(environment) | {MARK: self._mark},
            )
        self._children.append(process)
        self._note(name).unlink(missing_ok=True)
        Note.of(process.pid).write(self._note(name))

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

    def stop_with(self, name: str, words: Sequence[str]) -> None:
        """Note a command that ends what no signal from here reaches; stopping begins with it."""
        (self.folder / f"{name}.stop").write_text(json.dumps(list(words)))

    def stop_all(self) -> list[str]:
        """Stop every process that was started from this folder; return their names, newest first.

        Each gets SIGTERM with all that came from it, and SIGKILL what is still there after a while.
        """
        for command in sorted(self.folder.glob("*.stop")):
            self._run(command.stem, json.loads(command.read_text()))
            command.unlink()
        notes = sorted(self.folder.glob("*.pid"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for number in (signal.SIGTERM, signal.SIGKILL):
            family = self._families(note.stem for note in notes)
            _signal(family, number)
            self._wait(family)
        for child in self._children:
            # One whose main thread has ended looks as if it had, while its others still end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(TERM_WAIT_S)
        for note in notes:
            note.unlink()
        return [note.stem for note in notes]

    def _run(self, name: str, words: Sequence[str]) -> None:
        with self.log(name).open("ab") as log, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                list(words),
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=STOP_TIMEOUT_S,
            )

    def _wait(self, processes: Iterable[psutil.Process]) -> None:
        """Wait until none of them runs; one of which only the exit code is left has ended."""
        deadline = time.monotonic() + TERM_WAIT_S
        left = list(processes)
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap()
            left = [process for process in left if _runs(process)]
        self._reap()

    def _reap(self) -> None:
        for child in self._children:
            child.poll()

    @property
    def _mark(self) -> str:
        return str(self.folder.resolve())

    def _note(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _find(self, name: str) -> psutil.Process | None:
        note = Note.read(self._note(name))
        return None if note is None else note.process()

    def _families(self, names: Iterable[str]) -> list[psutil.Process]:
        """Return the processes of these names, all that bear the mark, and their descendants."""
        found = {process for name in names if (process := self._find(name)) is not None}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(MARK) == self._mark:
                    found.add(process)
        for process in list(found):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update(process.children(recursive=True))
        found.discard(psutil.Process())
        return sorted(found, key=lambda process: process.pid)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
