"""Notes of background processes, by which they are found again by whoever comes later.

A process id alone does not do: the system gives it to another process once the first has ended.
A note therefore holds the time at which the process began as well.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

# The system derives a start time from the clock, which may be set meanwhile. No id comes round
# again within so short a time.
CLOCK_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class Note:
    """Which process it is: its id, and when it began, in seconds since the epoch."""

    pid: int
    started_s: float

    @staticmethod
    def of(pid: int) -> Note:
        """Return the note of a process that lives, or has not been waited for yet."""
        return Note(pid, psutil.Process(pid).create_time())

    @staticmethod
    def read(path: Path) -> Note | None:
        """Return the note in a file, or None where there is none."""
        try:
            value = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return Note(int(value["pid"]), float(value["started_s"]))

    def write(self, path: Path) -> bool:
        """Write the note to a file that does not exist yet, whole or not at all.

        Returns whether it was written; False where there is one already.
        """
        whole = path.with_name(f"{path.name}.{os.getpid()}")
        whole.write_text(json.dumps({"pid": self.pid, "started_s": self.started_s}))
        try:
            path.hardlink_to(whole)
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        return True

    def process(self) -> psutil.Process | None:
        """Return the process while it runs; a zombie has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) < CLOCK_TOLERANCE_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None
