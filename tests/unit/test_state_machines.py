"""The definitions hold together: with the language, with themselves, with the template."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.agent import MAX_RECEIPTS
from tests.definitions import (
    MACHINES,
    PLACEHOLDER,
    ROOT,
    definition,
    definition_text,
    scopes,
    states,
)

CONTROL = ("Admit", "Plan", "Await", "Place", "Settle", "Replace", "Report")
# What alarms call, and no state machine.
ALARMED = ("Power",)
RUN_TASKS = ("RunTask1024", "RunTask1769", "RunTask7076")
CALLBACK = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
INVOKE = "arn:aws:states:::lambda:invoke"
# statelint 0.9.2 knows the fields of ReaderConfig as of the first Distributed Maps; Step Functions
# documents InputType there (States Language, "ItemReader (Map)").
_READER = "State Machine.States.Parts.ItemProcessor.States.OnLambda.ItemReader.ReaderConfig"
KNOWN_COMPLAINTS: dict[str, list[str]] = {
    "step": [f'Field "InputType" not allowed in {_READER}'],
    "workflow": [],
}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as {"Fn": [tag, value]}."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {"Fn": [tag, loader.construct_scalar(node)]}
    assert isinstance(node, yaml.SequenceNode)
    return {"Fn": [tag, loader.construct_sequence(node, deep=True)]}


_Loader.add_multi_constructor("!", _short_form)


@cache
def template() -> dict[str, Any]:
    return dict(yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader=_Loader))  # noqa: S506 - a SafeLoader


def resources() -> dict[str, Any]:
    return dict(template()["Resources"])


def targets(state: dict[str, Any]) -> list[str]:
    """Return every state that another may go to."""
    found = [state[name] for name in ("Next", "Default") if name in state]
    found += [choice["Next"] for choice in state.get("Choices", [])]
    return found + [catch["Next"] for catch in state.get("Catch", [])]


@pytest.mark.parametrize("machine", MACHINES)
def test_statelint_finds_nothing_but_what_it_does_not_know(machine: str, tmp_path: Path) -> None:
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(definition(machine)))
    statelint = Path(sys.executable).with_name("statelint")
    done = subprocess.run([statelint, path], capture_output=True, text=True, check=False)
    complaints = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    found = [line for line in complaints if not re.fullmatch(r"(One error|\d+ errors?):?", line)]
    assert [line for line in found if line not in KNOWN_COMPLAINTS[machine]] == []
    assert len(found) == len(KNOWN_COMPLAINTS[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_the_template_fills_in_every_placeholder_and_no_other(machine: str) -> None:
    wanted = set(PLACEHOLDER.findall(definition_text(machine)))
    assert wanted == set(resources()[MACHINES[machine]]["Properties"]["DefinitionSubstitutions"])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_next_state_exists_where_it_is_looked_for(machine: str) -> None:
    for scope in scopes(definition(machine)):
        assert scope["StartAt"] in scope["States"]
        for name, state in scope["States"].items():
            assert set(targets(state)) <= set(scope["States"]), name
            ends = bool(state.get("End")) or state["Type"] in {"Succeed", "Fail", "Choice"}
            assert ends != ("Next" in state), f"{name} neither goes on nor ends"


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached(machine: str) -> None:
    for scope in scopes(definition(machine)):
        reached = {scope["StartAt"]}
        while True:
            more = {target for name in reached for target in targets(scope["States"][name])}
            if more <= reached:
                break
            reached |= more
        assert reached == set(scope["States"])


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_waits_for_ever(machine: str) -> None:
    assert definition(machine)["TimeoutSeconds"] > 0
    for name, state in states(machine).items():
        if state["Type"] == "Task":
            assert ("TimeoutSeconds" in state) != ("TimeoutSecondsPath" in state), name
        if state.get("Resource") == CALLBACK:
            assert 60 <= state["HeartbeatSeconds"] <= 900, name


def test_no_wait_inside_a_machine_is_longer_than_the_machine() -> None:
    whole = definition("step")["TimeoutSeconds"]
    waits = [state.get("TimeoutSeconds", 0) for state in states("step").values()]
    assert max(waits) < whole
    assert definition("workflow")["TimeoutSeconds"] >= whole


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_a_function_is_retried_with_backoff_jitter_and_a_limit(machine: str) -> None:
    for name, state in states(machine).items():
        if not state.get("Resource", "").startswith(INVOKE):
            continue
        transient = [r for r in state["Retry"] if r.get("JitterStrategy") == "FULL"]
        assert len(transient) == 1, name
        assert transient[0]["BackoffRate"] > 1
        assert 1 < transient[0]["MaxAttempts"] <= 10
        assert "MaxDelaySeconds" in transient[0]
        caught = set(transient[0]["ErrorEquals"])
        assert caught >= {"Lambda.TooManyRequestsException", "Lambda.ServiceException"} or (
            "States.TaskFailed" in caught
        ), name
        assert not caught & {"States.ALL", "UserError"}, name


def test_a_failed_part_is_replaced_and_a_failed_run_is_reported() -> None:
    step, workflow = definition("step")["States"], definition("workflow")["States"]
    for name in ("Place", "Parts", "Settle"):
        (catch,) = step[name]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Replace")
    for name in ("Plan", "Steps"):
        (catch,) = workflow[name]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Report")


def test_every_platform_has_a_state_of_its_own() -> None:
    choices = states("step")["Platform"]["Choices"]
    assert {choice["StringEquals"]: choice["Next"] for choice in choices} == {
        "lambda": "OnLambda",
        "ray": "OnRay",
        "hpc": "OnHpc",
    }
    assert states("step")["UnknownPlatform"]["Type"] == "Fail"


def test_no_payload_carries_the_results_of_a_map() -> None:
    for machine in MACHINES:
        for name, state in states(machine).items():
            if state["Type"] == "Map":
                assert state["ResultPath"] is None, name


def test_a_task_on_lambda_may_run_for_as_long_as_its_function() -> None:
    for name in RUN_TASKS:
        timeout_s = resources()[name]["Properties"]["Timeout"]
        assert states("step")["RunTask"]["TimeoutSeconds"] > timeout_s
    limits = {
        name: state["TimeoutSeconds"]
        for machine in MACHINES
        for name, state in states(machine).items()
        if name in CONTROL and state["Type"] == "Task"
    }
    for name, limit_s in limits.items():
        assert limit_s >= resources()[name]["Properties"].get("Timeout", 120), name


@pytest.mark.parametrize("name", [*CONTROL, *ALARMED])
def test_function_folder_and_handler_share_a_name(name: str) -> None:
    function = resources()[name]
    assert function["Type"] == "AWS::Serverless::Function"
    folder = Path(function["Properties"]["CodeUri"])
    assert folder == Path("functions") / re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    source = (ROOT / folder / "app.py").read_text(encoding="utf-8")
    assert f'@handler("{name}")' in source
    assert "def lambda_handler(" in source


@pytest.mark.parametrize("name", CONTROL)
def test_state_and_function_share_a_name(name: str) -> None:
    machine = "step" if name in states("step") else "workflow"
    parameters = states(machine)[name]["Parameters"]
    assert f'"FunctionName": "${{{name}Arn}}"' in definition_text(machine)
    assert set(parameters) <= {"FunctionName", "Payload", "Payload.$"}
    substitutions = resources()[MACHINES[machine]]["Properties"]["DefinitionSubstitutions"]
    assert substitutions[f"{name}Arn"] == {"Fn": ["GetAtt", f"{name}.Arn"]}


def test_the_sizes_of_run_task_share_one_folder() -> None:
    functions = {
        name: resource["Properties"]
        for name, resource in resources().items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert set(functions) == {*CONTROL, *ALARMED, *RUN_TASKS}
    everywhere = template()["Globals"]["Function"]
    for name in RUN_TASKS:
        assert functions[name]["CodeUri"] == "functions/run_task"
        memory_mb = functions[name].get("MemorySize", everywhere["MemorySize"])
        assert memory_mb == int(name.removeprefix("RunTask"))
    place = functions["Place"]["Environment"]["Variables"]["TRIVIUM_RUN_TASK_FUNCTIONS"]
    named = json.loads(place["Fn"][1])
    assert named == {name.removeprefix("RunTask"): f"${{{name}.Arn}}" for name in RUN_TASKS}


# Services that know no resources to narrow these rights to.
ON_ANYTHING = ("logs:", "xray:", "ec2:DescribeInstances", "cloudwatch:PutMetricData")


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy document of a role, and every managed policy's, with its owner."""
    for name, resource in resources().items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            yield name, resource["Properties"]["PolicyDocument"]
        for policy in resource["Properties"].get("Policies", []):
            assert resource["Type"] == "AWS::IAM::Role", f"{name}: SAM would add to its policies"
            yield name, policy["PolicyDocument"]


