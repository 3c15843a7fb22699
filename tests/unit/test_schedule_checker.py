"""The schedule checker: schedules worked out by hand are right, and each broken rule is found."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checker import check_schedule
from tests.checker.check_schedule import check
from tests.unit.tiny_books import FIGURES, books

MIB = 1 << 20


@dataclass
class Case:
    """A trace (or None), a schedule and books, all free to be changed."""

    trace: dict[str, Any] | None
    schedule: dict[str, Any]
    platforms: dict[str, Any]
    prices: dict[str, Any]

    def task(self, name: str) -> dict[str, Any]:
        return next(task for task in self.schedule["tasks"] if task["id"] == name)

    def worker(self, name: str) -> dict[str, Any]:
        return next(worker for worker in self.schedule["workers"] if worker["id"] == name)

    def other(self, what: str) -> dict[str, Any]:
        return next(line for line in self.schedule["other"] if line["what"] == what)

    def ran(self, name: str) -> dict[str, Any]:
        assert self.trace
        tasks = self.trace["workflow"]["execution"]["tasks"]
        return next(task for task in tasks if task["id"] == name)

    def specified(self, name: str) -> dict[str, Any]:
        assert self.trace
        tasks = self.trace["workflow"]["specification"]["tasks"]
        return next(task for task in tasks if task["id"] == name)

    def settle(self) -> None:
        """Add up again, so that a change shows only where it was made."""
        lines = [line for part in ("tasks", "workers", "other") for line in self.schedule[part]]
        self.schedule["cost_usd"] = str(sum(Decimal(line["usd"]) for line in lines))
        last = max(task["end_s"] for task in self.schedule["tasks"])
        self.schedule["makespan_s"] = round(last + FIGURES["run_end_s"], 3)

    def found(self, folder: Path) -> list[str]:
        for name, book in (("platforms", self.platforms), ("prices", self.prices)):
            (folder / f"{name}-test.yaml").write_text(yaml.safe_dump(book))
        return check(self.trace, self.schedule, folder)


type Told = tuple[str, str, float, list[str], list[str], list[str], dict[str, Any]]


def trace_of(tasks: list[Told], megabytes: dict[str, int]) -> dict[str, Any]:
    """Make a trace of (id, program, seconds, inputs, outputs, parents, what else it ran with)."""
    return {
        "name": "tiny",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    {
                        "id": name,
                        "name": name,
                        "inputFiles": inputs,
                        "outputFiles": outputs,
                        "parents": parents,
                        "children": [task[0] for task in tasks if name in task[5]],
                    }
                    for name, _, _, inputs, outputs, parents, _ in tasks
                ],
                "files": [
                    {"id": name, "sizeInBytes": size * 10**6} for name, size in megabytes.items()
                ],
            },
            "execution": {
                "makespanInSeconds": 1,
                "tasks": [
                    {"id": name, "runtimeInSeconds": seconds, "command": {"program": program}}
                    | more
                    for name, program, seconds, _, _, _, more in tasks
                ],
            },
        },
    }


def row(
    where: tuple[str, str, str],
    times: tuple[float, float, float, float, float],
    usd: str,
    needs: tuple[int, int] = (1, 100 * MIB),
) -> dict[str, Any]:
    name, platform, worker = where
    start, end, startup, transfer, compute = times
    return {
        "id": name,
        "platform": platform,
        "worker": worker,
        "start_s": start,
        "end_s": end,
        "startup_s": startup,
        "transfer_s": transfer,
        "compute_s": compute,
        "cores": needs[0],
        "memory_bytes": needs[1],
        "usd": usd,
    }


def worker(
    where: tuple[str, str, str],
    has: tuple[float, int],
    times: tuple[float, float, float],
    usd: str,
) -> dict[str, Any]:
    return {
        "id": where[0],
        "platform": where[1],
        "type": where[2],
        "vcpus": has[0],
        "memory_bytes": has[1],
        "launch_s": times[0],
        "ready_s": times[1],
        "release_s": times[2],
        "usd": usd,
    }


def other(what: str, quantity: str, unit: str, unit_usd: str, usd: str) -> dict[str, str]:
    return {"what": what, "quantity": quantity, "unit": unit, "unit_usd": unit_usd, "usd": usd}


def mixed() -> Case:
    """Five tasks on all platforms; `a` and `c` are of one type, as are `b` and `d`.

    On Lambda with 512 MB, half a vCPU: `a` brings x (8 MB: 0.01 + 5/100 + 3/10 = 0.36 s), puts y
    (2 MB: 0.02 + 2/100) and computes 4 s / 0.5; `b` is warm. On n2 a task of one core moves 40/2
    MB/s: `c` brings x by 21 + 0.1 + 0.01 + 8/20 = 21.51, when `d` starts and finds it there. `e`
    has half of h4's 100 MB/s, and its three files take two rounds of requests.

    `a` is billed 8.9 s: 4.45 GB-s of memory and of /tmp, so 0.00445 + 0.000445 + 0.0002 for the
    call, 0.002 for two transitions, 2 x 0.0003 for x in two parts and 0.0005 for y.
    r1 pays for 60 s: 60 x 0.001 and 60 x 11 GB x 0.00001; h1 130.28 x (0.002 + 11 x 0.00001).
    """
    trace = trace_of(
        [
            ("a", "first", 4, ["x"], ["y"], [], {}),
            ("b", "second", 2, ["y"], ["z"], ["a"], {"memoryInBytes": 0}),
            ("c", "first", 6, ["x"], ["v"], [], {"coreCount": 1}),
            ("d", "second", 5, ["x", "y"], ["w"], ["a"], {"memoryInBytes": 900 * MIB}),
            ("e", "last", 200, ["z", "v", "w"], [], ["b", "c", "d"], {"coreCount": 2}),
        ],
        {"x": 8, "y": 2, "z": 1, "v": 1, "w": 1},
    )
    schedule = {
        "tasks": [
            row(("a", "lambda", "l1"), (1.1, 10.0, 0.5, 0.4, 8), "0.008195"),
            row(("b", "lambda", "l1"), (10.1, 14.16, 0, 0.06, 4), "0.005233"),
            row(("c", "ray", "r1"), (21, 24.58, 0.1, 0.48, 3), "0.0011"),
            row(("d", "ray", "r1"), (21.51, 24.29, 0.1, 0.18, 2.5), "0.0008", (1, 900 * MIB)),
            row(("e", "hpc", "h1"), (31, 131.28, 0.2, 0.08, 100), "0.0009", (2, 100 * MIB)),
        ],
        "workers": [
            worker(("l1", "lambda", "512 MB x86_64"), (0.5, 512 * MIB), (1.1, 1.6, 14.16), "0"),
            worker(("r1", "ray", "n2"), (2, 1024 * MIB), (1, 21, 24.58), "0.0666"),
            worker(("h1", "hpc", "h4"), (4, 8192 * MIB), (1, 31, 131.28), "0.2748908"),
        ],
        "other": [
            other("states of the run", "22", "transition", "0.001", "0.022"),
            other("control, compute", "2.4", "GB-s", "0.001", "0.0024"),
            other("control, requests", "12", "request", "0.0002", "0.0024"),
            other("writes", "30", "write unit", "0.0001", "0.003"),
            other("reads", "24", "read unit", "0.00005", "0.0012"),
            other("events", "1", "event", "0.0007", "0.0007"),
            other("states of parts", "10", "transition", "0.001", "0.01"),
            other("queues", "9", "request", "0.0004", "0.0036"),
            other("head node", "132.28", "node-s", "0.001", "0.13228"),
            other("FSx", "13228", "GB-s", "0.00002", "0.26456"),
        ],
        "makespan_s": 132.28,
        "cost_usd": "0.7998588",
    }
    return Case(trace, schedule, *books())


def wide() -> Case:
    """Four equal tasks without files on Lambda: two at once, new environments two in 10 s.

    A cold one of 6 s takes 12.5 s on half a vCPU and is billed 6.25 GB-s, a warm one 12 s.
    """
    trace = trace_of([(f"t{n}", "one", 6, [], [], [], {}) for n in range(4)], {})
    cold, warm = "0.009075", "0.0088"
    schedule = {
        "tasks": [
            row(("t0", "lambda", "l0"), (1.1, 13.6, 0.5, 0, 12), cold),
            row(("t1", "lambda", "l1"), (1.1, 13.6, 0.5, 0, 12), cold),
            row(("t2", "lambda", "l0"), (13.6, 25.6, 0, 0, 12), warm),
            row(("t3", "lambda", "l3"), (13.6, 26.1, 0.5, 0, 12), cold),
        ],
        "workers": [
            worker(("l0", "lambda", "512 MB x86_64"), (0.5, 512 * MIB), (1.1, 1.6, 25.6), "0"),
            worker(("l1", "lambda", "512 MB x86_64"), (0.5, 512 * MIB), (1.1, 1.6, 13.6), "0"),
            worker(("l3", "lambda", "512 MB x86_64"), (0.5, 512 * MIB), (13.6, 14.1, 26.1), "0"),
        ],
        "other": [
            other("Step Functions transitions", "14", "transition", "0.001", "0.014"),
            other("control, compute", "1.2", "GB-s", "0.001", "0.0012"),
            other("control, requests", "6", "request", "0.0002", "0.0012"),
            other("writes", "14", "write unit", "0.0001", "0.0014"),
            other("reads", "8", "read unit", "0.00005", "0.0004"),
            other("events", "1", "event", "0.0007", "0.0007"),
        ],
        "makespan_s": 27.1,
        "cost_usd": "0.054925",
    }
    return Case(trace, schedule, *books())


def steps() -> Case:
    """A workflow file's plan: a program of MPI on h4, and before it a step that keeps off ray."""
    case = wide()
    case.trace = None
    case.schedule = {
        "graph": {
            "tasks": [
                graph_task("s", "split", 6, 1, ["in"], ["mid"], []),
                graph_task("m", "solve", 200, 4, ["mid"], ["out"], ["s"]),
            ],
            "files": {"in": 0, "mid": 50_000_000, "out": 1},
            "groups": [
                {"name": "split", "kind": "map", "platforms": ["lambda", "hpc"]},
                {"name": "solve", "kind": "mpi", "platforms": ["lambda", "ray", "hpc"]},
            ],
        },
        "tasks": [
            # Out: 0.02 + 5/100 + 45/10; 4,096 MB are capped at 2 vCPUs, of which it uses one.
            # Billed 11.08 s: 44.32 GB-s at half price, 5.54 of /tmp, one GET, ten parts of mid.
            row(("s", "lambda", "l1"), (1.1, 12.18, 0.5, 4.58, 6), "0.030214"),
            row(("m", "hpc", "h1"), (31, 132.231, 0.2, 1.031, 100), "0.0035", (4, 100 * MIB)),
        ],
        "workers": [
            worker(("l1", "lambda", "4096 MB arm64"), (2, 4096 * MIB), (1.1, 1.6, 12.18), "0"),
            # 131.231 x (0.002 + 11 x 0.00001)
            worker(("h1", "hpc", "h4"), (4, 8168 * MIB), (1, 31, 132.231), "0.27689741"),
        ],
        "other": [
            other("states", "21", "transition", "0.001", "0.021"),
            other("control, compute", "1.8", "GB-s", "0.001", "0.0018"),
            other("control, requests", "9", "request", "0.0002", "0.0018"),
            other("writes", "22", "write unit", "0.0001", "0.0022"),
            other("reads", "16", "read unit", "0.00005", "0.0008"),
            other("events", "1", "event", "0.0007", "0.0007"),
            other("queues", "3", "request", "0.0004", "0.0012"),
            other("head node", "133.231", "node-s", "0.001", "0.133231"),
            other("FSx", "13323.1", "GB-s", "0.00002", "0.266462"),
        ],
    }
    case.platforms["lambda_sizes"]["arm64"] = [4096]
    case.settle()
    return case


