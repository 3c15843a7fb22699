"""`trivium plan`, `pareto` and `compare` as a user runs them, without AWS or a local stack."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import pytest

from placement.books import PRICES_FILE, default_books
from placement.engine import front
from tests.checker.check_schedule import check
from tests.command import PLAN_KEYS, Run, check_refused
from trivium import plans
from trivium.writing import replacing

ROOT = Path(__file__).parents[2]
TRACES = os.environ.get("TRIVIUM_TRACES", "")
Data = dict[str, Any]


def trace() -> Data:
    """Make a trace: a cut, four counts of five minutes, a merge."""
    counts = [f"count_{n}" for n in range(4)]
    specified = [spec("cut", [], counts, ["text"], [f"p{n}" for n in range(4)])]
    specified += [
        spec(name, ["cut"], ["merge"], [f"p{n}"], [f"c{n}"]) for n, name in enumerate(counts)
    ]
    specified.append(spec("merge", counts, [], [f"c{n}" for n in range(4)], ["all"]))
    seconds = {"cut": 20.0, "merge": 60.0}
    files = sorted(
        {file for each in specified for file in each["inputFiles"] + each["outputFiles"]}
    )
    return {
        "name": "small",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": specified,
                "files": [{"id": file, "sizeInBytes": 50_000_000} for file in files],
            },
            "execution": {
                "makespanInSeconds": 380,
                "executedAt": "20200101T000000+0000",
                "tasks": [
                    {"id": each["id"], "runtimeInSeconds": seconds.get(each["id"], 300.0)}
                    for each in specified
                ],
                "machines": [{"nodeName": "n1"}],
            },
        },
    }


def spec(
    name: str, parents: list[str], children: list[str], reads: list[str], makes: list[str]
) -> Data:
    return {
        "name": name,
        "id": name,
        "parents": parents,
        "children": children,
        "inputFiles": reads,
        "outputFiles": makes,
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return written(tmp_path, trace())


def written(folder: Path, data: Data) -> Path:
    path = folder / "small.json"
    path.write_text(json.dumps(data))
    return path


# plan


def test_a_plan_is_told_to_people(trivium: Run, small: Path) -> None:
    done = trivium("plan", small, "--deadline", "15m")
    assert done.code == 0
    assert done.err == ""
    for said in ("small with trivium takes ", "why not", "Placement", "no placement can cost less"):
        assert said in done.out


def test_a_plan_as_json_has_the_promised_keys(trivium: Run, small: Path) -> None:
    done = trivium("plan", small, "--deadline", "15m", "--json")
    assert done.code == 0
    assert set(done.data) == PLAN_KEYS | {"deadline_s"}
    assert done.data["deadline_s"] == 900
    assert done.data["makespan_s"] <= 900
    assert done.data["gap"]["cost"] >= 0
    assert done.data["gap"]["time"] >= 0
    assert [step["step"] for step in done.data["steps"]] == ["cut", "count", "merge"]
    for step in done.data["steps"]:
        assert sum(part["tasks"] for part in step["parts"]) == step["tasks"]
        assert all(each["why"] for each in step["candidates"] if not each["chosen"])


@pytest.mark.parametrize(
    "policy", ["trivium", "static-ec2", "static-ec2:c6g.large:2", "all-lambda", "mashup", "heft"]
)
def test_the_schedule_of_every_policy_passes_the_independent_checker(
    trivium: Run, small: Path, policy: str
) -> None:
    file = small.parent / "schedule.json"
    done = trivium("plan", small, "--policy", policy, "--schedule", file, "--json")
    assert done.code == 0
    schedule = json.loads(file.read_text())
    assert check(trace(), schedule) == []
    assert schedule["makespan_s"] == done.data["makespan_s"]
    assert schedule["cost_usd"] == done.data["cost_usd"]


def test_a_schedule_that_is_not_written_to_its_end_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text("before")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_schedule_goes_to_where_a_link_points_and_into_a_pipe(tmp_path: Path) -> None:
    path, link, pipe = (tmp_path / name for name in ("schedule.json", "link", "pipe"))
    link.symlink_to(path)
    with replacing(link) as file:
        file.write("whole")
    assert link.is_symlink()
    assert path.read_text() == "whole"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as file:
        file.write("whole")
    assert os.read(reader, 100) == b"whole"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_workflow_file_is_planned_with_the_sizes_of_its_uploads(
    trivium: Run, tmp_path: Path
) -> None:
    file = tmp_path / "schedule.json"
    workflow = ROOT / "workflows" / "word-count.yaml"
    done = trivium("plan", workflow, "--upload", "texts=350MB", "--schedule", file, "--json")
    assert done.code == 0
    assert done.data["workflow"] == "word-count"
    assert check(None, json.loads(file.read_text())) == []


def test_a_workflow_file_states_its_goal_and_the_command_line_another(
    trivium: Run, tmp_path: Path
) -> None:
    text = (ROOT / "workflows" / "word-count.yaml").read_text()
    workflow = tmp_path / "word-count.yaml"
    workflow.write_text(f"{text}\nobjective: time\ndeadline_s: 7200\n")
    words = ("plan", workflow, "--upload", "texts=35MB", "--json")
    own = trivium(*words).data
    assert (own["objective"], own["deadline_s"]) == ("time", 7200)
    other = trivium(*words, "--objective", "cost", "--deadline", "1h").data
    assert (other["objective"], other["deadline_s"]) == ("cost", 3600)
    within = trivium(*words, "--budget", "5").data
    assert (within["objective"], within["deadline_s"]) == ("time", 7200)
    said = " ".join(trivium(*words[:-1], "--objective", "cost").out.split())
    assert "Goal: least cost, deadline 2h 00m (as the file states)." in said


def test_a_budget_alone_asks_for_the_least_time(trivium: Run, small: Path) -> None:
    data = trivium("plan", small, "--budget", "$2.50", "--json").data
    assert (data["objective"], data["budget_usd"]) == ("time", "2.5")
    assert float(data["cost_usd"]) <= 2.5


def test_a_deadline_that_cannot_be_kept_names_the_nearest(trivium: Run, small: Path) -> None:
    done = trivium("plan", small, "--deadline", "60s")
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("There is no plan for small: no placement found ends within 60 s;")
    assert "the shortest takes" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_budget_that_is_too_small_as_json(trivium: Run, small: Path) -> None:
    done = trivium("plan", small, "--budget", "0.000001", "--json")
    assert done.code == 1
    assert done.data["feasible"] is False
    assert "the cheapest costs" in done.data["reason"]
    assert set(done.data) == PLAN_KEYS | {"budget_usd", "reason"}


def test_a_thorough_plan_says_so_and_costs_no_more(trivium: Run, small: Path) -> None:
    words = ("plan", small, "--deadline", "15m", "--json")
    usual, thorough = trivium(*words).data, trivium(*words, "--thorough").data
    assert (usual["thorough"], thorough["thorough"]) == (False, True)
    assert thorough["makespan_s"] <= 900
    assert float(thorough["cost_usd"]) <= float(usual["cost_usd"])


def test_the_same_seed_gives_the_same_bytes_under_two_hash_seeds(small: Path) -> None:
    told = []
    for seed in ("1", "2"):
        file = small.parent / f"schedule{seed}.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "trivium", "plan", small, "--deadline", "15m"),
                *("--seed", "3", "--thorough", "--json", "--schedule", file),
            ],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            timeout=250,
        )
        data = json.loads(done.stdout)
        assert data.pop("planner_s") > 0
        told.append((data, list(data), file.read_bytes()))
    assert told[0] == told[1]


# pareto and compare


@pytest.fixture
def short_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave it at four deadlines, which take a quarter of the time."""
    monkeypatch.setattr(front, "STRETCHES", (1.0, 1.4, 3.0, 16.0))


