"""How a step's work passes at one place: figures of the step model, by the book or calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from placement.calibration.calibration import Computing, Overheads
from placement.load import Load
from placement.workflow import Platform


@dataclass(frozen=True, slots=True)
class Pace:
    """The work, and what passes besides computing.

    `load` has the step's needs as they are at this place. `queue_s` passes before anything starts,
    `startup_s` before the step's own code; requests take `request_scale` times the book's seconds,
    and data `s_per_mb`. `lead_s` passes before the step is queued, where `queue_s` does not count
    it.
    """

    load: Load
    queue_s: float
    startup_s: float
    request_scale: float
    s_per_mb: float
    lead_s: float = 0.0

    def calibrated(
        self,
        platform: Platform,
        computing: Computing | None,
        overheads: Overheads | None,
        lead_s: float,
    ) -> Pace:
        """Return it with figures that were fitted, where there are any."""
        load = self.load if computing is None else _with(self.load, platform, computing)
        if overheads is None:
            return replace(self, load=load)
        return Pace(
            load,
            overheads.queue_s,
            overheads.startup_s,
            overheads.request_scale,
            overheads.s_per_mb,
            lead_s,
        )


def _with(load: Load, platform: Platform, computing: Computing) -> Load:
    needs = replace(
        load.needs, cpu_s_per_task=computing.s_per_task, cpu_s_per_mb=computing.s_per_mb
    )
    own_s = computing.own_start_s
    if own_s is not None and platform == "lambda":
        needs = replace(needs, fresh_start_s=own_s)
    elif own_s is not None:
        # Measured on nodes that were up: one that is launched has cold caches besides.
        caches_s = max(0.0, needs.fresh_start_s - needs.warm_start_s)
        needs = replace(needs, warm_start_s=own_s, fresh_start_s=own_s + caches_s)
    return replace(load, needs=needs)
