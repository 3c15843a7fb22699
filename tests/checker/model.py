"""Times and money of tasks, nodes and runs, worked out anew from the books."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property, lru_cache

from tests.checker.books import Books, Node
from tests.checker.tasks import Graph, Need

_MIB = 1 << 20
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_STEPS = {decimals: Decimal(1).scaleb(-decimals) for decimals in (9, 12, 15)}


def ms(seconds: float) -> int:
    """Return seconds as whole milliseconds, rounded up once noise below a nanosecond is gone."""
    return math.ceil(round(seconds * 1000, 6))


@dataclass(frozen=True)
class Line:
    """One line of an account: quantity to 9 decimals, unit price to 15, their product to 12."""

    what: str
    quantity: Decimal
    unit: str
    unit_usd: Decimal
    usd: Decimal


def line(what: str, quantity: Decimal | int, unit: str, unit_usd: Decimal) -> Line:
    """Round as an account does: half to even, the price to 15 decimals, the product to 12."""
    amount, price = rounded(Decimal(quantity), 9), rounded(unit_usd, 15)
    return Line(what, amount, unit, price, product(quantity, unit_usd))


@lru_cache(maxsize=100_000)
def product(quantity: Decimal | int, unit_usd: Decimal) -> Decimal:
    """Return the USD of a line, without the line: the same ones come again and again."""
    amount, price = rounded(Decimal(quantity), 9), rounded(unit_usd, 15)
    return rounded(_EXACT.multiply(amount, price), 12)


def rounded(value: Decimal, decimals: int) -> Decimal:
    """Round half to even, however many digits there are."""
    return value.quantize(_STEPS[decimals], context=_EXACT)


@dataclass(frozen=True)
class Model:
    """Times in milliseconds and money in USD of tasks, environments, nodes, and the run."""

    books: Books
    graph: Graph

    @cached_property
    def run_start_ms(self) -> int:
        """Nothing starts or is launched before."""
        return ms(self.books.value("run_start_s"))

    @cached_property
    def run_end_ms(self) -> int:
        """What follows the last task."""
        return ms(self.books.value("run_end_s"))

    @cached_property
    def gap_ms(self) -> int:
        """What a task on Lambda waits after its predecessors."""
        return ms(self.books.value("state_gap_s"))

    @cached_property
    def init_ms(self) -> int:
        """Start of a fresh Lambda environment."""
        return ms(self.books.value("lambda_init_s"))

    @cached_property
    def timeout_ms(self) -> int:
        """Limit of one call on Lambda."""
        return ms(self.books.value("lambda_timeout_s"))

    @cached_property
    def boot_ms(self) -> Mapping[str, int]:
        """From the launch of a node to its first task, by platform."""
        book = self.books
        return {
            "ray": ms(book.value("ec2_boot_s") + book.value("ray_setup_s")),
            "hpc": ms(book.value("hpc_launch_s")),
        }

    @cached_property
    def task_start_ms(self) -> Mapping[str, int]:
        """What a node takes to start a task, by platform."""
        return {name: ms(self.books.value(f"{name}_task_start_s")) for name in ("ray", "hpc")}

    def lambda_vcpus(self, memory_mb: int) -> float:
        """Lambda gives vCPUs by memory, up to the most that there are."""
        book = self.books
        share = memory_mb / book.value("lambda_mb_per_vcpu")
        return min(share, book.value("lambda_max_vcpus"))

    def lambda_compute_ms(self, need: Need, memory_mb: int) -> int:
        """A task that uses more cores than there are takes as many times longer."""
        book = self.books
        factor = need.cores / min(need.cores, self.lambda_vcpus(memory_mb))
        work_s = need.runtime_s * book.value("trace_core_speed") * factor
        return ms(work_s / book.value("lambda_core_speed"))

    def node_compute_ms(self, need: Need) -> int:
        """A node gives a task its cores."""
        book = self.books
        work_s = need.runtime_s * book.value("trace_core_speed")
        return ms(work_s / book.value("instance_core_speed"))

    def lambda_moves_ms(self, need: Need) -> tuple[int, int]:
        """Return transfer in and out: all files, and every environment is empty."""
        return (
            self._moves_ms(need.inputs, "s3_get_s", self._lambda_moving_s),
            self._moves_ms(need.outputs, "s3_put_s", self._lambda_moving_s),
        )

    def node_moves_ms(self, need: Need, fetched: Sequence[str], node: Node) -> tuple[int, int]:
        """Return transfer in, of the files that are not there yet, and out."""
        share = min(1, need.cores / node.vcpus)
        mb_per_s = min(self.books.value("s3_thread_mb_per_s"), node.network_mb_per_s * share)

        def moving_s(moved: int) -> float:
            return moved / 1e6 / mb_per_s

        return (
            self._moves_ms(fetched, "s3_get_s", moving_s),
            self._moves_ms(need.outputs, "s3_put_s", moving_s),
        )

    def _moves_ms(
        self, files: Sequence[str], request: str, moving_s: Callable[[int], float]
    ) -> int:
        if not files:
            return 0
        waits = math.ceil(len(files) / self.books.value("s3_requests_at_once"))
        moved = sum(self.graph.file_bytes[file] for file in files)
        return ms(waits * self.books.value(request) + moving_s(moved))

    def _lambda_moving_s(self, moved: int) -> float:
        book = self.books
        burst = book.value("lambda_burst_mb") * 1e6
        return float(
            min(moved, burst) / 1e6 / book.value("lambda_burst_mb_per_s")
            + max(0, moved - burst) / 1e6 / book.value("lambda_transfer_mb_per_s")
        )

    def node_room_bytes(self, node: Node) -> int:
        """Memory of a node that its tasks may hold."""
        return node.memory_bytes - int(self.books.exact("node_reserved_mb") * _MIB)

    def s3_usd(self, fetched: Sequence[str], put: Sequence[str]) -> Decimal:
        """Return a task's requests: one for each part of a file, and one for an empty file."""
        return product(self._parts(put), self.books.usd("s3_put")) + product(
            self._parts(fetched), self.books.usd("s3_get")
        )

    def _parts(self, files: Sequence[str]) -> int:
        part = int(self.books.exact("s3_part_mb") * 10**6)
        return sum(max(1, -(-self.graph.file_bytes[file] // part)) for file in files)

    def lambda_usd(self, need: Need, memory_mb: int, arch: str, billed_ms: int) -> Decimal:
        """Return what a task on Lambda costs: compute, call, /tmp, states, requests to S3."""
        book = self.books
        price = {"x86_64": "lambda_x86_gb_s", "arm64": "lambda_arm_gb_s"}[arch]
        tmp_mb = max(Decimal(0), book.exact("lambda_tmp_mb") - 512)
        transitions = int(book.exact("transitions_per_lambda_batch"))
        call = (
            product(Decimal(memory_mb * billed_ms) / 1_024_000, book.usd(price)),
            product(1, book.usd("lambda_request")),
            product(tmp_mb * billed_ms / 1_024_000, book.usd("lambda_storage_gb_s")),
            product(transitions, book.usd("state_transition")),
        )
        return sum(call, self.s3_usd(need.inputs, need.outputs))

    def node_usd(self, kind: str, leased_ms: int, files: Iterable[str]) -> Decimal:
        """Return what a node costs with its disk, which holds each of `files` once."""
        book = self.books
        seconds = max(Decimal(leased_ms) / 1000, book.usd("instance_minimum_s"))
        stored = sum(self.graph.file_bytes[file] for file in set(files))
        disk_gb = math.ceil(book.exact("node_image_gb") + Decimal(stored) / 10**9)
        disk_usd = book.usd("ebs_gp3_gb_month") / book.usd("month_s")
        node_usd = product(seconds, book.hourly[kind] / 3600)
        return node_usd + product(seconds * disk_gb, disk_usd)

    def other_lines(
        self, used: Iterable[tuple[str, str]], makespan_ms: int, *, hpc: bool
    ) -> list[Line]:
        """Return what belongs to no task or node: the run, its parts, what an HPC cluster shares.

        `used` are the pairs of a group and a platform that runs some of its tasks.
        """
        book, pairs = self.books, sorted(set(used))
        parts = len(pairs) * int(book.exact("transitions_per_part"))
        jobs = sum(platform != "lambda" for _, platform in pairs)
        sqs = jobs * int(book.exact("sqs_requests_per_job"))
        price = book.usd("state_transition")
        lines = [
            *self._run_lines(len(self.graph.groups)),
            line("Step Functions transitions of parts", parts, "transition", price),
            line("SQS requests", sqs, "request", book.usd("sqs_request")),
        ]
        if hpc:
            seconds = Decimal(makespan_ms) / 1000
            hourly = book.hourly[book.hpc_head_type]
            fsx = book.usd("fsx_scratch2_gb_month") / book.usd("month_s")
            lines += [
                line(f"{book.hpc_head_type} head node", seconds, "node-s", hourly / 3600),
                line("FSx for Lustre", seconds * book.exact("fsx_gb"), "GB-s", fsx),
            ]
        return [each for each in lines if each.quantity]

    def _run_lines(self, steps: int) -> list[Line]:
        book = self.books

        def count(what: str) -> int:
            once, each = book.exact(f"{what}_per_run"), book.exact(f"{what}_per_step")
            return int(once + steps * each)

        calls = count("control_calls")
        billed_ms = calls * ms(book.value("control_call_s"))
        gb_s = int(book.exact("control_memory_mb")) * Decimal(billed_ms) / 1_024_000
        reads = int(steps * book.exact("ledger_reads_per_step"))
        transitions = count("transitions")
        price = book.usd("state_transition")
        return [
            line("Step Functions transitions", transitions, "transition", price),
            line("Control functions compute", gb_s, "GB-s", book.usd("lambda_x86_gb_s")),
            line("Control functions requests", calls, "request", book.usd("lambda_request")),
            line(
                "DynamoDB writes", count("ledger_writes"), "write unit", book.usd("dynamodb_write")
            ),
            line("DynamoDB reads", reads, "read unit", book.usd("dynamodb_read")),
            line(
                "EventBridge events",
                int(book.exact("events_per_run")),
                "event",
                book.usd("eventbridge_event"),
            ),
        ]
