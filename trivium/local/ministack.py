"""AWS on this machine: the emulator, on loopback, in an environment of its own, enforcing IAM."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import boto3
import httpx

from trivium.local.processes import Processes, free_port

START_TIMEOUT_S = 60.0
REGION = "us-east-1"
# The key of the root of account 000000000000: who deploys. All else has a role, or is a user.
ROOT_KEY = "local"
PROGRAM = Path(__file__).with_name("ministack_with_roles.py")


def start(processes: Processes, python: Path, folder: Path) -> str:
    """Start the emulator under its own interpreter; return its endpoint.

    Raises:
        UserError: it did not come up.

    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    environment = without_aws(os.environ) | {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    # -P: the folder of PROGRAM holds a module of the emulator's own name, namely this one.
    words = [str(python), "-P", str(PROGRAM)]
    processes.start("ministack", words, environment)
    processes.wait_until("ministack", lambda: answers(endpoint), START_TIMEOUT_S)
    return endpoint


def answers(endpoint: str) -> bool:
    """Return whether something at the endpoint speaks HTTP."""
    try:
        httpx.get(endpoint, timeout=1)
    except httpx.HTTPError:
        return False
    return True


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what it says of AWS: this machine's own is never meant."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}


def place(endpoint: str) -> dict[str, str]:
    """Return the environment in which every AWS client speaks to the emulator, as whom it may."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def variables(endpoint: str) -> dict[str, str]:
    """Return the environment in which every AWS client is root on the emulator."""
    return place(endpoint) | {
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
    }


def session(key: str = ROOT_KEY, secret: str = ROOT_KEY) -> boto3.Session:
    """Return a session with a key of the emulator's, root's by default."""
    return boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION)