def statements(owner: str) -> list[dict[str, Any]]:
    return [one for name, document in documents() if name == owner for one in document["Statement"]]


def role_of(name: str) -> str:
    role = resources()[name]["Properties"]["Role"]["Fn"]
    assert role[0] == "GetAtt"
    return str(role[1].removesuffix(".Arn"))


def test_rights_name_the_resources_that_they_are_on() -> None:
    owners = {name for name, _ in documents()}
    assert {
        role_of(name) for name in (*CONTROL, *ALARMED, *RUN_TASKS, *MACHINES.values())
    } <= owners
    for name in owners:
        for statement in statements(name):
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            assert not any("*" in action for action in actions), name
            if statement["Resource"] == "*":
                assert all(action.startswith(ON_ANYTHING) for action in actions), name


def test_no_role_has_a_policy_that_the_template_does_not_write_out() -> None:
    for name, resource in resources().items():
        for arn in resource["Properties"].get("ManagedPolicyArns", []):
            assert resources()[arn["Fn"][1]]["Type"] == "AWS::IAM::ManagedPolicy", name


def test_every_function_and_machine_has_a_role_of_its_own() -> None:
    roles = {name: role_of(name) for name in (*CONTROL, *ALARMED, *MACHINES.values())}
    assert roles == {name: f"{name}Role" for name in roles}
    assert {role_of(name) for name in RUN_TASKS} == {"RunTaskRole"}


