"""What the emulator's own enforcement leaves out, and the local stack adds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime.requests import Aws
from tests.integration.conftest import policy_of
from tests.integration.support import BUCKET, ENDED, until
from trivium.local import ministack

NAME = "enforcement"
MACHINE = f"arn:aws:states:us-east-1:000000000000:stateMachine:{NAME}"
SENDING = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"


@pytest.fixture(scope="module")
def queue(aws: Aws) -> str:
    return str(aws.client("sqs").create_queue(QueueName=NAME)["QueueUrl"])


@pytest.fixture(scope="module")
def machine(aws: Aws, queue: str) -> str:
    """Return a state machine that sends a token to a queue, under a role that may."""
    role = make_role(aws, "sender", "states", {"Action": "sqs:SendMessage", "Resource": "*"})
    body = {"token.$": "$$.Task.Token"}
    state = {
        "Type": "Task",
        "Resource": SENDING,
        "TimeoutSeconds": 60,
        "Parameters": {"QueueUrl": queue, "MessageBody": body},
        "End": True,
    }
    made = aws.client("stepfunctions").create_state_machine(
        name=NAME,
        definition=json.dumps({"StartAt": "Send", "States": {"Send": state}}),
        roleArn=role,
    )
    return str(made["stateMachineArn"])


def make_role(aws: Aws, name: str, service: str, right: dict[str, Any]) -> str:
    trusted = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}}
    iam = aws.client("iam")
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=policy_of(trusted | {"Action": "sts:AssumeRole"})
    )["Role"]
    may = policy_of({"Effect": "Allow"} | right)
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=may)
    return str(role["Arn"])


def under(aws: Aws, endpoint: str, role: str) -> Aws:
    """Return clients with the role's credentials."""
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session = ministack.session(given["AccessKeyId"], given["SecretAccessKey"])
    session._session.set_credentials(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    )
    return Aws(session, endpoint)


@pytest.fixture
def token(aws: Aws, machine: str, queue: str) -> str:
    aws.client("stepfunctions").start_execution(stateMachineArn=machine)
    sqs = aws.client("sqs")
    message = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "the token")[0]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return str(json.loads(message["Body"])["token"])


def test_a_machine_sends_nothing_that_its_role_may_not_send(aws: Aws, machine: str) -> None:
    iam = aws.client("iam")
    may = iam.get_role_policy(RoleName="sender", PolicyName="may")["PolicyDocument"]
    iam.delete_role_policy(RoleName="sender", PolicyName="may")
    try:
        client = aws.client("stepfunctions")
        arn = client.start_execution(stateMachineArn=machine)["executionArn"]
        until(lambda: client.describe_execution(executionArn=arn)["status"] in ENDED, "the end")
        ended = client.describe_execution(executionArn=arn)
    finally:
        iam.put_role_policy(RoleName="sender", PolicyName="may", PolicyDocument=json.dumps(may))
    assert ended["status"] == "FAILED"
    assert "sender" in ended["cause"]
    assert "is not authorized to perform: sqs:SendMessage" in ended["cause"]
    assert f"on resource: arn:aws:sqs:us-east-1:000000000000:{NAME}" in ended["cause"]


def test_a_token_is_a_matter_of_its_machine(aws: Aws, emulator: str, token: str) -> None:
    action = "states:SendTaskSuccess"
    other = make_role(aws, "other", "ec2", {"Action": action, "Resource": f"{MACHINE}-other"})
    this = make_role(aws, "this", "ec2", {"Action": action, "Resource": MACHINE})
    with pytest.raises(ClientError, match=action):
        under(aws, emulator, other).client("stepfunctions").send_task_success(
            taskToken=token, output="{}"
        )
    under(aws, emulator, this).client("stepfunctions").send_task_success(
        taskToken=token, output="{}"
    )


def test_only_who_may_list_is_told_that_an_object_is_not_there(aws: Aws, emulator: str) -> None:
    get = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    reader = make_role(aws, "reader", "ec2", get)
    both = {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    lister = make_role(aws, "lister", "ec2", both)
    with pytest.raises(ClientError, match="s3:ListBucket"):
        under(aws, emulator, reader).client("s3").get_object(Bucket=BUCKET, Key="not there")
    with pytest.raises(ClientError, match="NoSuchKey"):
        under(aws, emulator, lister).client("s3").get_object(Bucket=BUCKET, Key="not there")


def test_an_event_that_may_not_start_a_run_goes_to_the_dead_letters(aws: Aws, machine: str) -> None:
    role = make_role(aws, "starter", "events", {"Action": "sqs:SendMessage", "Resource": "*"})
    dead = aws.client("sqs").create_queue(QueueName=f"{NAME}-dead")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{NAME}-dead"
    events = aws.client("events")
    events.put_rule(Name=NAME, EventPattern=json.dumps({"source": ["test"]}))
    target = {"Id": "1", "Arn": machine, "RoleArn": role, "DeadLetterConfig": {"Arn": arn}}
    events.put_targets(Rule=NAME, Targets=[target])
    before = len(executions(aws, machine))
    events.put_events(Entries=[{"Source": "test", "DetailType": "test", "Detail": "{}"}])
    found = until(
        lambda: (
            aws.client("sqs")
            .receive_message(QueueUrl=dead, MessageAttributeNames=["All"])
            .get("Messages")
        ),
        "the dead letter",
    )[0]
    assert "states:StartExecution" in found["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    assert len(executions(aws, machine)) == before


def executions(aws: Aws, machine: str) -> list[Any]:
    client = aws.client("stepfunctions")
    return list(client.list_executions(stateMachineArn=machine)["executions"])
