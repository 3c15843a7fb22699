"""A worker node of Ray: `python -m ray_tasks.worker_node HOST:PORT`, the address of its head.

It does what `ray start --block` does, and ends with its head. A node that has lost its head is not
always ended by Ray (https://github.com/ray-project/ray/issues/64349): it would wait, and be paid
for, without end.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# As long as Ray itself waits for a head (gcs_rpc_server_reconnect_timeout_s).
PATIENCE_S = 60.0
GRACE_S = 30.0  # for Ray to end its processes
OBJECT_STORE_BYTES = 200 * 2**20


@dataclass
class HeadWatch:
    """Whether a head is gone: nothing has taken a connection at its address for a while."""

    host: str
    port: int
    patience_s: float = PATIENCE_S
    _last_seen_s: float = field(default_factory=time.monotonic)

    @staticmethod
    def of(address: str, patience_s: float = PATIENCE_S) -> HeadWatch:
        """Return the watch of a head at HOST:PORT."""
        host, _, port = address.rpartition(":")
        return HeadWatch(host, int(port), patience_s)

    def gone(self) -> bool:
        """Try to reach the head; say whether it has not been reached for too long."""
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return time.monotonic() - self._last_seen_s > self.patience_s
        self._last_seen_s = time.monotonic()
        return False


def run(words: list[str], watch: HeadWatch, every_s: float = 5.0) -> int:
    """Run a command as long as there is a head; return its exit code, or 1 where it was ended."""
    with subprocess.Popen(words) as process:
        while True:
            try:
                return process.wait(every_s)
            except subprocess.TimeoutExpired:
                if watch.gone():
                    sys.stderr.write(f"The head at {watch.host}:{watch.port} is gone.\n")
                    _end(process)
                    return 1


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def main(address: str) -> int:
    """Run a node of the cluster whose head has this address."""
    words = [str(Path(sys.executable).parent / "ray"), "start", "--block", f"--address={address}"]
    words += ["--disable-usage-stats", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    return run(words, HeadWatch.of(address))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
