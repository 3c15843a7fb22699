"""Simulated annealing over drafts (Kirkpatrick et al. 1983, doi:10.1126/science.220.4598.671)."""

from __future__ import annotations

import numpy as np

from placement.engine.jit import njit
from placement.engine.refining.decoding import Draft, Times, decode
from placement.engine.refining.moves import change
from placement.engine.refining.problem import Problem

# What counts as cheaper, in USD.
_LESS = 1e-12


@njit(cache=True)
def anneal(
    p: Problem, draft: Draft, times: Times, tries: int, hot_usd: float, cold_usd: float, seed: int
) -> float:
    """Change a draft to the best one met, with its times, and return what that costs (USD).

    A change that costs more is kept with a probability that falls with what it costs more, in
    terms of a heat that falls from `hot_usd` to `cold_usd`. Infinite where the draft given is late.
    """
    np.random.seed(seed)
    usd = decode(p, draft, times)
    if not np.isfinite(usd):
        return usd
    best, best_usd = _copy(draft), usd
    trial, in_step = _copy(draft), True
    for number in range(tries):
        if not in_step:
            _assign(trial, draft)
        in_step = False
        if not change(p, trial):
            continue
        heat_usd = hot_usd * (cold_usd / hot_usd) ** (number / tries)
        trial_usd = decode(p, trial, times)
        if trial_usd <= usd + heat_usd * np.random.exponential():
            _assign(draft, trial)
            usd, in_step = trial_usd, True
            if usd < best_usd - _LESS:
                _assign(best, draft)
                best_usd = usd
    _assign(draft, best)
    return decode(p, draft, times)


@njit(cache=True)
def _copy(draft: Draft) -> Draft:
    return Draft(
        draft.order.copy(),
        draft.position.copy(),
        draft.place.copy(),
        draft.kind.copy(),
        draft.tasks_on.copy(),
    )


@njit(cache=True)
def _assign(to: Draft, source: Draft) -> None:
    to.order[:] = source.order
    to.position[:] = source.position
    to.place[:] = source.place
    to.kind[:] = source.kind
    to.tasks_on[:] = source.tasks_on
