"""Policies: which platforms each may place a step on.

`trivium` searches all of them. The others are what it is compared with: every map step on one
platform, and MPI steps where alone they can run.
"""

from collections.abc import Mapping

from placement.errors import UserError
from placement.workflow import Platform, Step

_MAPS_ON: Mapping[str, Platform | None] = {
    "trivium": None,
    "all-lambda": "lambda",
    "all-ray": "ray",
    "all-hpc": "hpc",
}
POLICIES: tuple[str, ...] = tuple(_MAPS_ON)


def check_policy(name: str) -> None:
    """Raise UserError where there is no policy of that name."""
    if name not in _MAPS_ON:
        raise UserError(f'there is no policy "{name}"; there are {", ".join(POLICIES)}.')


def allowed_platforms(policy: str, step: Step) -> tuple[Platform, ...]:
    """Return the platforms that a policy may use for a step; none where the step forbids it."""
    only = _MAPS_ON[policy]
    if only is None or step.kind == "mpi":
        return step.platforms
    return tuple(platform for platform in step.platforms if platform == only)
