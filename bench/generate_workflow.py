"""Generates a workflow trace with a WfCommons recipe; needs the environment .tools/peers.

    make .tools/peers/ready
    .tools/peers/bin/python bench/generate_workflow.py OUT.json [--tasks N] [--recipe genome]

The recipe repeats the structure of real 1000Genome runs until there are about as many tasks, and
draws runtimes and file sizes from distributions that were fitted to them. The same seed gives the
same tasks, files and runtimes. 100,000 tasks take about two minutes and 300 MB.
"""

import argparse
import random
import uuid
from pathlib import Path

import numpy as np
from wfcommons import WorkflowGenerator  # type: ignore[import-not-found]
from wfcommons.wfchef import recipes  # type: ignore[import-not-found]

RECIPES = {
    "genome": recipes.GenomeRecipe,
    "epigenomics": recipes.EpigenomicsRecipe,
    "srasearch": recipes.SrasearchRecipe,
    "montage": recipes.MontageRecipe,
}


def _name_files_by(source: random.Random) -> None:
    """Let the generator, which names files by UUIDs, name them in the same way each time."""
    uuid.uuid4 = lambda: uuid.UUID(int=source.getrandbits(128), version=4)


def main() -> None:
    """Generate one workflow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="genome")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    _name_files_by(random.Random(options.seed))  # noqa: S311  (no secrets)
    random.seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002  (what the generator draws from)
    recipe = RECIPES[options.recipe].from_num_tasks(options.tasks)
    WorkflowGenerator(recipe).build_workflow().write_json(options.out)


if __name__ == "__main__":
    main()