def graph_task(
    name: str,
    group: str,
    runtime_s: float,
    cores: int,
    inputs: list[str],
    outputs: list[str],
    predecessors: list[str],
) -> dict[str, Any]:
    return {
        "id": name,
        "group": group,
        "runtime_s": runtime_s,
        "cores": cores,
        "memory_bytes": 100 * MIB,
        "inputs": inputs,
        "outputs": outputs,
        "predecessors": predecessors,
    }


def graph_of_mixed() -> dict[str, Any]:
    """The graph that a schedule of `mixed` carries itself."""
    tasks = [
        graph_task("a", "first", 4, 1, ["x"], ["y"], []),
        graph_task("b", "second", 2, 1, ["y"], ["z"], ["a"]),
        graph_task("c", "first", 6, 1, ["x"], ["v"], []),
        graph_task("d", "second", 5, 1, ["x", "y"], ["w"], ["a"]),
        graph_task("e", "last", 200, 2, ["z", "v", "w"], [], ["b", "c", "d"]),
    ]
    tasks[3]["memory_bytes"] = 900 * MIB
    sizes = {"x": 8, "y": 2, "z": 1, "v": 1, "w": 1}
    return {"tasks": tasks, "files": {name: size * 10**6 for name, size in sizes.items()}}


@pytest.mark.parametrize("make", [mixed, wide, steps])
def test_a_schedule_worked_out_by_hand_is_right(make: Callable[[], Case], tmp_path: Path) -> None:
    assert make().found(tmp_path) == []


