"""What a step has to do is counted, and refused where it cannot be."""

import pytest

from placement.books import default_books
from placement.errors import UserError
from placement.load import loads
from placement.workflow_file import load_workflow

STEPS = """\
name: a
inputs: {reads: {files: ["*"]}}
steps:
  cut: {kind: map, run: m:f, with: [upload.reads], profile: {%s}}
  then: {kind: map, run: m:f, over: cut, profile: {%s}}
"""
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("first", "second", "uploads", "named"),
    [
        ("shards_per_mb: 1.0e+9", "", (MEGABYTE,), '"cut"'),
        ("shards_per_mb: 1.0e+9, output_mb_per_mb: 0", "", (10**300,), '"cut"'),
        ("shards_per_mb: 1.5e+7", "", (MEGABYTE,), '"then"'),
        ("output_mb_per_mb: 1.0e+9", "output_mb_per_mb: 1.0e+9", (MEGABYTE,), '"then"'),
    ],
    ids=["shards", "an endless upload", "shards of all steps together", "bytes"],
)
def test_more_than_can_be_planned_is_refused_before_it_is_listed(
    first: str, second: str, uploads: tuple[int, ...], named: str
) -> None:
    workflow = load_workflow(STEPS % (first, second))
    with pytest.raises(UserError, match=f"step {named} would .*; lower shards_per_mb"):
        loads(workflow, {"reads": uploads}, default_books()[1])


def test_a_million_shards_are_still_planned() -> None:
    workflow = load_workflow(STEPS % ("shards_per_mb: 1000000", ""))
    found = loads(workflow, {"reads": (MEGABYTE,)}, default_books()[1])
    assert (found["cut"].output_shards, found["then"].tasks) == (1_000_000, 1_000_000)
