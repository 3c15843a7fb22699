"""Workflow files: YAML text to a checked `Workflow`, and the published JSON Schema.

The models here say what a file may hold; every mistake becomes one sentence with its line.
"""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from placement.errors import UserError
from placement.workflow import (
    PLATFORMS,
    InputRef,
    Objective,
    Parameter,
    Platform,
    Profile,
    Role,
    Score,
    Step,
    Workflow,
    find_cycle,
    topological_order,
)
from placement.yaml_source import Path, Source

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Ref = Annotated[str, StringConstraints(pattern=r"^(upload\.)?[a-z0-9-]{1,32}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProfileModel(_Model):
    """What one task needs on one reference core; MB is 10^6 bytes of input as stored."""

    cpu_s_per_task: Amount | None = Field(None, description="seconds of one core per task")
    cpu_s_per_mb: Amount | None = Field(None, description="seconds of one core per input MB")
    memory_mb: Amount | None = Field(None, description="peak memory of a task's process, in MB")
    memory_mb_per_mb: Amount | None = Field(None, description="more memory per input MB")
    disk_mb_per_mb: Amount | None = Field(
        None, description="disk per input MB, inputs and output included"
    )
    output_mb_per_mb: Amount | None = Field(None, description="output bytes per input byte")
    shards_per_mb: Amount | None = Field(None, description="output shards per input MB")
    fresh_start_s: Amount | None = Field(
        None, description="seconds before the first task in a fresh environment: imports, compiling"
    )
    warm_start_s: Amount | None = Field(
        None, description="the same for a worker process on a node whose caches are warm"
    )
    serial_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="mpi: the part of the work that more ranks do not shorten"
    )
    ranks_max: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="mpi: more ranks than this are never asked for"
    )


class InputModel(_Model):
    """One kind of uploaded file."""

    files: Annotated[list[Word], Field(min_length=1)] = Field(
        description="patterns of the file name (* ? [...]), case-sensitive"
    )
    optional: bool = False


class ScoreModel(_Model):
    """Which value of which step's result says how good the answer is."""

    step: Name
    value: Word


class _StepModel(_Model):
    with_: list[Ref] = Field(
        default_factory=list, alias="with", description="inputs that every task gets whole"
    )
    parameters: dict[ParameterName, Parameter] = Field(default_factory=dict)
    profile: ProfileModel = Field(default_factory=lambda: ProfileModel.model_validate({}))


class MapStepModel(_StepModel):
    """Independent tasks, one per shard of what the step maps over."""

    kind: Literal["map"]
    run: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = (
        Field(None, description="module:function")
    )
    command: Annotated[list[Word], Field(min_length=1)] | None = Field(
        None, description="words of a command line; {inputs}, {output} and {parameter} are filled"
    )
    over: Ref | None = Field(None, description="one task per shard of this step or upload.ROLE")
    platforms: Annotated[list[Platform], Field(min_length=1)] | None = None
    output: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9]{1,16})+$")] | None
    ) = Field(None, description="NAME.ext: the suffix of every task's output file")


class MpiStepModel(_StepModel):
    """One MPI program over all of its inputs; runs on the MPI cluster."""

    kind: Literal["mpi"]
    run: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*$")] = Field(
        description="module, started as python -m module under mpirun"
    )


class WorkflowModel(_Model):
    """A Trivium workflow."""

    name: Name
    description: str = ""
    objective: Objective = "cost"
    deadline_s: Annotated[float, Field(gt=0, le=1e9)] | None = None
    inputs: dict[Name, InputModel] = Field(default_factory=dict)
    score: ScoreModel | None = None
    steps: Annotated[
        dict[Name, Annotated[MapStepModel | MpiStepModel, Field(discriminator="kind")]],
        Field(min_length=1, max_length=1000),
    ]


