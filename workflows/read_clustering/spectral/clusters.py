"""The table of clusters: numbered by size, written the same byte for byte."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workflows.read_clustering.spectral.parallel import Ints


def numbered_by_size(labels: Ints) -> Ints:
    """Return labels 0, 1, ...: the largest group first, of equal ones the one that comes first."""
    _, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse]


def write_clusters(path: Path, names: Sequence[bytes], clusters: Ints, components: Ints) -> None:
    """Write read_id, cluster and component of each fragment as a gzipped table with a header."""
    lines = [b"read_id\tcluster\tcomponent\n"]
    lines += [
        b"%s\t%d\t%d\n" % row
        for row in zip(names, clusters.tolist(), components.tolist(), strict=True)
    ]
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as file:
        file.write(b"".join(lines))
    path.write_bytes(packed.getvalue())
