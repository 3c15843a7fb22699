"""How often a long job is best kept, and what failures then make of its time.

Source: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps",
Future Generation Computer Systems 22 (2006) 303-312. Failures come at random, at a constant rate.
"""

from __future__ import annotations

import math

from placement.books import PlatformBook


def best_interval_s(save_s: float, mtbf_s: float) -> float:
    """Return the seconds of work between two checkpoints with which a job takes least time.

    `save_s` is what one takes to write, `mtbf_s` the mean time between failures of the job, which
    is that of a node over the number of its nodes (Daly's equation 37).
    """
    if save_s >= 2 * mtbf_s:
        return mtbf_s
    share = save_s / (2 * mtbf_s)
    return math.sqrt(2 * save_s * mtbf_s) * (1 + math.sqrt(share) / 3 + share / 9) - save_s


def expected_s(work_s: float, save_s: float, restart_s: float, mtbf_s: float) -> float:
    """Return the time that a job of `work_s` seconds is expected to take, failures included.

    It is kept at the best interval; one shorter than that is never kept and begins again. After a
    failure it takes `restart_s` until it works again (Daly's equation 20).
    """
    interval_s = best_interval_s(save_s, mtbf_s)
    if work_s <= interval_s:
        interval_s, save_s = work_s, 0.0
    if interval_s == 0:
        return 0.0
    of_a_segment_s = mtbf_s * math.expm1((interval_s + save_s) / mtbf_s)
    return math.exp(restart_s / mtbf_s) * of_a_segment_s * work_s / interval_s


def with_failures_s(work_s: float, nodes: int, book: PlatformBook) -> float:
    """Return what an MPI program's work is expected to take on nodes that may fail."""
    restart_s = book.value("hpc_launch_s") + book.value("hpc_job_start_s")
    return expected_s(work_s, book.value("checkpoint_s"), restart_s, job_mtbf_s(nodes, book))


def job_mtbf_s(nodes: int, book: PlatformBook) -> float:
    """Return the mean seconds between failures of a job, which any of its nodes can end."""
    return book.value("node_mtbf_s") / nodes
