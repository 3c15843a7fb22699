"""`trivium compare` of runs and plans: told apart by content, and refused before a file is made."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reporting.plan_json import plan_json
from tests.command import Run, check_refused
from tests.unit.shown import GOLDEN
from tests.unit.test_plan_output import infeasible, sample
from trivium.target import Target


@pytest.fixture
def compare(trivium: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TRIVIUM_LOCAL", str(tmp_path / "no stack"))
    monkeypatch.chdir(tmp_path)
    return partial(trivium, "compare")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path / "plan.json", plan_json(sample(), 1.0))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return written(tmp_path / "report.json", json.loads((GOLDEN / "report.json").read_text()))


def written(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_run_and_a_plan_stand_beside_each_other(compare: Run, plan: Path, report: Path) -> None:
    done = compare(report, plan)
    assert (done.code, done.err) == (0, "")
    assert "plan.json (estimate) is" in " ".join(done.out.split())


def test_data_goes_to_stdout_and_files_are_written(compare: Run, plan: Path, report: Path) -> None:
    done = compare(plan, report, "--json", "--html", "out.html", "--csv", "out.csv")
    assert done.code == 0
    assert [each["basis"] for each in done.data["outcomes"]] == ["estimate", "measured"]
    assert Path("out.html").read_text().startswith("<!DOCTYPE html>")
    assert Path("out.csv").read_text().startswith("outcome,basis,")


def test_the_same_file_twice_has_two_names(compare: Run, plan: Path) -> None:
    out = " ".join(compare(plan, plan).out.split())
    assert "plan.json (2) is as cheap and as fast as plan.json (1)" in out


def test_runs_and_plans_do_not_wait_for_the_planner(plan: Path, report: Path) -> None:
    code = (
        "import sys; from trivium.cli import app, guarded; "
        f"words = ['compare', {str(plan)!r}, {str(report)!r}]; "
        "code = guarded(lambda: app(words, standalone_mode=False)); "
        "sys.exit(code or 'numba' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True)


WRONG: dict[str, Any] = {
    "older": json.loads(json.dumps(plan_json(sample(), 1))) | {"version": 1},
    "no version": {k: v for k, v in plan_json(sample(), 1).items() if k != "version"},
    "later": plan_json(sample(), 1) | {"version": 3},
    "no plan": plan_json(infeasible(), 1),
    "other sum": plan_json(sample(), 1) | {"cost_usd": "0.1"},
    "wrong field": plan_json(sample(), 1) | {"items": [{"step": 1}]},
    "neither": {"a": 1},
    "schedule": sample().plan.schedule.to_json(),  # type: ignore[union-attr]
    "wrong report": json.loads((GOLDEN / "report.json").read_text()) | {"status": "lost"},
    "report of another sum": json.loads((GOLDEN / "report.json").read_text())
    | {"measured": {"seconds": 1, "usd": "1"}},
}
SAID = {
    "older": "wrong.json is a plan of an older version (1, not 2); make it anew with "
    "`trivium plan FILE --json`.",
    "no version": "wrong.json is a plan of an older version (1, not 2); make it anew with "
    "`trivium plan FILE --json`.",
    "later": "wrong.json is a plan of another version (3, not 2); make it anew with "
    "`trivium plan FILE --json`.",
    "no plan": "wrong.json holds no plan to compare: the shortest takes 70 s.",
    "neither": "wrong.json is neither a run's report nor a plan, a trace or a workflow file.",
    "schedule": "wrong.json is a schedule, not a plan; `trivium plan FILE --json` writes a plan.",
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_refused_in_one_sentence_and_nothing_is_written(
    compare: Run, plan: Path, tmp_path: Path, what: str
) -> None:
    path = written(tmp_path / "wrong.json", WRONG[what])
    before = sorted(tmp_path.iterdir())
    for words in ((path, plan), (plan, path)):
        done = compare(*words, "--html", "out.html", "--csv", "out.csv")
        check_refused(done)
        assert done.err.startswith("wrong.json")
        assert done.err == SAID.get(what, done.err)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan.json",), "One run or plan has nothing to stand beside"),
        (("plan.json", "nowhere.json"), "there is no file nowhere.json."),
        (("plan.json", "some-run"), "some-run is no file, and no local stack is up"),
        (("plan.json", "."), ". cannot be read: Is a directory."),
        (("plan.json", "plan.json", "--html", "plan.json"), "--html would overwrite plan.json"),
        (("plan.json", "plan.json", "--csv", "no/where.csv"), "there is no folder no for --csv."),
        (("plan.json", "plan.json", "--html", "x", "--csv", "x"), "--html and --csv would both"),
        (("plan.json", "plan.json", "--upload", "reads=2GB"), "--upload is for workflow and trace"),
    ],
)
@pytest.mark.usefixtures("plan")
def test_misuse_is_told_in_one_sentence_and_nothing_is_written(
    compare: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = compare(*words)
    check_refused(done)
    assert done.err.startswith(said)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_outputs_do_not_overwrite_each_other(compare: Run, plan: Path, tmp_path: Path) -> None:
    done = compare(plan, plan, "--html", "x", "--csv", tmp_path / "x")
    check_refused(done, "--html and --csv would both write")
    assert list(tmp_path.iterdir()) == [plan]


class Nothing:
    """A stack that knows no run."""

    class stack:  # noqa: N801  (it stands for an attribute)
        class store:  # noqa: N801
            @staticmethod
            def find(_key: str) -> None:
                return None

        class ledger:  # noqa: N801
            @staticmethod
            def get(_pk: str, _sk: str) -> None:
                return None


def test_an_unknown_run_is_told_in_one_sentence(
    compare: Run, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "choose", staticmethod(lambda _name: Nothing))
    done = compare(plan, "some-run")
    check_refused(done)
    assert done.err == "There is no run 'some-run'; `trivium runs` lists them."


def test_watching_an_unknown_run_says_so_at_once(
    trivium: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("it was waited for")

    monkeypatch.setattr(Target, "choose", staticmethod(lambda _name: Nothing))
    monkeypatch.setattr("trivium.watching.time.sleep", never)
    done = trivium("watch", "some-run")
    assert done.code == 2
    assert "There is no run 'some-run'" in " ".join(done.err.split())


def test_ctrl_c_while_the_command_loads_leaves_without_a_trace() -> None:
    code = (
        "import builtins; real = builtins.__import__\n"
        "def loading(name, *rest):\n"
        "    if name == 'trivium.cli': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = loading; exec(open('trivium/__main__.py').read())"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")
