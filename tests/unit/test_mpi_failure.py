"""What the last words of an MPI program say of why it failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.job import end_of, failure

DASHES = "-" * 74
ABORTED = f"{DASHES}\nMPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\n{DASHES}\n"
SENTENCE = "in.txt: has no reads; upload it again."


@pytest.mark.parametrize(
    "said",
    [
        f"rank 1 in mode refuse\nUserError: {SENTENCE}\n{ABORTED}",
        f"Traceback (most recent call last):\n  raise\nplacement.errors.UserError: {SENTENCE}\n",
        # As mpirun forwards it between two paragraphs of its own.
        f"rank 0 in mode refuse\n{ABORTED}\0UserError: {SENTENCE}\n{ABORTED}",
    ],
)
def test_a_wrong_input_is_the_users_error_wherever_it_is_told(said: str, tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    log.write_text(said)
    found = failure(1, end_of(log))
    assert (found.error, str(found)) == ("UserError", SENTENCE)


def test_what_only_quotes_a_users_error_is_none() -> None:
    found = failure(
        1, f'    raise UserError("{SENTENCE}")\n    UserError: {SENTENCE}\nKeyError: 3\n'
    )
    assert found.error == "MpiProgramFailed"
    assert "KeyError: 3" in str(found)