def load_workflow(text: str, file_name: str = "workflow file") -> Workflow:
    """Read and check a workflow file's text. Raises UserError: one sentence, with its line."""
    source = Source(text, file_name)
    if not isinstance(source.data, dict):
        raise source.error((), "a workflow file is a mapping that begins with name: and steps:.")
    try:
        model = WorkflowModel.model_validate(source.data)
    except ValidationError as error:
        raise _first_error(source, error.errors(include_url=False)) from error
    steps = {name: _step(source, name, step) for name, step in model.steps.items()}
    _check_references(source, model, steps)
    order = topological_order({name: step.predecessors for name, step in steps.items()})
    return Workflow(
        name=model.name,
        steps=tuple(steps[name] for name in order),
        roles=tuple(
            Role(name, tuple(role.files), role.optional) for name, role in model.inputs.items()
        ),
        description=model.description,
        objective=model.objective,
        deadline_s=model.deadline_s,
        score=None if model.score is None else Score(model.score.step, model.score.value),
    )


def json_schema() -> str:
    """Return the JSON Schema of workflow files, as published in `workflow.schema.json`."""
    schema = WorkflowModel.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _step(source: Source, name: str, model: MapStepModel | MpiStepModel) -> Step:
    path: Path = ("steps", name)
    profile = Profile(**model.profile.model_dump())
    whole = tuple(InputRef.parse(text) for text in model.with_)
    if isinstance(model, MpiStepModel):
        return Step(
            name, "mpi", model.run, (), None, whole, dict(model.parameters), ("hpc",), None, profile
        )
    if (model.run is None) == (model.command is None):
        raise source.error(path, f'step "{name}" needs either run: or command:, and not both.')
    for field in ("serial_fraction", "ranks_max"):
        if getattr(model.profile, field) is not None:
            raise source.error(
                (*path, "profile", field), f'step "{name}" is a map; {field} is for mpi steps.'
            )
    command = tuple(model.command or ())
    _check_command(source, name, command, model.parameters)
    platforms = tuple(p for p in PLATFORMS if model.platforms is None or p in model.platforms)
    return Step(
        name,
        "map",
        model.run,
        command,
        None if model.over is None else InputRef.parse(model.over),
        whole,
        dict(model.parameters),
        platforms,
        model.output,
        profile,
    )


def _check_command(
    source: Source, name: str, command: tuple[str, ...], parameters: Mapping[str, Parameter]
) -> None:
    """Refuse a command without {output}, and a placeholder that is nearly a known one.

    Other braces are left alone: they belong to awk or the shell.
    """
    if not command:
        return
    known = ["inputs", "output", *parameters]
    for i, word in enumerate(command):
        for found in re.findall(r"\{([a-z_][a-z0-9_]*)\}", word):
            close = [] if found in known else difflib.get_close_matches(found, known, 1, 0.75)
            if close:
                raise source.error(
                    ("steps", name, "command", i),
                    f'step "{name}" has no {{{found}}}; did you mean {{{close[0]}}}?',
                )
    if not any("{output}" in word for word in command):
        raise source.error(
            ("steps", name, "command"),
            f'the command of step "{name}" does not say where {{output}} goes.',
        )


def _check_references(source: Source, model: WorkflowModel, steps: Mapping[str, Step]) -> None:
    known = {"upload": sorted(model.inputs), "step": sorted(steps)}
    for name, step in steps.items():
        raw = model.steps[name]
        paths: list[Path] = [("steps", name, "with", i) for i in range(len(raw.with_))]
        if step.over is not None:
            paths.insert(0, ("steps", name, "over"))
        for i, (ref, path) in enumerate(zip(step.inputs, paths, strict=True)):
            if ref.name not in known[ref.source]:
                raise source.error(path, _unknown_reference(name, ref, known[ref.source]))
            if ref in step.inputs[:i]:
                raise source.error(path, f'step "{name}" reads {ref} twice.')
        over = step.over
        if over and over.source == "upload" and model.inputs[over.name].optional:
            raise source.error(
                paths[0],
                f'step "{name}" cannot map over the optional input "{over.name}"; '
                "an optional input is read with with:.",
            )
    if model.score is not None and model.score.step not in steps:
        raise source.error(
            ("score", "step"), f'score names a step "{model.score.step}" that is not there.'
        )
    cycle = find_cycle({name: step.predecessors for name, step in steps.items()})
    if cycle:
        raise source.error(
            ("steps", cycle[0]), f"the steps go round in a circle: {' -> '.join(cycle)}."
        )


