"""k-means on a spectral embedding (Ng, Jordan and Weiss 2001), the same for the same points."""

import numpy as np

from workflows.read_clustering.spectral.parallel import Floats, Ints

STARTS = 4
SEEDING_ROUNDS = 100
FINAL_ROUNDS = 10
SEEDING_ROWS = 5_000
SEED = 20240229


def cluster_directions(vectors: Floats, clusters: int) -> Ints:
    """Cluster the rows of `vectors`, scaled to length one: labels 0 to clusters - 1, int64[n].

    Centres are sought from several k-means++ seedings (Arthur and Vassilvitskii 2007) on at most
    5,000 evenly spaced rows, and the best of them are then refined on all rows.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    points = vectors / np.where(lengths > 0, lengths, 1.0)
    sample = points[:: 1 + (len(points) - 1) // SEEDING_ROWS]
    random = np.random.default_rng(SEED)
    starts = [
        _lloyd(sample, _seeds(sample, clusters, random), SEEDING_ROUNDS) for _ in range(STARTS)
    ]
    centres = min(starts, key=lambda found: found[1])[0]
    centres = _lloyd(points, centres, FINAL_ROUNDS)[0]
    return _nearest(points, centres)[0]


def _seeds(points: Floats, clusters: int, random: np.random.Generator) -> Floats:
    """Return points picked one after another, each with chance as its squared distance so far."""
    chosen = [points[random.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    while len(chosen) < clusters:
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
        total = np.cumsum(distance)
        place = int(np.searchsorted(total, random.random() * total[-1], side="right"))
        chosen.append(points[min(place, len(points) - 1)])
    return np.array(chosen)


def _lloyd(points: Floats, centres: Floats, rounds: int) -> tuple[Floats, float]:
    """Return centres after some rounds, or at rest, and the sum of squared distances to them."""
    for _ in range(rounds):
        labels, distance = _nearest(points, centres)
        sizes = np.bincount(labels, minlength=len(centres))
        sums = np.stack(
            [np.bincount(labels, weights=axis, minlength=len(centres)) for axis in points.T], axis=1
        )
        moved = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres, float(distance.sum())


def _nearest(points: Floats, centres: Floats) -> tuple[Ints, Floats]:
    squares = (centres**2).sum(axis=1) - 2.0 * (points @ centres.T)
    labels = squares.argmin(axis=1).astype(np.int64)
    distance = squares[np.arange(len(points)), labels] + (points**2).sum(axis=1)
    return labels, distance
