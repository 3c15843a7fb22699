"""Workflow files: what is read, and the sentence and line for everything that is wrong."""

import contextlib
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import UserError
from placement.workflow import (
    InputRef,
    Profile,
    Role,
    Step,
    Workflow,
    find_cycle,
    topological_order,
)
from placement.workflow_file import json_schema, load_workflow

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = ROOT / "placement" / "workflow.schema.json"
WORKFLOW_FILES = sorted((ROOT / "workflows").glob("*.yaml"))

SMALL = """\
name: words
inputs:
  texts: {files: ["*.txt"]}
  stop: {files: [stop.list], optional: true}
steps:
  count:
    kind: map
    command: [sh, -c, "awk '{print}' {inputs} > {output}"]
    over: upload.texts
    with: [upload.stop]
    parameters: {least: 2, fold: true}
    platforms: [ray, lambda]
    output: counts.tsv.gz
    profile: {memory_mb: 300, cpu_s_per_mb: 1}
  solve:
    kind: mpi
    run: some.module
    with: [count]
    profile: {ranks_max: 8, serial_fraction: 0.5}
"""

ONE = "name: a\nsteps:\n  s:\n    kind: map\n    run: m:f\n"


def test_a_file_becomes_a_workflow() -> None:
    workflow = load_workflow(SMALL)
    assert workflow == Workflow(
        name="words",
        roles=(Role("texts", ("*.txt",)), Role("stop", ("stop.list",), optional=True)),
        steps=(
            Step(
                name="count",
                kind="map",
                command=("sh", "-c", "awk '{print}' {inputs} > {output}"),
                over=InputRef("upload", "texts"),
                whole=(InputRef("upload", "stop"),),
                parameters={"least": 2, "fold": True},
                platforms=("lambda", "ray"),
                output="counts.tsv.gz",
                profile=Profile(memory_mb=300, cpu_s_per_mb=1),
            ),
            Step(
                name="solve",
                kind="mpi",
                run="some.module",
                whole=(InputRef("step", "count"),),
                platforms=("hpc",),
                profile=Profile(ranks_max=8, serial_fraction=0.5),
            ),
        ),
    )
    assert workflow.step("count").output_suffix == ".tsv.gz"
    assert workflow.successors("count") == ("solve",)
    assert workflow.step("solve").predecessors == ("count",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "begins with name: and steps:"),
        ("[1]", 1, "begins with name: and steps:"),
        ("name: A b\n" + ONE.partition("\n")[2], 1, '"A b" is not a name'),
        (ONE + "    over: t\n", 6, 'a step "t" that is not there'),
        (ONE + "    over: upload.x\n", 6, 'an upload input "x" that is not there'),
        (ONE + "    over: 'A B'\n", 6, '"A B" is not a name'),
        (ONE + "    over: s\n", 3, "s -> s"),
        (ONE + "    with: [1]\n", 6, "steps.s.with.0"),
        (ONE + "    profile: {memory_mb: 2 GB}\n", 6, 'a number of MB, without a unit, not "2 GB"'),
        (ONE + "    profile:\n      cpu_s_per_mb: yes\n", 7, "a number of seconds per input MB"),
        (ONE + "    profile: {memory_mb: .inf}\n", 6, "finite"),
        (ONE + "    profile: {memory_mb: -1}\n", 6, "greater than or equal to 0, not -1"),
        (ONE + "    profile: {cpu_per_mb: 1}\n", 6, "did you mean cpu_s_per_mb?"),
        (ONE + "    profile: {serial_fraction: 0.1}\n", 6, "serial_fraction is for mpi steps"),
        (ONE + "    profil: {}\n", 6, "did you mean profile?"),
        (ONE + "    zebra: {}\n", 6, "it takes command, kind, output, over"),
        (ONE + "    parameters: {x: [1]}\n", 6, "takes text, a number, true or false, not [1]"),
        (ONE + "    parameters: {X: 1}\n", 6, "is not a parameter's name"),
        (ONE + "    platforms: [lamda]\n", 6, "it may be 'lambda', 'ray' or 'hpc'"),
        (ONE + "    platforms: []\n", 6, "at least 1"),
        (ONE + "    output: foo\n", 6, "a file name with a suffix"),
        (ONE + "    command: [cat]\n", 3, "either run: or command:"),
        ("name: a\nsteps:\n  s:\n    kind: map\n", 3, "either run: or command:"),
        (ONE + "  s: {kind: map, run: 'a:b'}\n", 6, '"s" stands here twice; first on line 3'),
        (ONE + "name: b\n", 6, '"name" stands here twice; first on line 1'),
        (ONE + "score: {step: q, value: x}\n", 6, 'a step "q" that is not there'),
        (ONE + "objective: fast\n", 6, "it may be 'cost' or 'time'"),
        (ONE + "deadline_s: 10 min\n", 6, "a number of seconds, without a unit"),
        (ONE + "deadline_s: 0\n", 6, "greater than 0"),
        (ONE + "inputs: {r: {}}\n", 6, 'inputs.r needs the field "files"'),
        ("steps: {s: {kind: map, run: 'm:f'}}\n", 1, 'needs the field "name"'),
        ("name: a\nsteps: {}\n", 2, "at least 1"),
        ("name: a\nsteps: [1]\n", 2, "indented lines of `key: value`"),
        ("name: a\nsteps:\n  S S: {kind: map}\n", 3, '"S S" is not a name'),
        ("name: a\nsteps:\n  s: {run: x}\n", 3, 'needs the field "kind"'),
        ("name: a\nsteps:\n  s: {kind: job}\n", 3, 'unknown kind "job"'),
        ("name: a\nsteps:\n  s: {kind: mpi, run: 'a:b'}\n", 3, "is not module:function"),
        (
            "name: a\nsteps:\n  s: {kind: mpi, run: a, over: s}\n",
            3,
            'unknown field "over"; it takes kind',
        ),
        ("a: &x 1\n", 1, "anchors (&) and aliases (*) are not allowed"),
        ("b: 1\na: *x\n", 2, "anchors (&) and aliases (*) are not allowed"),
        ("a: [\n", 2, "not valid YAML"),
        ("a: " + "[" * 5000, 1, "nested more than 20 levels"),
        ("x" * 1_000_001, None, "longer than 1,000,000 characters"),
        ("name: 2001-01-01\n", 1, "is read by YAML as timestamp"),
        ("on: 1\n", 1, "the key on is not text"),
        ("x: 0x_\n", 1, "cannot be read as a number"),
        ("name: " + "9" * 5000 + "\n", 1, "cannot be read as a number"),
        ("!!python/object/apply:os.system [ls]\n", 1, "is not allowed"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("\x00", 1, "not valid YAML"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(text: str, line: int | None, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_workflow(text, "w.yaml")
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 400
    assert message.startswith("w.yaml" if line is None else f"w.yaml, line {line}: ")


def test_a_cycle_is_named_in_the_direction_of_the_data() -> None:
    text = """\
name: a
steps:
  free: {kind: map, run: 'm:f'}
  s: {kind: map, run: 'm:f', over: t}
  t: {kind: map, run: 'm:f', over: u, with: [free]}
  u: {kind: map, run: 'm:f', with: [s]}
  behind: {kind: map, run: 'm:f', over: u}
"""
    with pytest.raises(UserError, match=r"line 6: .*circle: u -> t -> s -> u\."):
        load_workflow(text)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("over: upload.opt", "cannot map over the optional input"),
        ("with: [upload.opt, upload.opt]", "reads upload.opt twice"),
    ],
)
def test_uses_of_an_input_that_make_no_sense_are_refused(extra: str, words: str) -> None:
    inputs = "inputs: {opt: {files: ['*'], optional: true}}\n"
    with pytest.raises(UserError, match=words):
        load_workflow(f"{ONE}    {extra}\n{inputs}")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("[cat, '{inputss}', '{output}']", r"no \{inputss\}; did you mean \{inputs\}"),
        ("[cat, '{inputs}']", r"does not say where \{output\} goes"),
    ],
)
def test_a_command_with_a_misspelt_or_missing_placeholder_is_refused(
    command: str, words: str
) -> None:
    text = f"name: a\nsteps:\n  s:\n    kind: map\n    command: {command}\n"
    with pytest.raises(UserError, match=f"line 5: .*{words}"):
        load_workflow(text)


