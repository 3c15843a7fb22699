"""The real `sam build` and `sam deploy`, against the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3

from placement.errors import UserError
from trivium.local.ministack import without_aws

STACK_NAME = "trivium"
LAST_WORDS = 3_000


def deploy(
    root: Path, tools: Path, log: Path, variables: dict[str, str], parameters: dict[str, str]
) -> None:
    """Build and deploy the stack.

    Raises:
        UserError: the SAM CLI failed; the sentence carries its last words.

    """
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), str(tools / "uv" / "bin"), os.environ["PATH"]]
    )
    environment = without_aws(os.environ) | variables
    environment |= {"PATH": path, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"}
    sam = str(tools / "sam" / "bin" / "sam")
    build = [sam, "build", "--parallel"]
    words = [sam, "deploy", "--stack-name", STACK_NAME, "--no-progressbar"]
    words += ["--no-fail-on-empty-changeset", "--parameter-overrides"]
    words += [f"{name}={value}" for name, value in sorted(parameters.items())]
    for command in (build, words):
        with log.open("ab") as out:
            done = subprocess.run(
                command,
                check=False,
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        if done.returncode != 0:
            said = log.read_text(errors="replace")[-LAST_WORDS:]
            raise UserError(f"`sam {command[1]}` failed ({log}):\n{said}")


def outputs(session: boto3.Session, endpoint: str | None, stack: str) -> dict[str, str]:
    """Return the outputs of a deployed stack.

    Raises:
        UserError: there is no such stack.

    """
    client = session.client("cloudformation", endpoint_url=endpoint)
    try:
        found = client.describe_stacks(StackName=stack)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(
            f"There is no stack {stack!r} in {session.region_name}; `sam deploy` makes one."
        ) from error
    return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
