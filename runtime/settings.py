"""What a function or an agent is told by its environment."""

import os
from dataclasses import dataclass

from placement.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Names of the stack's resources."""

    bucket: str
    table: str


def variable(name: str) -> str:
    """Return an environment variable that must be there.

    Raises:
        UserError: it is not set.

    """
    value = os.environ.get(name)
    if not value:
        raise UserError(f"The environment variable {name} is not set; the deployment sets it.")
    return value


def from_environment() -> Settings:
    """Return the settings of this process.

    Raises:
        UserError: a variable is missing.

    """
    return Settings(bucket=variable("TRIVIUM_BUCKET"), table=variable("TRIVIUM_TABLE"))
