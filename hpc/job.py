"""The wrapper of one part inside its allocation: `python -m hpc.job PART_KEY`.

For an MPI step it brings the inputs to the scratch folder that all ranks see, runs the program
under `mpirun`, and puts its output back. For a map step it starts ranks that share the batches; on
several nodes of Slurm, each element of a job array does so on its node. Either way it leaves the
exit record.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hpc.environment import this_element
from placement.books import default_books
from placement.checkpoints import job_mtbf_s
from runtime.batch import Call, Part, Spent, fetch_flat, mpi_batch, put_output
from runtime.clock import now_s, process_started_s
from runtime.exit_record import TaskFailedError, left, run_job
from runtime.requests import Aws
from runtime.settings import from_environment, variable
from runtime.store import Store

LAST_WORDS = 2_000  # characters of a failed program's output that go into the reason
READ_BYTES = 1_000_000  # of the end of its log, among which its last words are looked for
# The line by which a program says that its input is wrong, or in which its traceback ends.
USER_ERROR = re.compile(r"^(?:[\w.]+\.)?UserError: (.+)$", re.MULTILINE)
# mpirun's own paragraphs, between lines of dashes, say no more than that a rank has failed.
MPIRUN_PARAGRAPH = re.compile(r"^-{20,}\n.*?^-{20,}$\n?", re.MULTILINE | re.DOTALL)


def mpirun(words: list[str], log: Path) -> None:
    """Run a Python program on all ranks of the allocation.

    mpi4py runs it, which ends all ranks when one of them raises: the others would wait for it.
    mpirun names its files after its process number and takes those of one that was killed for its
    own, so each has a folder to itself.

    Raises:
        TaskFailedError: it did not end with 0.

    """
    command = ["mpirun", "-n", variable("TRIVIUM_RANKS"), "--oversubscribe", "--bind-to", "none"]
    if os.geteuid() == 0:
        command.append("--allow-run-as-root")
    own_folder = tempfile.TemporaryDirectory(prefix="mpi-", ignore_cleanup_errors=True)
    with log.open("wb") as out, own_folder as folder:
        done = subprocess.run(
            [*command, sys.executable, "-m", "mpi4py", "-m", *words],
            check=False,
            env=os.environ | {"TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        raise failure(done.returncode, end_of(log) + said_by_slurm())


def failure(returncode: int, said: str) -> TaskFailedError:
    """Return what a program's last words say of its failure.

    It is the user's error where the program says so: a wrong input stays wrong on any platform.
    """
    sentences: list[str] = USER_ERROR.findall(said)
    if sentences:
        return TaskFailedError("UserError", sentences[-1].strip())
    words = MPIRUN_PARAGRAPH.sub("", said).strip() or said.strip()
    return TaskFailedError(
        "MpiProgramFailed", f"mpirun ended with {returncode}: {words[-LAST_WORDS:]}"
    )


def said_by_slurm() -> str:
    """Return what Slurm has said so far of the job, each line once: of its memory, or its time."""
    if "TRIVIUM_JOB_LOG" not in os.environ:
        return ""
    lines = end_of(Path(variable("TRIVIUM_JOB_LOG"))).splitlines()
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith("slurmstepd")))


def end_of(log: Path) -> str:
    """Return the end of a program's output, which may be larger than memory.

    mpirun ends some of its own paragraphs with a null character: what follows would begin with it.
    """
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - READ_BYTES))
        return stream.read().replace(b"\0", b"").decode(errors="replace")


def run_mpi_program(aws: Aws, store: Store, part: Part, scratch: Path) -> None:
    """Run an MPI step: one program, one result."""
    folder = scratch / f"{part.keys.run}-{part.keys.step}"
    inputs, output = folder / "in", folder / "out"
    for path in (inputs, output):
        shutil.rmtree(path, ignore_errors=True)
    output.mkdir(parents=True)

    def program(spent: Spent) -> dict[str, Any]:
        """Bring the inputs, run the program and put its output back; return its result.

        What it takes and moves is added to `spent`.
        """
        entries = store.get_json(part.keys.shared)
        spent.done.add_whole(entries)
        fetch_flat(store, entries, inputs, spent)
        words = [str(part.code.run), "--inputs", str(inputs), "--output", str(output)]
        words += ["--checkpoint", str(folder / "checkpoint")]
        for name, value in sorted(part.code.parameters.items()):
            words += ["--parameter", f"{name}={value}"]
        log, result = folder / "program.log", output / "result.json"
        with spent.timed("compute"):
            mpirun(words, log)
        # mpirun ends with 0 where the scheduler has ended its daemon on another node.
        if not result.exists():
            raise failure(0, f"no result.json was written. {end_of(log)}{said_by_slurm()}")
        counts = json.loads(result.read_text())
        with spent.timed("transfer"):
            outputs = put_output(store, output, part.keys.task_output(0))
        spent.bytes_out += sum(stored.size_bytes for stored in outputs)
        spent.done.add_task(0, spent.compute_s, len(outputs))
        return {"task": 0, "outputs": [[o.key, o.size_bytes] for o in outputs], "counts": counts}

    call = Call("job", f"{variable('TRIVIUM_RANKS')} ranks", now_s(), 0.0)
    try:
        mpi_batch(aws, store, part, call, program)
    except BaseException:
        # The checkpoint stays for the next try, and the log for whoever looks for the reason.
        for path in (inputs, output):
            shutil.rmtree(path, ignore_errors=True)
        raise
    shutil.rmtree(folder)


def main(part_key: str) -> int:
    """Run the part; return the exit code."""
    settings = from_environment()
    aws = Aws()
    store = Store(aws, settings.bucket)
    scratch = Path(variable("TRIVIUM_SCRATCH"))
    description = store.get_json(part_key)
    part = Part.from_json(description)
    element = this_element()
    if left(store, part, element):
        sys.stderr.write(f"{part_key}: done already, by another job of this name\n")
        return 0

    def work(part: Part) -> dict[str, Any]:
        """Do the part's work; return when it began (seconds since 1970) and on how many slots."""
        ready_s = now_s()
        if description["kind"] == "mpi":
            _, book = default_books()
            mtbf_s = job_mtbf_s(int(description["size"]["nodes"]), book)
            os.environ.setdefault("TRIVIUM_MTBF_S", str(mtbf_s))
            run_mpi_program(aws, store, part, scratch)
        else:
            log = scratch / f"{part.keys.run}-{part.keys.step}-map-{element.index}.log"
            mpirun(["hpc.run_map", part_key], log)
            log.unlink()
        return {"ready_s": ready_s, "slots": int(variable("TRIVIUM_RANKS"))}

    held_s = float(os.environ.get("TRIVIUM_HELD_S") or process_started_s())
    return run_job(aws, store, part_key, held_s, work, element)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
