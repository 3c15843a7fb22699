"""What the tests of agents and clusters share: AWS in a process of its own, Slurm, Ray."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.store import Store
from tests.integration.interpreter import Interpreter, interpreting
from tests.integration.support import BUCKET, MINISTACK, ROOT, SLOTS, TABLE, Desk, Parts, variables
from tests.support import ENVIRONMENT, set_environment
from trivium.local import ministack, ray_head, slurm
from trivium.local.processes import Processes


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the endpoint of an AWS that other processes reach as well."""
    if not MINISTACK.exists():
        pytest.skip("MiniStack is not installed; `make setup` installs it")
    folder = tmp_path_factory.mktemp("aws")
    processes = Processes(folder / "processes")
    try:
        yield ministack.start(processes, MINISTACK, folder)
    finally:
        processes.stop_all()


@pytest.fixture(scope="session")
def aws(emulator: str) -> Aws:
    """Return clients of the emulator, with the bucket and the table of the tests in it."""
    aws = Aws(ministack.session(), emulator)
    aws.client("s3").create_bucket(Bucket=BUCKET)
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    _let_machines_send(aws)
    return aws


def _let_machines_send(aws: Aws) -> None:
    """Make the role of the tests' state machines: the emulator enforces what it may not do."""
    trusted = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}}
    may_send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    iam = aws.client("iam")
    iam.create_role(
        RoleName="tests", AssumeRolePolicyDocument=policy_of(trusted | {"Action": "sts:AssumeRole"})
    )
    iam.put_role_policy(RoleName="tests", PolicyName="send", PolicyDocument=policy_of(may_send))


def policy_of(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def environment(emulator: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the environment that a cluster hands on to its jobs."""
    for name, value in variables(emulator).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(scope="session")
def slurm_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return what Slurm's commands need to reach a real Slurm of one node with two slots."""
    if not slurm.installed():
        pytest.skip("Slurm is not installed; Debian's packages are slurm-wlm and munge")
    folder = tmp_path_factory.mktemp("slurm")
    processes = Processes(folder / "processes")
    try:
        yield slurm.start(processes, folder, SLOTS)
    finally:
        processes.stop_all()


@pytest.fixture(scope="session")
def ray_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Return the processes of the Ray head."""
    processes = Processes(tmp_path_factory.mktemp("ray") / "processes")
    try:
        yield processes
    finally:
        processes.stop_all()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree((processes.folder / "ray.folder").read_text(), ignore_errors=True)


@pytest.fixture(scope="session")
def ray(ray_processes: Processes, emulator: str) -> ray_head.RayHead:
    """Return a real Ray head of one node with two slots."""
    head = ray_head.start(ray_processes, ROOT, SLOTS, variables(emulator))
    ray_head.wait(ray_processes, head)
    return head


@pytest.fixture
def parts(aws: Aws, request: pytest.FixtureRequest) -> Parts:
    """Return what writes parts under a run of this test's own."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60]
    return Parts(Store(aws, BUCKET), f"{words}-{time.time_ns() % 10**9}")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in which tasks say that they began; opened at the end in any case."""
    folder = tmp_path / "gate"
    folder.mkdir()
    try:
        yield folder
    finally:
        (folder / "open").touch()


@pytest.fixture
def desk(aws: Aws, emulator: str, tmp_path: Path) -> Iterator[Desk]:
    """Return a desk of this test's own; whatever was started from it is stopped."""
    name = f"q{time.time_ns()}"
    desk = Desk(aws, name, tmp_path / "desk", variables(emulator))
    desk.folder.mkdir()
    try:
        yield desk
    finally:
        desk.processes.stop_all()
        for platform in ("ray", "hpc"):
            for job in desk.jobs(platform):
                Ledger(aws, TABLE).delete(f"job#{platform}", job)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interpreter]:
    """Return moto's interpreter of state machines, with AWS in this process's memory."""
    set_environment(monkeypatch, ENVIRONMENT)
    with interpreting() as interpreter:
        yield interpreter
