"""MiniStack with those of AWS's checks of rights that its own enforcement leaves out.

MiniStack's interpreter runs this file in place of `ministack`, with AUTH=true. MiniStack checks
what comes in over HTTP. Here it learns to check what it does by itself, and to name what is asked
for:

* A state machine calls functions, sends messages, reads objects and starts executions under its own
  role (docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html).
* A rule starts an execution under its target's role
  (docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-identity-based.html).
* A task token is a matter of its state machine: that is the resource of `states:SendTask...`
  (AWS CDK, `StateMachine.grantTaskResponse`). MiniStack says `*`.
* Who may not list a bucket is refused, and not told that an object is not there
  (docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, "Permissions").
* A function that fails in a task which waits for a token fails that task. MiniStack waits for ever.
* A right may hang on the tags of an EC2 instance (docs.aws.amazon.com/service-authorization/latest/
  reference/list_amazonec2.html, `aws:ResourceTag`). MiniStack does not look them up.
* A request on loopback counts as encrypted, unless its X-Forwarded-Proto says otherwise: there is
  no wire to listen on, and the bucket refuses what came unencrypted.

Where TRIVIUM_ACCESS_LOG names a file, every decision on a role or a user is written to it, a line
of JSON each: who asked for what on which resource, and whether it was allowed.
"""

from __future__ import annotations

import contextvars
import json
import os
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from ministack import app as gateway
from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import ec2, eventbridge, s3, sqs, stepfunctions, tagging

# The state machine, and the token, of the task that this thread works on.
_machine: contextvars.ContextVar[str] = contextvars.ContextVar("machine")
_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("token", default=None)
_machine_of_token: dict[str, str] = {}
_log_lock = threading.Lock()


def main() -> None:
    """Put every check in its place, and serve."""
    iam_evaluator.enforce = _noting(iam_evaluator.enforce)
    iam_actions.extract_resource_arn = _naming_tokens(iam_actions.extract_resource_arn)
    iam_actions.s3_additional_checks = _missing_objects(iam_actions.s3_additional_checks)
    for name, guarded in (
        ("_execute_task", _under_machine(stepfunctions._execute_task)),
        ("_invoke_with_callback", _with_token(stepfunctions._invoke_with_callback)),
        ("_call_lambda", _guarded_call(stepfunctions._call_lambda)),
        ("_s3_object_text", _guarded_read(stepfunctions._s3_object_text)),
        ("_run_distributed_map", _guarded_map(stepfunctions._run_distributed_map)),
        (
            "_invoke_nested_start_execution_sync",
            _guarded_nested(stepfunctions._invoke_nested_start_execution_sync),
        ),
    ):
        setattr(stepfunctions, name, guarded)
    send = "arn:aws:states:::sqs:sendMessage"
    stepfunctions._SERVICE_DISPATCH[send] = _guarded_send(stepfunctions._SERVICE_DISPATCH[send])
    tagging._RESOURCE_TAG_COLLECTORS["ec2"] = _instance_tags
    eventbridge._invoke_target = _guarded_target(eventbridge._invoke_target)
    gateway.app = _encrypted(gateway.app)
    gateway.main()