def _unknown_reference(step: str, ref: InputRef, known: list[str]) -> str:
    what = "an upload input" if ref.source == "upload" else "a step"
    hint = difflib.get_close_matches(ref.name, known, 1) or known[:5]
    meant = f"; did you mean {' or '.join(hint)}?" if hint else "."
    return f'step "{step}" reads {what} "{ref.name}" that is not there{meant}'


# pydantic's errors as sentences

_UNITS = (
    ("mb_per_mb", "MB per input MB"),
    ("s_per_mb", "seconds per input MB"),
    ("s_per_task", "seconds per task"),
    ("shards_per_mb", "shards per input MB"),
    ("_mb", "MB"),
    ("_s", "seconds"),
)
_LONGEST_SHOWN = 60


def _first_error(source: Source, errors: list[ErrorDetails]) -> UserError:
    """Turn the error that stands first in the file into a sentence."""
    located = [(_path(error["loc"]), error) for error in errors]
    path, error = min(located, key=lambda pair: source.line(pair[0]))
    return source.error(path, _sentence(path, error))


def _path(loc: tuple[int | str, ...]) -> Path:
    """Leave out what pydantic adds to a place: the union's tag, and "[key]"."""
    path = [part for part in loc if part != "[key]"]
    if len(path) > 2 and path[0] == "steps" and path[2] in ("map", "mpi"):  # noqa: PLR2004
        del path[2]
    # Below a value of several possible types pydantic names the type that it tried.
    if len(path) > 4 and path[2] == "parameters":  # noqa: PLR2004
        del path[4:]
    return tuple(path)


def _sentence(path: Path, error: ErrorDetails) -> str:  # noqa: PLR0911
    field, kind = str(path[-1]) if path else "", error["type"]
    given = _shown(error["input"])
    where = ".".join(str(part) for part in path) or "the file"
    above = ".".join(str(part) for part in path[:-1]) or "the file"
    match kind:
        case "missing":
            return f'{above} needs the field "{field}".'
        case "union_tag_not_found":
            return f'{where} needs the field "kind": map or mpi.'
        case "union_tag_invalid":
            return f'{where} is of an unknown kind "{error["ctx"]["tag"]}"; there are map and mpi.'
        case "extra_forbidden":
            return _unknown_field(error["loc"], above, field)
        case _ if len(path) == 4 and path[2] == "parameters" and kind.endswith("_type"):  # noqa: PLR2004
            return f"{where} takes text, a number, true or false, not {given}."
        case "string_pattern_mismatch":
            return f"{where}: {given} is not {_pattern_in_words(path, field)}."
        case "float_type" | "int_type":
            unit = next((unit for end, unit in _UNITS if field.endswith(end)), "")
            takes = f"a number of {unit}, without a unit" if unit else "a number"
            return f"{where} takes {takes}, not {given}."
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{where} takes indented lines of `key: value`, not {given}."
        case "literal_error":
            return f"{where} is {given}; it may be {error['ctx']['expected']}."
        case _:
            return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, not {given}."


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _pattern_in_words(path: Path, field: str) -> str:
    if "parameters" in path:
        return "a parameter's name: a-z, 0-9 and _, not beginning with a digit"
    if field == "run":
        return "module:function (of a map step) or module (of an mpi step)"
    if field == "output":
        return "a file name with a suffix, such as counts.tsv"
    return "a name: a-z, 0-9 and -, at most 32 characters"


def _unknown_field(loc: tuple[int | str, ...], above: str, field: str) -> str:
    known = sorted(item.alias or name for name, item in _model_at(loc[:-1]).model_fields.items())
    close = difflib.get_close_matches(field, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}."
    return f'{above} has an unknown field "{field}"; {hint}'


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """Return what stands at a place in the file, as pydantic names it (with the step's kind)."""
    match loc:
        case ():
            return WorkflowModel
        case ("score",):
            return ScoreModel
        case ("inputs", _):
            return InputModel
        case ("steps", _, "map"):
            return MapStepModel
        case ("steps", _, "mpi"):
            return MpiStepModel
        case _:
            return ProfileModel