def test_sums_worked_out_by_hand_are_those_of_the_lines(tmp_path: Path) -> None:
    case, again = mixed(), mixed()
    again.settle()
    assert case.schedule == again.schedule
    assert case.found(tmp_path) == []


def test_times_may_differ_by_two_milliseconds(tmp_path: Path) -> None:
    case = mixed()
    for name in ("c", "d"):
        add(case.task(name), "compute_s", 0.002)
    add(case.worker("r1"), "release_s", 0.002)
    assert case.found(tmp_path) == []


def test_a_schedule_may_carry_its_own_graph_and_be_checked_with_or_without_the_trace(
    tmp_path: Path,
) -> None:
    case = mixed()
    case.schedule["graph"] = graph_of_mixed()
    assert case.found(tmp_path) == []
    case.trace = None
    assert case.found(tmp_path) == []


def test_a_node_without_tasks_is_paid_for_and_allowed(tmp_path: Path) -> None:
    case = mixed()
    case.schedule["workers"].append(idle_node(21))
    case.settle()
    assert case.found(tmp_path) == []


def test_a_file_made_on_a_node_is_there_when_its_maker_has_ended(tmp_path: Path) -> None:
    case = mixed()
    # d reads what c makes: it finds x and v there, and fetches y alone as before.
    case.specified("d")["inputFiles"].append("v")
    case.specified("d")["parents"].append("c")
    move(case.task("d"), 3.07)
    case.worker("r1")["release_s"] = 27.36
    assert case.found(tmp_path) == []