def denial(role_arn: str, session: str, action: str, resource: str) -> str | None:
    """Return AWS's sentence if the role may not do this, None if it may."""
    account, role = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    principal = f"arn:aws:sts::{account}:assumed-role/{role}/{session}"
    context = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=responses.get_region(),
        secure_transport=True,
    )
    result = iam_evaluator.evaluate(context, iam_evaluator._gather_role_policies(role, account))
    policy = iam_evaluator._resource_policy(action.split(":", 1)[0], resource)
    if policy is not None:
        result = iam_evaluator.combine_resource_policy(result, context, *policy)
    allowed = result.decision == "Allow"
    _note(principal, action, resource, allowed)
    if allowed:
        return None
    return (
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def _require(action: str, resource: str, error: str) -> None:
    """Fail the task at hand, with this error, if its machine's role may not do this."""
    machine = _machine.get()
    role = stepfunctions._state_machines[machine]["roleArn"]
    refused = denial(role, f"execution-of-{machine.rsplit(':', 1)[-1]}"[:64], action, resource)
    if refused is not None:
        raise stepfunctions._ExecutionError(error, refused)


def _under_machine(execute: Callable[..., Any]) -> Callable[..., Any]:
    def under_machine(state: Any, given: Any, execution: Any, context: Any) -> Any:
        # A child of a Distributed Map is of the machine before the slash.
        before = _machine.set(execution["stateMachineArn"].split("/")[0])
        try:
            return execute(state, given, execution, context)
        finally:
            _machine.reset(before)

    return under_machine


def _with_token(invoke: Callable[..., Any]) -> Callable[..., Any]:
    def with_token(resource: str, given: Any, token: str, state: Any) -> Any:
        _machine_of_token[token] = _machine.get()
        before = _token.set(token)
        try:
            return invoke(resource, given, token, state)
        finally:
            _token.reset(before)

    return with_token


def _guarded_call(call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded_call(function: str, event: Any) -> Any:
        try:
            # As the Lambda service's own refusals reach a state machine.
            _require("lambda:InvokeFunction", function, "Lambda.AWSLambdaException")
            return call(function, event)
        except stepfunctions._ExecutionError as failure:
            waiting = stepfunctions._task_tokens.get(_token.get())
            if waiting is not None:
                waiting["error"] = {"Error": failure.error, "Cause": failure.cause}
                waiting["event"].set()
            raise

    return guarded_call


def _guarded_send(send: Callable[..., Any]) -> Callable[..., Any]:
    def guarded_send(resource: str, given: Any) -> Any:
        *_, account, queue = given["QueueUrl"].rstrip("/").split("/")
        arn = f"arn:aws:sqs:{responses.get_region()}:{account}:{queue}"
        _require("sqs:SendMessage", arn, "SQS.AccessDenied")
        return send(resource, given)

    return guarded_send


def _guarded_read(read: Callable[..., str]) -> Callable[..., str]:
    def guarded_read(bucket: str, key: str) -> str:
        _require("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", "States.ItemReaderFailed")
        return read(bucket, key)

    return guarded_read


def _guarded_map(run: Callable[..., Any]) -> Callable[..., Any]:
    def guarded_map(state: Any, given: Any, effective: Any, inner: Any, of: Any, ctx: Any) -> Any:
        # Its children are executions of the machine itself.
        machine = of["stateMachineArn"]
        before = _machine.set(machine)
        try:
            _require("states:StartExecution", machine, "States.Permissions")
            return run(state, given, effective, inner, of, ctx)
        finally:
            _machine.reset(before)

    return guarded_map


def _guarded_nested(start: Callable[..., Any]) -> Callable[..., Any]:
    def guarded_nested(resource: str, given: Any) -> Any:
        error = "StepFunctions.AccessDeniedException"
        _require("states:StartExecution", given["StateMachineArn"], error)
        return start(resource, given)

    return guarded_nested


def _guarded_target(invoke: Callable[..., Any]) -> Callable[..., Any]:
    def guarded_target(target: dict[str, Any], event: Any, rule: Any, view: Any = None) -> None:
        if ":states:" in target["Arn"]:
            session, action = uuid.uuid4().hex, "states:StartExecution"
            refused = denial(target["RoleArn"], session, action, target["Arn"])
            if refused is not None:
                _to_dead_letters(target, event, refused)
                return
        invoke(target, event, rule, view)

    return guarded_target


def _to_dead_letters(target: dict[str, Any], event: dict[str, Any], refused: str) -> None:
    """Keep an event that could not be delivered, as the rule asks.

    Source: docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html.
    """
    eventbridge.logger.warning("not delivered: %s", refused)
    arn = target.get("DeadLetterConfig", {}).get("Arn")
    if arn is not None:
        attributes = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": refused}
        sqs._act_send_message(
            {
                "MessageBody": json.dumps(event, default=str),
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            },
            sqs._queue_by_arn(arn)["url"],
        )


def _naming_tokens(extract: Callable[..., str]) -> Callable[..., str]:
    def naming_tokens(service: str, *request: Any) -> str:
        body = request[3]
        if service == "states" and b'"taskToken"' in body:
            return _machine_of_token.get(json.loads(body)["taskToken"], "*")
        return extract(service, *request)

    return naming_tokens


def _instance_tags() -> Iterator[tuple[str, list[dict[str, str]]]]:
    region, account = responses.get_region(), responses.get_account_id()
    for instance in ec2._instances:
        arn = f"arn:aws:ec2:{region}:{account}:instance/{instance}"
        yield arn, ec2._tags.get(instance, [])


def _missing_objects(checks: Callable[..., Any]) -> Callable[..., Any]:
    def missing_objects(
        method: str, path: str, headers: Any, body: bytes, params: Any
    ) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = checks(method, path, headers, body, params)
        bucket, _, key = path.lstrip("/").partition("/")
        if method in {"GET", "HEAD"} and key and not params:
            objects = (s3._buckets.get(bucket) or {}).get("objects", {})
            if key not in objects:
                found = [*found, ("s3:ListBucket", f"arn:aws:s3:::{bucket}")]
        return found

    return missing_objects


def _noting(enforce: Callable[..., Any]) -> Callable[..., Any]:
    def noting(
        key: str, action: str, service: str, region: str, resource_arn: str = "*", **context: Any
    ) -> Any:
        refused = enforce(key, action, service, region, resource_arn=resource_arn, **context)
        asked = iam_evaluator.resolve_caller_identity(key)
        if asked is not None and not isinstance(refused, iam_evaluator.AuthError):
            _note(asked["userArn"], action, resource_arn, refused is None)
        return refused

    return noting


def _note(principal: str, action: str, resource: str, allowed: bool) -> None:
    name = os.environ.get("TRIVIUM_ACCESS_LOG")
    if name is None or principal.endswith(":root"):
        return
    note = {"principal": principal, "action": action, "resource": resource, "allowed": allowed}
    with _log_lock, Path(name).open("a", encoding="utf-8") as log:
        log.write(json.dumps(note) + "\n")


def _encrypted(serve: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def encrypted(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = list(scope["headers"])
            if all(name.lower() != b"x-forwarded-proto" for name, _ in headers):
                scope = scope | {"headers": [*headers, (b"x-forwarded-proto", b"https")]}
        await serve(scope, receive, send)

    return encrypted


if __name__ == "__main__":
    main()
