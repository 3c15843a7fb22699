"""The wrapper of one part inside its allocation: `python -m hpc.job PART_KEY`.

For an MPI step it brings the inputs to the scratch folder that all ranks see, runs the program
under `mpirun`, and puts its output back. For a map step it starts ranks that share the batches.
Either way it leaves the exit record.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.batch import Call, Part, Spent, fetch_flat, mpi_batch, put_output
from runtime.clock import now_s
from runtime.exit_record import TaskFailedError, run_job
from runtime.requests import Aws
from runtime.settings import from_environment, variable
from runtime.store import Store

LAST_WORDS = 2_000  # characters of a failed program's output that go into the reason
# The sentence by which a program says that its input is wrong, as its last line on stderr.
USER_ERROR_MARK = "UserError: "


def mpirun(words: list[str], log: Path) -> None:
    """Run a program on all ranks of the allocation.

    Raises:
        TaskFailedError: it did not end with 0.

    """
    command = ["mpirun", "-n", variable("TRIVIUM_RANKS"), "--oversubscribe", "--bind-to", "none"]
    if os.geteuid() == 0:
        command.append("--allow-run-as-root")
    with log.open("wb") as out:
        done = subprocess.run(
            [*command, sys.executable, "-m", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        said = log.read_text(errors="replace").strip()
        for line in reversed(said.splitlines()):
            if USER_ERROR_MARK in line:
                raise TaskFailedError("UserError", line.split(USER_ERROR_MARK, 1)[1])
        raise TaskFailedError(
            "MpiProgramFailed", f"mpirun ended with {done.returncode}: {said[-LAST_WORDS:]}"
        )


def run_mpi_program(aws: Aws, store: Store, part: Part, scratch: Path) -> None:
    """Run an MPI step: one program, one result."""
    folder = scratch / f"{part.keys.run}-{part.keys.step}"
    inputs, output = folder / "in", folder / "out"
    for path in (inputs, output):
        shutil.rmtree(path, ignore_errors=True)
    output.mkdir(parents=True)

    def program(spent: Spent) -> dict[str, Any]:
        fetch_flat(store, store.get_json(part.keys.shared), inputs, spent)
        words = [str(part.code.run), "--inputs", str(inputs), "--output", str(output)]
        words += ["--checkpoint", str(folder / "checkpoint")]
        for name, value in sorted(part.code.parameters.items()):
            words += ["--parameter", f"{name}={value}"]
        with spent.timed("compute"):
            mpirun(words, folder / "program.log")
        counts = json.loads((output / "result.json").read_text())
        with spent.timed("transfer"):
            outputs = put_output(store, output, part.keys.task_output(0))
        return {"task": 0, "outputs": [[o.key, o.size_bytes] for o in outputs], "counts": counts}

    call = Call("job", f"{variable('TRIVIUM_RANKS')} ranks", now_s(), 0.0)
    mpi_batch(aws, store, part, call, program)
    shutil.rmtree(folder)


def main(part_key: str) -> int:
    """Run the part; return the exit code."""
    settings = from_environment()
    aws = Aws()
    store = Store(aws, settings.bucket)
    scratch = Path(variable("TRIVIUM_SCRATCH"))
    kind = store.get_json(part_key)["kind"]

    def work(part: Part) -> dict[str, Any]:
        ready_s = now_s()
        if kind == "mpi":
            run_mpi_program(aws, store, part, scratch)
        else:
            log = scratch / f"{part.keys.run}-{part.keys.step}-map.log"
            mpirun(["hpc.run_map", part_key], log)
        return {"ready_s": ready_s, "slots": int(variable("TRIVIUM_RANKS"))}

    return run_job(aws, store, part_key, work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
