"""A task is a callable or a command line that reads local files and writes local files."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import UserError
from runtime.task import TaskCode, fill_in, load_callable, run_command, run_task


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("tasks_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def callable_code(name: str, **parameters: Any) -> TaskCode:
    return TaskCode(f"tasks_of_the_test:{name}", None, parameters)


def command_code(*words: str, **parameters: Any) -> TaskCode:
    return TaskCode(None, words, parameters)


def test_a_callable_gets_its_inputs_output_and_parameters(
    tasks: ModuleType, tmp_path: Path
) -> None:
    def join(inputs: list[Path], output: Path, separator: str) -> dict[str, int]:
        output.write_text(separator.join(path.read_text() for path in inputs))
        return {"inputs": len(inputs)}

    vars(tasks)["join"] = join
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    code = callable_code("join", separator="-")
    counts = run_task(code, [tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert counts == {"inputs": 2}
    assert (tmp_path / "out").read_text() == "1-2"


def test_a_callable_may_return_nothing(tasks: ModuleType, tmp_path: Path) -> None:
    vars(tasks)["touch"] = lambda _, output: output.touch()
    assert run_task(callable_code("touch"), [], tmp_path / "out") == {}


def test_a_task_that_leaves_no_output_has_failed(tasks: ModuleType, tmp_path: Path) -> None:
    vars(tasks)["idle"] = lambda _, __: {"done": 1}
    with pytest.raises(UserError, match="tasks_of_the_test:idle ended without writing its output"):
        run_task(callable_code("idle"), [], tmp_path / "out")
    with pytest.raises(UserError, match="ended without writing its output"):
        run_task(command_code("true"), [], tmp_path / "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x"])
def test_counts_that_are_not_json_are_the_tasks_mistake(
    tasks: ModuleType, tmp_path: Path, value: Any
) -> None:
    def odd(_: list[Path], output: Path) -> dict[str, Any]:
        output.touch()
        return {"count": value}

    vars(tasks)["odd"] = odd
    with pytest.raises(UserError, match="tasks_of_the_test:odd returned counts that are not JSON"):
        run_task(callable_code("odd"), [], tmp_path / "out")


def test_a_task_that_exits_does_not_end_its_worker(tasks: ModuleType, tmp_path: Path) -> None:
    vars(tasks)["leave"] = lambda _, __: sys.exit(3)
    with pytest.raises(UserError, match="tasks_of_the_test:leave ended its process with 3"):
        run_task(callable_code("leave"), [], tmp_path / "out")


def test_errors_of_a_task_come_through(tasks: ModuleType, tmp_path: Path) -> None:
    def fail(_: list[Path], __: Path) -> None:
        raise ZeroDivisionError("of the task")

    vars(tasks)["fail"] = fail
    with pytest.raises(ZeroDivisionError, match="of the task"):
        run_task(callable_code("fail"), [], tmp_path / "out")


@pytest.mark.parametrize("name", ["no_such_module:run", "json:no_such", "json", ":run", "json:"])
def test_a_callable_that_cannot_be_loaded_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"`run: {name}` cannot be loaded"):
        load_callable(name)


def test_a_step_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither `run` nor `command`"):
        run_task(TaskCode(None, None, {}), [], tmp_path / "out")


def test_code_is_read_from_its_description() -> None:
    assert TaskCode.from_json({"command": ["a", "b"], "parameters": {"x": 1}}) == TaskCode(
        None, ("a", "b"), {"x": 1}
    )
    assert TaskCode.from_json({"run": "m:f", "command": None, "parameters": None}) == TaskCode(
        "m:f", None, {}
    )


def test_placeholders_become_words_and_parts_of_words() -> None:
    words = ["sort", "{inputs}", "-k{column}", "--in={inputs}", "-o", "{output}", "{unknown}", "{}"]
    filled = fill_in(words, [Path("/in/a"), Path("/in/b")], Path("/out/c"), {"column": 2})
    assert filled == [
        "sort",
        "/in/a",
        "/in/b",
        "-k2",
        "--in=/in/a /in/b",
        "-o",
        "/out/c",
        "{unknown}",
        "{}",
    ]


def test_no_inputs_make_no_word() -> None:
    assert fill_in(["cat", "{inputs}"], [], Path("o"), {}) == ["cat"]


def test_a_path_with_spaces_stays_one_word() -> None:
    assert fill_in(["wc", "{inputs}"], [Path("/in/a b")], Path("/o p"), {}) == ["wc", "/in/a b"]
    assert fill_in(["{output}"], [], Path("/o p"), {}) == ["/o p"]


@given(st.text(st.sampled_from("{}inputsoutput ab"), max_size=30))
def test_a_value_that_looks_like_a_placeholder_stays_as_it_is(value: str) -> None:
    filled = fill_in(["x={value}", "y={output}"], [Path("/i")], Path("/o"), {"value": value})
    assert filled == [f"x={value}", "y=/o"]


def test_a_command_reads_and_writes_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("b\na\n")
    code = command_code("sort", "{inputs}", "-o", "{output}")
    assert run_task(code, [tmp_path / "in"], tmp_path / "out") == {}
    assert (tmp_path / "out").read_text() == "a\nb\n"


def test_a_failing_command_is_reported_with_its_last_words() -> None:
    with pytest.raises(UserError, match=r"The command sh ended with 7: the end$"):
        run_command(["sh", "-c", "echo the end >&2; exit 7"])


def test_only_the_last_words_of_a_talkative_command_are_kept() -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 1"
    with pytest.raises(UserError) as caught:
        run_command(["sh", "-c", script])
    assert str(caught.value).endswith("line 1999")
    assert len(str(caught.value)) < 2_100


def test_output_that_is_not_text_does_not_hide_the_failure() -> None:
    with pytest.raises(UserError, match="ended with 1: "):
        run_command(["sh", "-c", r"printf '\377\376'; exit 1"])


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-command-here cannot be started: No such file"):
        run_command(["no-such-command-here"])
    (tmp_path / "plain").write_text("")
    with pytest.raises(UserError, match="cannot be started: Permission denied"):
        run_command([str(tmp_path / "plain")])


def test_a_command_waits_for_no_terminal() -> None:
    run_command(["sh", "-c", "! read line"])


def test_commands_find_this_environments_python() -> None:
    run_command(["sh", "-c", f'test "$(command -v python)" = "{sys.executable}" || exit 1'])