def test_what_starts_where_another_task_ends_finds_its_cores_free(tmp_path: Path) -> None:
    case = mixed()
    case.ran("d")["coreCount"] = 2
    case.task("d").update(cores=2, transfer_s=0.105, start_s=24.58, end_s=27.285)
    case.worker("r1")["release_s"] = 27.285
    assert case.found(tmp_path) == []


def idle_node(release_s: float) -> dict[str, Any]:
    return worker(("r2", "ray", "n2"), (2, 1024 * MIB), (1, 21, release_s), "0.066")


def add(line: dict[str, Any], field: str, seconds: float) -> None:
    """Make a part of a task, or a lease, longer."""
    line[field] = round(line[field] + seconds, 3)
    if "end_s" in line:
        line["end_s"] = round(line["end_s"] + seconds, 3)


def move(line: dict[str, Any], seconds: float) -> None:
    for field in ("start_s", "end_s", "launch_s", "ready_s", "release_s"):
        if field in line:
            line[field] = round(line[field] + seconds, 3)


def charge(line: dict[str, Any], usd: str) -> None:
    line["usd"] = str(Decimal(line["usd"]) + Decimal(usd))


# Every mutation: where it begins, what it changes, and patterns that all that is found must match.
MUTATIONS: dict[str, tuple[Callable[[], Case], Callable[[Case], None], tuple[str, ...]]] = {}


