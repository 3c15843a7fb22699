"""AWS on this machine: the emulator, on loopback, in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
import httpx

from trivium.local.processes import Processes, free_port

START_TIMEOUT_S = 60.0
REGION = "us-east-1"
# The emulator knows no accounts: any key is the root of account 000000000000.
ACCESS_KEY = "local"


def start(processes: Processes, program: Path, folder: Path) -> str:
    """Start the emulator; return its endpoint.

    Raises:
        UserError: it did not come up.

    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    processes.start("ministack", [str(program)], environment)
    processes.wait_until("ministack", lambda: answers(endpoint), START_TIMEOUT_S)
    return endpoint


def answers(endpoint: str) -> bool:
    """Return whether something at the endpoint speaks HTTP."""
    try:
        httpx.get(endpoint, timeout=1)
    except httpx.HTTPError:
        return False
    return True


def variables(endpoint: str) -> dict[str, str]:
    """Return the environment in which every AWS client speaks to the emulator."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def session() -> boto3.Session:
    """Return a session with the emulator's credentials, whatever this machine's own are."""
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=REGION
    )