@pytest.mark.usefixtures("short_front")
def test_every_point_of_the_front_can_be_had_again(trivium: Run, small: Path) -> None:
    done = trivium("pareto", small, "--seed", "4", "--json")
    assert done.code == 0
    points = done.data["points"]
    figures = [(point["makespan_s"], float(point["cost_usd"])) for point in points]
    assert len(points) > 1
    assert figures == sorted(figures)
    assert [usd for _, usd in figures] == sorted((usd for _, usd in figures), reverse=True)
    assert len(set(figures)) == len({usd for _, usd in figures}) == len(points)
    for point in points:
        words = ("--deadline", str(point["deadline_s"]), "--seed", str(point["seed"]), "--json")
        again = trivium("plan", small, *words).data
        for key in ("makespan_s", "cost_usd", "bound", "gap"):
            assert again[key] == point[key]


@pytest.mark.usefixtures("short_front")
def test_the_front_is_told_to_people(trivium: Run, small: Path) -> None:
    done = trivium("pareto", small)
    assert done.code == 0
    assert "trivium plan FILE --deadline DEADLINE --seed 0" in " ".join(done.out.split())


def test_policies_are_compared_in_a_sentence_and_a_table(trivium: Run, small: Path) -> None:
    done = trivium("compare", small)
    assert done.code == 0
    assert done.out.startswith("trivium is ")
    assert " the best fixed cluster" in " ".join(done.out.split())
    for policy in ("static-ec2", "all-lambda", "mashup", "heft"):
        assert policy in done.out