@pytest.mark.parametrize("name", CONTROL)
def test_every_function_may_write_its_record_of_the_call(name: str) -> None:
    # Nothing is charged that is not logged: the handler puts an item as its last act.
    assert any("dynamodb:PutItem" in one["Action"] for one in statements(role_of(name)))


def count_states(machine: str, path: list[str]) -> int:
    known = states(machine)
    assert set(path) <= set(known)
    for here, there in itertools.pairwise(path):
        inner = known[here].get("ItemProcessor", {}).get("StartAt")
        assert there in [*targets(known[here]), inner]
    return len(path)


def test_the_states_that_the_account_derives_lie_where_it_takes_them_to_lie() -> None:
    assert count_states("workflow", ["Admit", "Verdict", "Plan", "Steps", "Report"]) == 5
    assert count_states("workflow", ["Plan", "Report", "Outcome", "Done"]) == 4
    assert count_states("step", ["Await", "Place", "Parts", "Settle"]) == 4
    assert count_states("step", ["Parts", "Replace", "Replaced", "Place", "Parts"]) == 5
    assert count_states("step", ["Settle", "Replace", "Replaced", "StepFailed"]) == 4
    assert count_states("step", ["Place", "Replace"]) == 2


@pytest.mark.parametrize("queue", ["RayQueue", "HpcQueue"])
def test_a_queue_lets_a_message_come_as_often_as_the_agent_takes_it(queue: str) -> None:
    properties = template()["Resources"][queue]["Properties"]
    assert properties["RedrivePolicy"]["maxReceiveCount"] == MAX_RECEIPTS
