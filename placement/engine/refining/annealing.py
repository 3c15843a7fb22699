"""Simulated annealing over drafts (Kirkpatrick et al. 1983, doi:10.1126/science.220.4598.671)."""

from __future__ import annotations

import numpy as np

from placement.engine.jit import bare
from placement.engine.refining.decoding import Draft, Times, decode
from placement.engine.refining.moves import change
from placement.engine.refining.problem import Problem

# What counts as cheaper, in USD.
_LESS = 1e-12


@bare
def anneal(
    p: Problem,
    draft: Draft,
    trial: Draft,
    best: Draft,
    times: Times,
    tries: int,
    hot_usd: float,
    cold_usd: float,
) -> float:
    """Change a draft to the best one met, with its times, and return what that costs (USD).

    A change that costs more is kept with a probability that falls with what it costs more, in
    terms of a heat that falls from `hot_usd` to `cold_usd`. `trial` and `best` are room for two
    more drafts of the same part. Infinite where the draft given is late; the times are lost then.
    """
    usd = decode(p, draft, times)
    if not np.isfinite(usd):
        return usd
    assign(best, draft)
    best_usd, in_step = usd, False
    for number in range(tries):
        if not in_step:
            assign(trial, draft)
        in_step = False
        if not change(p, trial):
            continue
        heat_usd = hot_usd * (cold_usd / hot_usd) ** (number / tries)
        trial_usd = decode(p, trial, times)
        if trial_usd <= usd + heat_usd * np.random.exponential():
            assign(draft, trial)
            usd, in_step = trial_usd, True
            if usd < best_usd - _LESS:
                assign(best, draft)
                best_usd = usd
    assign(draft, best)
    return decode(p, draft, times)


@bare
def assign(to: Draft, source: Draft) -> None:
    """Make one draft of a part what another is."""
    for at in range(source.order.shape[0]):
        task = source.order[at]
        to.order[at] = task
        to.position[task] = at
        to.place[task] = source.place[task]
    for lease in source.leases:
        to.kind[lease] = source.kind[lease]
        to.tasks_on[lease] = source.tasks_on[lease]