@pytest.mark.parametrize("policies", ["trivium,best-of-all", "static-ec2:c6g.huge:2,trivium"])
def test_a_policy_that_does_not_exist_is_refused_before_anything_is_planned(
    trivium: Run, policies: str
) -> None:
    done = trivium("compare", "no-such-file.json", "--policies", policies)
    check_refused(done)
    assert "there is no " in done.err
    assert "there are " in done.err
    assert "no-such-file" not in done.err


def test_a_comparison_as_json_says_which_policies_have_no_plan(trivium: Run, small: Path) -> None:
    done = trivium("compare", small, "--policies", "trivium, heft", "--deadline", "1s", "--json")
    assert done.code == 1
    policies = done.data["policies"]
    assert [each["policy"] for each in policies] == ["trivium", "heft"]
    assert all(each["feasible"] is False and each["reason"] for each in policies)


def test_a_plan_and_a_policy_on_a_file_stand_beside_each_other(
    trivium: Run, small: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(trivium("plan", small, "--policy", "all-lambda", "--json").out)
    done = trivium("compare", plan, small, "--policies", "heft,all-lambda", "--json")
    assert done.code == 0
    assert [each["name"] for each in done.data["outcomes"]] == ["plan.json", "heft", "all-lambda"]
    first, _, again = done.data["outcomes"]
    assert first["items"] == again["items"]
    assert done.data["changes"][1]["change_usd"] == "0"


def test_plans_and_policies_have_pages(trivium: Run, small: Path, tmp_path: Path) -> None:
    for words in (("plan", "--policy", "heft"), ("compare", "--policies", "heft,all-lambda")):
        page = tmp_path / f"{words[0]}.html"
        done = trivium(words[0], small, *words[1:], "--html", page)
        assert done.code == 0
        text = page.read_text()
        for said in ("Time against cost", "Where the money goes", "What is done when", "Workers"):
            assert said in text
    assert "on the front" in (tmp_path / "plan.html").read_text()


@pytest.mark.usefixtures("short_front")
def test_the_front_has_a_page(trivium: Run, small: Path, tmp_path: Path) -> None:
    page = tmp_path / "front.html"
    assert trivium("pareto", small, "--html", page).code == 0
    assert "from the fastest plan to the cheapest" in page.read_text()


# what is wrong is said in one sentence


def changed(path: str, value: Any) -> Data:
    """Return the trace with one value put elsewhere; `...` takes it away."""
    data = copy.deepcopy(trace())
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    at: Any = data
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return data


def closed_circle() -> Data:
    data = copy.deepcopy(trace())
    tasks = data["workflow"]["specification"]["tasks"]
    tasks[0]["parents"], tasks[5]["children"] = ["merge"], ["cut"]
    return data


SPECIFIED, EXECUTED = "workflow.specification.tasks", "workflow.execution.tasks"
WRONG = {
    "another version": changed("schemaVersion", "1.3"),
    "no version": changed("schemaVersion", ...),
    "a cycle": closed_circle(),
    "a parent that is not there": changed(f"{SPECIFIED}.5.parents", ["nobody"]),
    "a negative runtime": changed(f"{EXECUTED}.2.runtimeInSeconds", -1),
    "no runtime": changed(f"{EXECUTED}.2.runtimeInSeconds", ...),
    "a negative size": changed("workflow.specification.files.1.sizeInBytes", -1),
    "no size": changed("workflow.specification.files.1.sizeInBytes", ...),
    "an id twice": changed(f"{SPECIFIED}.1.id", "cut"),
    "no tasks": changed(SPECIFIED, []),
}


@pytest.mark.parametrize("command", ["plan", "pareto", "compare"])
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_trace_is_refused_in_one_sentence(
    trivium: Run, tmp_path: Path, what: str, command: str
) -> None:
    check_refused(trivium(command, written(tmp_path, WRONG[what])))


@pytest.mark.parametrize("text", ["", "{", '{"name": ', "no trace", "[1, 2]", "\x00\x01"])
def test_what_is_no_json_is_refused_in_one_sentence(
    trivium: Run, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "small.json"
    path.write_text(text)
    check_refused(trivium("plan", path))


@pytest.mark.parametrize(
    "words",
    [
        ("--deadline", "soon"),
        ("--deadline", "-5"),
        ("--deadline", "0"),
        ("--budget", "free"),
        ("--budget", "-1"),
        ("--objective", "fame"),
        ("--seed", "-1"),
        ("--policy", "nonsense"),
        ("--policy", "static-ec2:c6g.large"),
        ("--policy", "static-ec2:t2.nano:3"),
        ("--policy", "static-ec2:c6g.large:0"),
        ("--policy", "[/red]"),
        ("--upload", "reads=2GB"),
        ("--schedule", "no/such/folder/out.json"),
        ("--schedule", str(ROOT)),
        ("--schedule", os.devnull, "--html", os.devnull),
        ("--html", "no/such/folder/out.html"),
        ("--nonsense",),
        ("another",),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(
    trivium: Run, small: Path, words: tuple[str, ...]
) -> None:
    check_refused(trivium("plan", small, *words))


@pytest.mark.parametrize(
    "words",
    [
        ("plan",),
        ("plan", "no-such-file.json"),
        ("plan", str(ROOT)),
        ("plan", str(ROOT / "workflows" / "word-count.yaml")),
        ("plan", str(ROOT / "workflows" / "word-count.yaml"), "--upload", "texts"),
        ("plan", str(ROOT / "workflows" / "word-count.yaml"), "--upload", "texts=much"),
        ("plan", str(ROOT / "workflows" / "word-count.yaml"), "--upload", "novels=2GB"),
        ("compare", "no-such-file.json", "--policies", "trivium,"),
        ("nonsense",),
    ],
)
def test_wrong_commands_are_refused_in_one_sentence(trivium: Run, words: tuple[str, ...]) -> None:
    check_refused(trivium(*words))


def test_a_schedule_does_not_overwrite_its_trace(trivium: Run, small: Path) -> None:
    before = small.read_bytes()
    check_refused(trivium("plan", small, "--schedule", small))
    assert small.read_bytes() == before


def test_a_type_without_a_price_is_refused_in_one_sentence(
    trivium: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices, book = default_books()
    sold = {name: usd for name, usd in prices.instances.items() if name != "c6g.medium"}
    monkeypatch.setattr(plans, "chosen_books", lambda: (replace(prices, instances=sold), book))
    done = trivium("plan", small)
    check_refused(done, "c6g.medium")


def test_prices_of_another_region_are_not_planned_with(
    trivium: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(PRICES_FILE.read_text().replace("region: us-east-1", "region: eu-west-1"))
    monkeypatch.setenv("TRIVIUM_PRICES", str(own))
    done = trivium("plan", small)
    check_refused(done, "has prices for eu-west-1")


# how it starts


def test_other_commands_do_not_wait_for_the_planner() -> None:
    code = "import sys, trivium.cli; sys.exit('numba' in sys.modules or 'scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_compiling_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with plans.timed() as clock:
        for plus in (1, 2):
            numba.njit(lambda x, plus=plus: x + plus)(1)
    assert clock.seconds > 0
    assert capsys.readouterr().err.count("compiling") == 1


# a trace that really ran


@pytest.fixture
def real() -> Path:
    path = Path(TRACES) / "srasearch-chameleon-10a-001.json"
    if not TRACES or not path.is_file():
        pytest.skip("TRIVIUM_TRACES names no folder with srasearch-chameleon-10a-001.json")
    return path


def test_a_real_trace_is_planned_and_checked(trivium: Run, real: Path, tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    done = trivium("plan", real, "--deadline", "30m", "--schedule", file, "--json")
    assert done.code == 0
    assert check(json.loads(real.read_text()), json.loads(file.read_text())) == []
