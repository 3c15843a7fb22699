"""Which stack a command works with: the local one, or one on AWS by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError

from control.stack import Stack
from placement.errors import UserError
from runtime.requests import Aws
from runtime.settings import Settings
from trivium.local import deployment
from trivium.local.stack import LocalStack, find

StackName = Annotated[
    str | None, typer.Option("--stack", help="A stack on AWS; without it, the local one.")
]


@dataclass(frozen=True)
class Target:
    """A stack that is up."""

    stack: Stack
    outputs: dict[str, str]

    @staticmethod
    def local(found: LocalStack) -> Target:
        """Return the local stack as a target."""
        return _target(found.aws, found.outputs)

    @staticmethod
    def choose(name: str | None) -> Target:
        """Return the stack of that name on AWS, or, without a name, the local one.

        Raises:
            UserError: it is not there, or AWS cannot be reached.

        """
        if name is None:
            found = find()
            if found is None:
                raise UserError(
                    "No local stack is up; start it with `trivium up`, or name one on AWS with "
                    "--stack."
                )
            return Target.local(found)
        session = boto3.Session()
        try:
            return _target(Aws(session), deployment.outputs(session, None, name))
        except BotoCoreError as error:
            raise UserError(f"AWS cannot be asked for the stack {name!r}: {error}.") from error


def _target(aws: Aws, outputs: dict[str, str]) -> Target:
    settings = Settings(outputs["Bucket"], outputs["Ledger"])
    return Target(Stack.of(settings, aws), outputs)
