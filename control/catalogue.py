"""The workflows and books that are deployed with the functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import workflows
from placement.errors import UserError
from placement.probe import probed_workflow
from placement.workflow import Workflow
from placement.workflow_file import load_workflow as parse_workflow

FOLDER = Path(workflows.__file__).parent


def workflow_names() -> list[str]:
    """Return the names of all workflows, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load_workflow(name: str) -> Workflow:
    """Return a workflow by its name.

    Raises:
        UserError: there is none of this name, or its file is wrong.

    """
    names = workflow_names()
    if name not in names:
        raise UserError(
            f"There is no workflow {name!r}; the deployed ones are {', '.join(names)}. "
            "Upload to raw/<workflow>/, or add workflows/<workflow>.yaml and deploy."
        )
    return parse_workflow((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def workflow_of(run_item: Mapping[str, Any]) -> Workflow:
    """Return the workflow of a run: all of it, or of a probe the steps that it runs.

    Raises:
        UserError: there is none of its name, or its file is wrong.

    """
    workflow = load_workflow(run_item["workflow"])
    return probed_workflow(workflow) if "probe" in run_item.get("options", {}) else workflow
