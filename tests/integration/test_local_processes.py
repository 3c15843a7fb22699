"""Background processes of the local stack, with real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from placement.errors import UserError
from tests.integration.support import gone, kill, until
from trivium.local import processes as processes_module
from trivium.local.processes import Processes

pytestmark = pytest.mark.timeout(60)
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "processes")


def pid_of(processes: Processes, name: str) -> int:
    return int(json.loads((processes.folder / f"{name}.pid").read_text())["pid"])


def started(processes: Processes, name: str, program: str, count: int) -> list[int]:
    """Start a Python program that prints process ids; return them when so many are printed."""
    processes.start(name, [sys.executable, "-u", "-c", program], os.environ)
    words = until(
        lambda: found if len(found := processes.log(name).read_text().split()) >= count else None,
        "the program to print",
    )
    return [int(word) for word in words]


def test_a_process_is_found_by_its_name_until_it_ends(processes: Processes) -> None:
    processes.start("sleeper", SLEEP, os.environ)
    later = Processes(processes.folder)
    assert later.alive("sleeper")
    assert not later.alive("another")
    kill(psutil.Process(pid_of(processes, "sleeper")))
    assert not later.alive("sleeper")
    assert processes.stop_all() == ["sleeper"]


def test_what_a_process_prints_goes_to_its_log_and_it_gets_the_environment_it_was_given(
    processes: Processes,
) -> None:
    program = "import os, sys; print(os.environ['WORD']); print('oh', file=sys.stderr)"
    processes.start("talker", [sys.executable, "-c", program], os.environ | {"WORD": "hello"})
    until(lambda: not processes.alive("talker"), "the talker's end")
    assert sorted(processes.log("talker").read_text().split()) == ["hello", "oh"]
    processes.stop_all()


def test_stopping_ends_children_and_grandchildren_newest_first(processes: Processes) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "child = 'import subprocess, sys, time; "
        'p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]); '
        "print(p.pid); time.sleep(60)'\n"
        "print(os.getpid())\n"
        "p = subprocess.Popen([sys.executable, '-u', '-c', child])\n"
        "print(p.pid)\n"
        "time.sleep(60)"
    )
    pids = started(processes, "first", program, 3)
    processes.start("second", SLEEP, os.environ)
    pids.append(pid_of(processes, "second"))
    assert not gone(pids[:1])
    assert processes.stop_all() == ["second", "first"]
    assert gone(pids)
    assert list(processes.folder.glob("*.pid")) == []


def test_stopping_ends_what_has_cut_all_ties_to_its_parent(processes: Processes) -> None:
    program = (
        "import os, subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], "
        "start_new_session=True, cwd='/')\n"
        "print(p.pid)"
    )
    [orphan] = started(processes, "parent", program, 1)
    until(lambda: not processes.alive("parent"), "the parent's end")
    assert not gone([orphan])
    processes.stop_all()
    assert gone([orphan])


def test_stopping_kills_what_does_not_heed_the_request(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "TERM_WAIT_S", 0.3)
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid())\n"
        "time.sleep(60)"
    )
    [stubborn] = started(processes, "stubborn", program, 1)
    processes.stop_all()
    assert gone([stubborn])


def test_processes_of_another_folder_are_left_alone(processes: Processes, tmp_path: Path) -> None:
    other = Processes(tmp_path / "other")
    other.start("same-name", SLEEP, os.environ)
    processes.start("same-name", SLEEP, os.environ)
    processes.stop_all()
    assert other.alive("same-name")
    other.stop_all()
    assert not other.alive("same-name")


def test_a_process_that_got_the_noted_number_later_is_not_killed(processes: Processes) -> None:
    innocent = subprocess.Popen(SLEEP)
    try:
        processes.folder.mkdir()
        noted = {"pid": innocent.pid, "started_s": time.time() - 3600}
        (processes.folder / "old.pid").write_text(json.dumps(noted))
        assert not processes.alive("old")
        assert processes.stop_all() == ["old"]
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_stopping_twice_and_stopping_nothing_are_harmless(processes: Processes) -> None:
    assert processes.stop_all() == []
    processes.start("sleeper", SLEEP, os.environ)
    assert processes.stop_all() == ["sleeper"]
    assert processes.stop_all() == []


def test_one_that_ends_while_it_starts_is_told_with_its_log(processes: Processes) -> None:
    processes.start("broken", [sys.executable, "-c", "raise SystemExit('no')"], os.environ)
    with pytest.raises(UserError, match=r"broken ended while it started; see .*broken\.log\."):
        processes.wait_until("broken", lambda: False, 20)
    processes.stop_all()


def test_one_that_does_not_answer_in_time_is_told_with_its_log(processes: Processes) -> None:
    processes.start("silent", SLEEP, os.environ)
    with pytest.raises(UserError, match=r"silent did not answer within 0 s; see .*silent\.log\."):
        processes.wait_until("silent", lambda: False, 0.2)
    processes.stop_all()


def test_waiting_ends_when_it_answers(processes: Processes, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    program = f"import pathlib, time; pathlib.Path({str(sign)!r}).touch(); time.sleep(60)"
    processes.start("answerer", [sys.executable, "-c", program], os.environ)
    processes.wait_until("answerer", sign.exists, 20)
    assert processes.alive("answerer")
    processes.stop_all()


def test_a_process_survives_the_end_of_the_one_that_started_it(tmp_path: Path) -> None:
    folder = tmp_path / "processes"
    program = (
        "import os, sys, pathlib\n"
        "from trivium.local.processes import Processes\n"
        f"words = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"Processes(pathlib.Path({str(folder)!r})).start('child', words, os.environ)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    processes = Processes(folder)
    assert processes.alive("child")
    assert processes.stop_all() == ["child"]
    assert not processes.alive("child")
