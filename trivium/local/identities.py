"""Who is who on the local stack: a user for the command line, a role for each agent's machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import boto3

from trivium.local import ministack

USER = "local-user"
SOURCE = "root"  # stands where EC2 would vouch for an instance


def make_user(root: boto3.Session, endpoint: str, policy_arn: str) -> tuple[str, str]:
    """Make a user who has this one policy; return a key of the user's, and its secret."""
    iam = root.client("iam", endpoint_url=endpoint)
    iam.create_user(UserName=USER)
    iam.attach_user_policy(UserName=USER, PolicyArn=policy_arn)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def machine_variables(folder: Path, name: str, endpoint: str) -> dict[str, str]:
    """Return the environment of a process on the machine of that name.

    On AWS the machine's instance profile gives its processes credentials that last for hours, and
    new ones in time. Here `sts:AssumeRole` does so, for every process as it needs them; the
    profile may be written later than the process is started, but before its first call.
    """
    return ministack.place(endpoint) | {
        "AWS_CONFIG_FILE": str(config_file(folder)),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_PROFILE": name,
    }


def write_profiles(folder: Path, roles: Mapping[str, str]) -> None:
    """Write the profile of every machine: its name, and the ARN of its role."""
    lines = [
        f"[profile {SOURCE}]",
        f"aws_access_key_id = {ministack.ROOT_KEY}",
        f"aws_secret_access_key = {ministack.ROOT_KEY}",
    ]
    for name, role in sorted(roles.items()):
        lines += [f"[profile {name}]", f"role_arn = {role}", f"source_profile = {SOURCE}"]
    config_file(folder).write_text("\n".join(lines) + "\n")


def config_file(folder: Path) -> Path:
    """Return the file that holds the profiles of a local stack."""
    return folder / "aws-config"