def test_the_order_of_steps_in_the_file_does_not_matter() -> None:
    data = yaml.safe_load(SMALL)
    data["steps"] = dict(reversed(data["steps"].items()))
    assert load_workflow(yaml.safe_dump(data, sort_keys=False)) == load_workflow(SMALL)


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.permutations(range(n)).flatmap(
            lambda names: st.builds(
                dict,
                st.tuples(
                    *(
                        st.tuples(
                            st.just(names[i]),
                            st.sets(st.sampled_from([names[j] for j in range(i)])),
                        )
                        if i
                        else st.just((names[0], set()))
                        for i in range(n)
                    )
                ),
            )
        )
    )
)
def test_topological_order_is_the_first_in_the_alphabet_that_keeps_every_edge(
    graph: dict[int, set[int]],
) -> None:
    named = {f"n{key}": {f"n{before}" for before in befores} for key, befores in graph.items()}
    order = topological_order(named)
    assert find_cycle(named) == ()
    done: list[str] = []
    while len(done) < len(named):
        done.append(min(n for n in named if n not in done and named[n] <= set(done)))
    assert order == tuple(done)


def test_uploaded_files_are_sorted_into_roles() -> None:
    workflow = load_workflow(SMALL)
    assert workflow.assign(["raw/words/b c+%é.txt", "a.txt"]) == {
        "texts": ("a.txt", "raw/words/b c+%é.txt"),
        "stop": (),
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.TXT"], 'file "a.TXT" fits no input of workflow "words"; it takes texts: \\*.txt'),
        (["stop.list"], 'given no file for its input "texts"'),
    ],
)
def test_files_that_do_not_fit_the_roles_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_workflow(SMALL).assign(names)


def test_a_file_that_fits_two_roles_is_refused() -> None:
    inputs = "inputs: {x: {files: ['*.a']}, y: {files: ['b.*']}}\n"
    with pytest.raises(UserError, match="fits the inputs x and y"):
        load_workflow(ONE + inputs).assign(["b.a"])


def test_an_unknown_step_is_named_with_those_that_are_there() -> None:
    with pytest.raises(UserError, match='no step "x"; its steps are: count, solve'):
        load_workflow(SMALL).step("x")


def test_the_published_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema(), (
        "write placement.workflow_file.json_schema() to placement/workflow.schema.json"
    )


@pytest.mark.parametrize("path", WORKFLOW_FILES, ids=lambda path: path.name)
def test_every_workflow_that_comes_along_loads_and_follows_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert load_workflow(text, path.name).name == path.stem
    jsonschema.validate(yaml.safe_load(text), json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@given(st.text(alphabet="abn: -[]{}&*!'\"\n#|>%@`,?0.1", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(UserError):
        load_workflow(text)


def test_the_example_in_the_documentation_is_a_workflow() -> None:
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert [step.name for step in load_workflow(example).steps] == ["count", "merge"]
