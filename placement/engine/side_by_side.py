"""Runs independent pieces of work at once, on threads.

Compiled functions let other threads run meanwhile, and they are where the time goes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def all_of[T](jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Return what each job returns, in their order; the first error of a job is raised.

    No job may change what another one reads.
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    with ThreadPoolExecutor(os.process_cpu_count()) as threads:
        return [each.result() for each in [threads.submit(job) for job in jobs]]