def breaks(
    make: Callable[[], Case], *patterns: str
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    def keep(change: Callable[[Case], None]) -> Callable[[Case], None]:
        MUTATIONS[change.__name__] = (make, change, patterns)
        return change

    return keep


# Who is there


@breaks(wide, 'task "t3" is not in the schedule')
def a_task_is_missing(case: Case) -> None:
    case.schedule["tasks"].pop()
    case.schedule["workers"].pop()


@breaks(wide, 'task "t3" is in the schedule 2 times')
def a_task_is_there_twice(case: Case) -> None:
    case.schedule["tasks"].append(copy.deepcopy(case.task("t3")))


@breaks(wide, 'task "ghost" is in the schedule and not in the workflow')
def a_task_is_made_up(case: Case) -> None:
    case.schedule["tasks"].append(case.task("t3") | {"id": "ghost"})


@breaks(wide, 'worker "l3" is in the schedule 2 times')
def a_worker_is_there_twice(case: Case) -> None:
    case.schedule["workers"].append(copy.deepcopy(case.worker("l3")))


@breaks(mixed, 'task "d" is on the worker "r9", which is not there')
def a_worker_is_unknown(case: Case) -> None:
    case.task("d")["worker"] = "r9"


@breaks(mixed, 'task "d" is on hpc, its worker "r1" on ray')
def a_task_and_its_worker_are_on_different_platforms(case: Case) -> None:
    case.task("d")["platform"] = "hpc"


@breaks(mixed, 'task "d" is on an unknown platform "fog"', 'task "d" is on fog, its worker')
def a_platform_is_unknown(case: Case) -> None:
    case.task("d")["platform"] = "fog"


@breaks(mixed, 'worker "r2" is on an unknown platform "fog"')
def a_worker_is_on_an_unknown_platform(case: Case) -> None:
    case.schedule["workers"].append(idle_node(21) | {"platform": "fog"})


@breaks(steps, 'task "s" is on lambda; its group may run on ray, hpc')
def a_platform_is_not_allowed_to_a_group(case: Case) -> None:
    case.schedule["graph"]["groups"][0]["platforms"] = ["ray", "hpc"]


@breaks(steps, 'task "s" is an MPI program and is on lambda, not on hpc')
def an_mpi_program_is_on_lambda(case: Case) -> None:
    case.schedule["graph"]["groups"][0]["kind"] = "mpi"


@breaks(mixed, 'task "c" has 2 cores and 104857600 bytes of memory; it needs 1 and 104857600')
def a_task_holds_other_cores_than_it_needs(case: Case) -> None:
    case.task("c")["cores"] = 2


@breaks(mixed, 'task "d" has 1 cores and 1 bytes of memory; it needs 1 and 943718400')
def a_task_holds_other_memory_than_it_needs(case: Case) -> None:
    case.task("d")["memory_bytes"] = 1


# When


@breaks(mixed, r'task "a" starts at 1.050 s; none may before 1.100 s')
def a_task_starts_on_lambda_before_the_run_has_started_and_a_gap_has_passed(case: Case) -> None:
    move(case.task("a"), -0.05)
    case.worker("l1").update(launch_s=1.05, ready_s=1.55)


@breaks(mixed, r'task "d" starts at 21.510 s; "c" ends at 24.580 s')
def a_task_starts_before_its_parent_has_ended(case: Case) -> None:
    case.specified("d")["parents"].append("c")


@breaks(mixed, r'task "d" starts at 21.510 s; "c" ends at 24.580 s')
def a_child_starts_before_a_task_that_names_it(case: Case) -> None:
    case.specified("c")["children"].append("d")


@breaks(mixed, r'task "e" starts at 31.000 s; "d" ends at 31.100 s')
def a_task_starts_before_the_maker_of_its_input_has_ended(case: Case) -> None:
    case.specified("e")["parents"].remove("d")
    case.specified("d")["children"].clear()
    case.task("d").update(start_s=28.32, end_s=31.1)
    case.worker("r1")["release_s"] = 31.1


@breaks(mixed, r'task "b" starts at 10.050 s; "a" ends at 10.000 s, and 0.100 s pass')
def a_gap_before_lambda_is_left_out(case: Case) -> None:
    move(case.task("b"), -0.05)
    case.worker("l1")["release_s"] = 14.11


@breaks(mixed, r'task "d" takes 2.781 s; its parts sum up to 2.780 s')
def parts_do_not_add_up(case: Case) -> None:
    case.task("d")["end_s"] = 24.291


@breaks(mixed, 'task "d" has a part of negative length', "has startup -0.400", "has compute 3.000")
def a_part_is_negative(case: Case) -> None:
    case.task("d").update(startup_s=-0.4, compute_s=3)


# How long


@breaks(mixed, r'task "a" has startup 0.400 s; it should be 0.500 s')
def a_cold_start_is_too_short(case: Case) -> None:
    case.task("a").update(start_s=1.2, startup_s=0.4)
    charge(case.task("a"), "-0.000055")
    case.worker("l1").update(launch_s=1.2, ready_s=1.7)


@breaks(mixed, r'task "b" has startup 0.500 s; it should be 0.000 s')
def a_warm_start_takes_time(case: Case) -> None:
    add(case.task("b"), "startup_s", 0.5)
    charge(case.task("b"), "0.000275")
    case.worker("l1")["release_s"] = 14.66


@breaks(mixed, r'task "d" has startup 0.200 s; it should be 0.100 s')
def a_start_on_a_node_is_wrong(case: Case) -> None:
    add(case.task("d"), "startup_s", 0.1)


@breaks(mixed, r'task "b" has transfer 0.063 s; it should be 0.060 s')
def a_transfer_on_lambda_is_wrong(case: Case) -> None:
    add(case.task("b"), "transfer_s", 0.003)
    charge(case.task("b"), "0.00000165")
    case.worker("l1")["release_s"] = 14.163


@breaks(mixed, r'task "a" has transfer 0.130 s; it should be 0.400 s')
def a_transfer_on_lambda_is_at_the_burst_rate_throughout(case: Case) -> None:
    add(case.task("a"), "transfer_s", -0.27)
    charge(case.task("a"), "-0.0001485")


@breaks(mixed, r'task "c" has transfer 0.255 s; it should be 0.480 s')
def a_task_on_a_node_gets_more_than_its_share_of_the_network(case: Case) -> None:
    # 40 MB/s instead of the 20 of one of two vCPUs: 0.01 + 8/40 and 0.02 + 1/40.
    add(case.task("c"), "transfer_s", -0.225)


@breaks(mixed, r'task "e" has transfer 0.070 s; it should be 0.080 s')
def three_files_are_asked_for_at_once_where_two_may_be(case: Case) -> None:
    case.task("e").update(start_s=31.01, transfer_s=0.07)


@breaks(mixed, r'task "d" has transfer 0.180 s; it should be 0.580 s', 'task "d" has usd 0.0008;')
def a_file_is_taken_to_be_there_before_it_is(case: Case) -> None:
    move(case.task("d"), -0.001)


@breaks(mixed, r'task "d" has transfer 0.580 s; it should be 0.180 s', 'task "d" has usd 0.0014;')
def a_file_that_is_there_is_fetched_again(case: Case) -> None:
    add(case.task("d"), "transfer_s", 0.4)
    charge(case.task("d"), "0.0006")
    case.worker("r1")["release_s"] = 24.69


@breaks(mixed, r'task "d" has compute 2.503 s; it should be 2.500 s')
def a_computation_on_a_node_is_wrong(case: Case) -> None:
    add(case.task("d"), "compute_s", 0.003)


@breaks(mixed, r'task "b" has compute 2.000 s; it should be 4.000 s')
def a_task_on_half_a_vcpu_is_as_fast_as_on_one(case: Case) -> None:
    add(case.task("b"), "compute_s", -2)
    charge(case.task("b"), "-0.0011")
    case.worker("l1")["release_s"] = 12.16


# Lambda


@breaks(mixed, 'task "b" needs 629145600 bytes; its function has 536870912')
def a_task_needs_more_memory_than_its_function_has(case: Case) -> None:
    case.ran("b")["memoryInBytes"] = 600 * MIB
    case.task("b")["memory_bytes"] = 600 * MIB


@breaks(mixed, 'task "a" moves 10000000 bytes; /tmp holds 9437184')
def files_do_not_fit_in_tmp(case: Case) -> None:
    case.platforms["figures"]["lambda_tmp_mb"]["value"] = 9
    charge(case.task("a"), "-0.000445")
    charge(case.task("b"), "-0.000203")


@breaks(mixed, r'task "a" takes 8.900 s; a call ends at 8.899 s')
def a_call_is_too_long(case: Case) -> None:
    case.platforms["figures"]["lambda_timeout_s"]["value"] = 8.899


@breaks(wide, r'3 tasks are on Lambda at 11.100 s when "t3" starts; the account allows 2')
def more_tasks_are_on_lambda_than_the_account_allows(case: Case) -> None:
    move(case.task("t3"), -2.5)
    move(case.worker("l3"), -2.5)


@breaks(wide, r"3 new environments of 512 MB x86_64 start from 1.100 s to 11.099 s; 2 may in 10 s")
def environments_come_up_too_fast(case: Case) -> None:
    case.platforms["figures"]["lambda_concurrency"]["value"] = 3
    move(case.task("t3"), -2.501)
    move(case.worker("l3"), -2.501)


@breaks(wide, r'worker "l0" runs "t2" from 13.500 s, while "t0" ends at 13.600 s')
def an_environment_runs_two_tasks_at_a_time(case: Case) -> None:
    case.platforms["figures"]["lambda_concurrency"]["value"] = 3
    move(case.task("t2"), -0.1)
    case.worker("l0")["release_s"] = 25.5


@breaks(wide, 'worker "l3" is "768 MB x86_64", which is not offered')
def a_function_has_a_memory_that_is_not_offered(case: Case) -> None:
    case.worker("l3")["type"] = "768 MB x86_64"


@breaks(wide, 'worker "l9" is an environment without a task')
def an_environment_has_no_task(case: Case) -> None:
    case.schedule["workers"].append(case.worker("l3") | {"id": "l9"})


@breaks(wide, 'worker "l3" has vcpus 1; it should be 0.5')
def an_environment_has_other_vcpus(case: Case) -> None:
    case.worker("l3")["vcpus"] = 1


@breaks(wide, r'worker "l3" has launch 13.500 s; it should be 13.600 s')
def an_environment_is_there_before_its_first_task(case: Case) -> None:
    case.worker("l3")["launch_s"] = 13.5


@breaks(wide, r'worker "l3" has ready 14.000 s; it should be 14.100 s')
def an_environment_is_ready_too_early(case: Case) -> None:
    case.worker("l3")["ready_s"] = 14


@breaks(wide, r'worker "l3" has release 26.000 s; it should be 26.100 s')
def an_environment_is_gone_before_its_last_task(case: Case) -> None:
    case.worker("l3")["release_s"] = 26


@breaks(wide, 'worker "l3" has usd 0.1; it should be 0')
def an_environment_costs_something(case: Case) -> None:
    case.worker("l3")["usd"] = "0.1"


# Nodes


@breaks(mixed, r'worker "r1" at 21.510 s, when "d" starts: 3 cores are used; it has 2')
def a_node_has_too_few_cores(case: Case) -> None:
    case.ran("d")["coreCount"] = 2
    case.task("d").update(cores=2, transfer_s=0.105, end_s=24.215)


@breaks(mixed, r'worker "r1" at 21.510 s, when "d" starts: 1048576001 bytes.*it has 1048576000')
def a_node_has_too_little_memory(case: Case) -> None:
    case.ran("d")["memoryInBytes"] = case.task("d")["memory_bytes"] = 900 * MIB + 1


@breaks(mixed, r'worker "r1" is launched at 0.900 s; the run starts at 1.000 s')
def a_node_is_launched_before_the_run_has_started(case: Case) -> None:
    case.worker("r1").update(launch_s=0.9, ready_s=20.9)


@breaks(mixed, r'worker "r1" has ready 20.500 s; it should be 21.000 s')
def a_node_boots_too_fast(case: Case) -> None:
    case.worker("r1")["ready_s"] = 20.5


@breaks(mixed, r'task "[cd]" starts at .*; its worker "r1" is ready at 22.000 s')
def a_task_starts_before_its_node_is_ready(case: Case) -> None:
    case.worker("r1").update(launch_s=2, ready_s=22)


@breaks(mixed, r'task "c" ends at 24.580 s; its worker "r1" is released at 24.500 s')
def a_node_is_released_while_it_works(case: Case) -> None:
    case.worker("r1")["release_s"] = 24.5


@breaks(mixed, r'worker "r2" is released at 20.000 s, ready at 21.000 s')
def a_node_is_released_before_it_is_ready(case: Case) -> None:
    case.schedule["workers"].append(idle_node(20))


@breaks(mixed, 'worker "r1" is "h4", which is not offered for ray')
def a_type_is_not_offered_for_a_platform(case: Case) -> None:
    case.worker("r1")["type"] = "h4"


@breaks(mixed, 'worker "r1" has vcpus 3; it should be 2')
def a_node_has_other_vcpus(case: Case) -> None:
    case.worker("r1")["vcpus"] = 3


@breaks(mixed, 'worker "r1" has memory_bytes 5; it should be 1073741824, or 1048576000')
def a_node_has_other_memory(case: Case) -> None:
    case.worker("r1")["memory_bytes"] = 5


# Money


@breaks(mixed, 'task "a" has usd 0.008195002; it should be 0.008195')
def a_task_on_lambda_costs_something_else(case: Case) -> None:
    charge(case.task("a"), "0.000000002")


@breaks(mixed, 'task "c" has usd 0.0008; it should be 0.0011')
def a_file_of_two_parts_is_one_request(case: Case) -> None:
    charge(case.task("c"), "-0.0003")


@breaks(mixed, 'task "[ab]" has usd .*; it should be')
def arm_is_charged_as_x86(case: Case) -> None:
    case.worker("l1")["type"] = "512 MB arm64"


@breaks(mixed, 'worker "r1" has usd 0.0261738; it should be 0.0666')
def the_minimum_of_a_lease_is_left_out(case: Case) -> None:
    case.worker("r1")["usd"] = "0.0261738"


@breaks(mixed, 'worker "h1" has usd 0.273588; it should be 0.2748908')
def a_disk_is_too_small(case: Case) -> None:
    case.worker("h1")["usd"] = "0.273588"


@breaks(mixed, 'other "head node" has usd 0.1; it should be 0.13228')
def an_other_line_is_not_quantity_times_price(case: Case) -> None:
    case.other("head node")["usd"] = "0.1"


@breaks(mixed, 'other "n2 head node": 0 node-s at 0.001 USD; it should be 132.28')
def the_head_node_is_left_out(case: Case) -> None:
    case.schedule["other"].remove(case.other("head node"))


@breaks(mixed, 'other "FSx for Lustre": 13100 GB-s at .* USD; it should be 13228')
def fsx_ends_with_the_last_node(case: Case) -> None:
    case.other("FSx").update(quantity="13100", usd="0.262")


@breaks(mixed, 'other "SQS requests": 6 request at .* USD; it should be 9')
def a_part_off_lambda_sends_nothing(case: Case) -> None:
    case.other("queues").update(quantity="6", usd="0.0024")


@breaks(mixed, 'other "Step Functions transitions.*": 30 transition at .* USD; it should be 32')
def a_part_is_not_counted(case: Case) -> None:
    case.other("states of parts").update(quantity="8", usd="0.008")


@breaks(wide, 'other "SQS requests|other "cake": 1 piece at 2.* USD; it should be 0')
def something_else_is_charged(case: Case) -> None:
    case.schedule["other"].append(other("cake", "1", "piece", "2", "2"))


@breaks(mixed, "write unit at 0.0001 USD; it should be 30", "write unit at 0.0002.*should be 0")
def a_unit_price_is_wrong(case: Case) -> None:
    case.other("writes").update(unit_usd="0.0002", usd="0.006")


# The shape of the file


@breaks(mixed, 'tasks: "d" has no compute_s')
def a_field_is_missing(case: Case) -> None:
    del case.task("d")["compute_s"]


@breaks(mixed, 'tasks: "d": startup_s 0.1001 is not in whole milliseconds')
def a_time_is_finer_than_milliseconds(case: Case) -> None:
    case.task("d")["startup_s"] = 0.1001


@breaks(mixed, 'workers: "r1": ready_s nan is not a number')
def a_time_is_no_number(case: Case) -> None:
    case.worker("r1")["ready_s"] = float("nan")


@breaks(mixed, 'graph: task "a" has runtime_s 5.0; the trace says 4.0')
def the_graph_has_another_runtime_than_the_trace(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["tasks"][0]["runtime_s"] = 5


@breaks(mixed, 'graph: file "x" has 1 bytes; the trace says 8000000')
def the_graph_has_another_file_than_the_trace(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["files"]["x"] = 1


@breaks(
    mixed,
    'graph: group "second" has tasks of several: "first 0", "second 1"',
    'graph: type and level "first 0" has tasks of several: "first", "second"',
)
def a_group_of_the_graph_mixes_levels(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["tasks"][2]["group"] = "second"


@breaks(mixed, 'graph: type and level "first 0" has tasks of several: "first", "more"')
def a_type_is_cut_into_two_groups(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["tasks"][2]["group"] = "more"


@breaks(mixed, 'graph: task "e" is in the trace only')
def the_graph_lacks_a_task(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["tasks"].pop()


@breaks(mixed, "the schedule's graph cannot be read")
def the_graph_has_a_cycle(case: Case) -> None:
    case.schedule["graph"] = graph_of_mixed()
    case.schedule["graph"]["tasks"][0]["predecessors"] = ["e"]


@breaks(mixed, "there is neither a trace nor a graph")
def there_is_no_graph_at_all(case: Case) -> None:
    case.trace = None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_schedule_that_breaks_one_rule_is_found(name: str, tmp_path: Path) -> None:
    make, change, patterns = MUTATIONS[name]
    case = make()
    change(case)
    case.settle()
    found = case.found(tmp_path)
    unexpected = [text for text in found if not any(re.search(p, text) for p in patterns)]
    missed = [p for p in patterns if not any(re.search(p, text) for text in found)]
    assert (found, unexpected, missed) == (found, [], [])
    assert found


def test_a_total_that_is_not_the_sum_of_its_lines_is_found(tmp_path: Path) -> None:
    case = mixed()
    case.schedule["cost_usd"] = "0.799858800001"
    assert case.found(tmp_path) == [
        "the schedule has cost_usd 0.799858800001; its lines sum up to 0.7998588"
    ]


def test_a_makespan_that_is_not_that_of_the_last_task_is_found(tmp_path: Path) -> None:
    case = wide()
    case.schedule["makespan_s"] = 27.101
    assert case.found(tmp_path) == ["the schedule has makespan 27.101 s; it should be 27.100 s"]


def test_money_must_be_text(tmp_path: Path) -> None:
    case = mixed()
    case.schedule["cost_usd"] = 0.7998588
    assert case.found(tmp_path) == ["the schedule: cost_usd 0.7998588 is not text"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda case: case.specified("a")["parents"].append("e"), "waits for itself"),
        (lambda case: case.specified("a")["parents"].append("q"), '"q", which is not there'),
        (lambda case: case.specified("a")["children"].append("q"), '"q", which is not there'),
        (lambda case: case.specified("a")["inputFiles"].append("q"), '"q", which has no size'),
        (lambda case: case.platforms["figures"].pop("fsx_gb"), 'no figure "fsx_gb"'),
        (lambda case: case.prices["figures"].pop("s3_get"), 'no figure "s3_get"'),
    ],
)
def test_what_cannot_be_checked_is_said(
    change: Callable[[Case], None], message: str, tmp_path: Path
) -> None:
    case = mixed()
    change(case)
    with pytest.raises(ValueError, match=re.escape(message)):
        case.found(tmp_path)


def test_the_script_runs_by_itself_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    case = mixed()
    assert case.found(tmp_path) == []
    trace, schedule = tmp_path / "trace.json", tmp_path / "schedule.json"
    trace.write_text(json.dumps(case.trace))
    schedule.write_text(json.dumps(case.schedule))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, check_schedule.__file__, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    right = run(str(trace), str(schedule), "--books", str(tmp_path))
    assert (right.returncode, right.stdout, right.stderr) == (
        0,
        "right: 5 tasks on 3 workers, 132.28 s, 0.7998588 USD\n",
        "",
    )
    case.schedule["makespan_s"] = 1
    schedule.write_text(json.dumps(case.schedule))
    wrong = run(str(trace), str(schedule), "--books", str(tmp_path))
    assert wrong.returncode == 1
    assert "the schedule has makespan 1.000 s; it should be 132.280 s" in wrong.stdout
    assert run(str(trace), "nowhere.json").returncode == 2


def test_no_module_of_the_checker_uses_the_planner() -> None:
    for path in sorted(Path(check_schedule.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) placement", text, re.MULTILINE), path


def test_twenty_thousand_tasks_are_checked(tmp_path: Path) -> None:
    case = chains(200, 100)
    assert case.found(tmp_path) == []


def chains(breadth: int, length: int) -> Case:
    """Chains of equal tasks on Lambda, each in an environment of its own.

    Empty files: 0.01 s in, 0.02 s out. Cold and warm tasks are billed 12.53 and 12.03 s.
    """
    case = wide()
    case.platforms["figures"]["lambda_concurrency"]["value"] = breadth
    case.platforms["figures"]["lambda_scale_per_10_s"]["value"] = breadth
    told: list[Told] = []
    rows = []
    for level in range(length):
        start = round(1.1 + level * 12.13 + (0.5 if level else 0), 3)
        startup, usd = (0, "0.0096165") if level else (0.5, "0.0098915")
        times = (start, round(start + startup + 12.03, 3), startup, 0.03, 12)
        for lane in range(breadth):
            before = [f"t{level - 1}.{lane}"] if level else []
            made = [f"f{level}.{lane}"]
            read = [f"f{level - 1}.{lane}"] if level else ["x"]
            told.append((f"t{level}.{lane}", "one", 6, read, made, before, {}))
            rows.append(row((f"t{level}.{lane}", "lambda", f"l{lane}"), times, usd))
    has, kind = (0.5, 512 * MIB), "512 MB x86_64"
    lease = (1.1, 1.6, rows[-1]["end_s"])
    lanes = [worker((f"l{n}", "lambda", kind), has, lease, "0") for n in range(breadth)]
    case.trace = trace_of([], {"x": 0} | {file: 0 for task in told for file in task[4]})
    for part, field in (("specification", "tasks"), ("execution", "tasks")):
        # Children are left out: looking for them among so many tasks takes long.
        case.trace["workflow"][part][field] = [
            trace_of([task], {})["workflow"][part][field][0] for task in told
        ]
    states, calls, writes = 7 + 7 * length, 3 + 3 * length, 6 + 8 * length
    case.schedule |= {
        "tasks": rows,
        "workers": lanes,
        "other": [
            counted("states", states, "transition", "0.001"),
            counted("control, compute", Decimal("0.2") * calls, "GB-s", "0.001"),
            counted("control, requests", calls, "request", "0.0002"),
            counted("writes", writes, "write unit", "0.0001"),
            counted("reads", 8 * length, "read unit", "0.00005"),
            counted("events", 1, "event", "0.0007"),
        ],
    }
    case.settle()
    return case


def counted(what: str, quantity: Decimal | int, unit: str, usd: str) -> dict[str, str]:
    return other(what, str(quantity), unit, usd, str(quantity * Decimal(usd)))
