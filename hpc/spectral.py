"""Step `spectral`: cluster sketched reads by genome, on all ranks of an MPI job.

    mpirun -n 4 python -m hpc.spectral --inputs DIR --output DIR --checkpoint DIR \
        [--parameter NAME=VALUE ...]

DIR of inputs holds sketch shards (*.npz) and may hold one truth (*.truth.tsv or *.truth.tsv.gz).
Written are `clusters.tsv.gz` (read_id, cluster, component; in the order of the input) and
`result.json`. The same inputs give the same clusters on any number of ranks.
"""

import argparse
import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from placement.books import default_books
from placement.checkpoints import job_mtbf_s
from placement.errors import UserError
from workflows.read_clustering.spectral.checkpoint import Checkpoint, fingerprint
from workflows.read_clustering.spectral.clusters import numbered_by_size, write_clusters
from workflows.read_clustering.spectral.parallel import stop_all_ranks_on_error
from workflows.read_clustering.spectral.pipeline import Clustering, Parameters, cluster_fragments
from workflows.read_clustering.spectral.score import judged_column, read_truth, scores
from workflows.read_clustering.spectral.sketches import read_names

LARGEST_SHOWN = 10

log = logging.getLogger("spectral")


def run(
    comm: MPI.Comm,
    inputs: Path,
    output: Path,
    checkpoint: Path,
    mtbf_s: float,
    parameters: Parameters,
) -> dict[str, Any]:
    """Cluster the fragments in `inputs`; return what result.json says, on rank 0 (else {}).

    Raises:
        UserError: there is no sketch shard, none has a fragment, or an input is malformed.

    """
    paths = sorted(inputs.glob("*.npz"))
    if not paths:
        raise UserError("there is no sketch shard (*.npz) among the inputs")
    name = fingerprint(comm, paths, dataclasses.asdict(parameters))
    kept = Checkpoint(comm, checkpoint, name, mtbf_s)
    clustering = cluster_fragments(comm, paths, parameters, kept)
    if not len(clustering.labels):
        raise UserError(
            "no read is left after the quality filter, so there is nothing to cluster; "
            "check the reads' qualities and lengths"
        )
    if comm.rank != 0:
        return {}
    output.mkdir(parents=True, exist_ok=True)
    names = [word for path in paths for word in read_names(path)]
    clusters = numbered_by_size(clustering.labels)
    write_clusters(
        output / "clusters.tsv.gz", names, clusters, numbered_by_size(clustering.components)
    )
    result = _summary(clustering, clusters)
    truths = sorted([*inputs.glob("*.truth.tsv"), *inputs.glob("*.truth.tsv.gz")])
    if truths:
        # Read only now: nothing that decides on a label has seen it.
        result |= _scored(names, clusters.tolist(), truths[0])
    (output / "result.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result


def main(words: list[str]) -> None:
    """Run the program on MPI.COMM_WORLD."""
    comm = MPI.COMM_WORLD
    stop_all_ranks_on_error()
    parser = argparse.ArgumentParser(prog="python -m hpc.spectral", description=__doc__)
    for name in ("--inputs", "--output", "--checkpoint"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args(words)
    logging.basicConfig(
        level=logging.INFO if comm.rank == 0 else logging.WARNING,
        stream=sys.stderr,
        format="%(relativeCreated)7.0f ms  %(message)s",
    )
    result = run(
        comm,
        arguments.inputs,
        arguments.output,
        arguments.checkpoint,
        float(os.environ.get("TRIVIUM_MTBF_S", job_mtbf_s(1, default_books()[1]))),
        Parameters.from_words(arguments.parameter),
    )
    log.info("%s", json.dumps(result))


def _summary(
    clustering: Clustering, clusters: np.ndarray[Any, np.dtype[np.int64]]
) -> dict[str, Any]:
    sizes = np.bincount(clusters)
    return {
        "fragments": len(clusters),
        "edges": clustering.edges,
        "neighbour_edges": clustering.neighbour_edges,
        "overlap_components": clustering.overlap_components,
        "whole_components": clustering.whole_components,
        "components": len(np.unique(clustering.components)),
        "clusters": len(sizes),
        "largest_clusters": sizes[:LARGEST_SHOWN].tolist(),
        "solved": [dataclasses.asdict(solved) for solved in clustering.solved],
        "resumed": clustering.resumed,
    }


def _scored(names: list[bytes], clusters: list[int], truth: Path) -> dict[str, Any]:
    # Headers may say what they like; one that is not UTF-8 is the name of no read in the truth.
    words = [name.decode(errors="replace") for name in names]
    found = scores(words, clusters, read_truth(truth, set(words)))
    column = judged_column(found)
    return {
        "adjusted_rand_index": found[column],
        "adjusted_rand_index_by": column,
        "adjusted_rand_indices": found,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
