"""Time and cost of one step on one platform at one size.

`docs/model.md` states the formulas. Every figure comes from the books, the step's profile, or the
situation; nothing here knows a number of its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from placement import account
from placement.account import Item, LambdaCall
from placement.books import PlatformBook, PriceBook
from placement.calibration.calibration import Calibration
from placement.checkpoints import with_failures_s
from placement.cluster_cost import ClusterCost, Hold, busy_s
from placement.load import BYTES_PER_MB, Load, Needs
from placement.pace import Pace
from placement.plan import Estimate, Part, Size
from placement.situation import ClusterState, Situation
from placement.workflow import Platform, Step

_BYTES_PER_MIB = 1 << 20
_BYTES_PER_GIB = 1 << 30
_MB_PER_GBIT = 125


@dataclass(frozen=True, slots=True)
class Candidate:
    """A feasible placement of a step.

    Steps with the same `resource` run one after another; "" is never waited for. `free_in_s` is
    when the resource is free, counted from now. `hold` are the nodes that it takes; None on Lambda.
    `launch_items` are what nodes launched for it cost beside it up to its end.
    `lead_s` passes between the step's last input and its queueing, where the estimate counts from
    there.
    """

    part: Part
    estimate: Estimate
    resource: str
    free_in_s: float = 0.0
    hold: Hold | None = None
    launch_items: tuple[Item, ...] = ()
    lead_s: float = 0.0

    @property
    def usd(self) -> Decimal:
        """What the placement causes up to the step's end: the step, and nodes launched for it."""
        return self.estimate.usd + account.total(self.launch_items)


@dataclass(frozen=True, slots=True)
class Options:
    """What a platform offers a step: candidates, or why there are none."""

    candidates: tuple[Candidate, ...]
    why_not: str = ""


def run_items(steps: int, prices: PriceBook, book: PlatformBook) -> tuple[Item, ...]:
    """Return what a run of so many steps costs besides them: states, functions, ledger."""

    def count(what: str) -> int:
        return int(book.value(f"{what}_per_run") + steps * book.value(f"{what}_per_step"))

    call = LambdaCall(
        int(book.value("control_memory_mb")),
        account.billed_ms(book.value("control_call_s")),
        count("control_calls"),
    )
    return (
        *account.transition_items(prices, count("transitions")),
        *account.lambda_items(prices, [call], "Control functions"),
        *account.ledger_items(
            prices,
            writes=count("ledger_writes"),
            reads=int(steps * book.value("ledger_reads_per_step")),
        ),
        *account.event_items(prices, int(book.value("events_per_run"))),
    )


@dataclass(frozen=True, slots=True)
class Model:
    """The books and the situation, and from them the options of every step.

    A calibration goes before the platform book for the steps of `workflow`, where it has figures.
    """

    situation: Situation
    prices: PriceBook
    platforms: PlatformBook
    calibration: Calibration | None = None
    workflow: str = ""

    def options(self, step: Step, load: Load, platform: Platform) -> Options:
        """Return every size of a platform that can run the step, or why none can."""
        if platform == "lambda":
            return self._on_lambda(step, load)
        return self._on_clusters(step, load, platform)

    def estimate(self, step: Step, load: Load, platform: Platform, size: Size) -> Estimate:
        """Return the estimate of a step at one place, whether or not it fits there."""
        return self.candidate(step, load, platform, size).estimate

    def candidate(self, step: Step, load: Load, platform: Platform, size: Size) -> Candidate:
        """Return a step at one place, whether or not it fits there; the nodes count as idle."""
        if platform == "lambda":
            memory, batches = int(size["memory_mb"]), int(size["batches"])
            return self._lambda(step, load, memory, batches, max(1, self._concurrency()))[1]
        nodes = int(size["nodes"])
        slots_per_node = math.ceil(int(size["slots"]) / nodes)
        kind = str(size["instance_type"])
        cluster = ClusterState(platform, kind, nodes, slots_per_node, nodes)
        return self._cluster(step, load, cluster, nodes, start=str(size["start"]))

    def run_items(self, steps: int) -> tuple[Item, ...]:
        """Return what a run of so many steps costs besides them."""
        return run_items(steps, self.prices, self.platforms)

    @property
    def cluster_cost(self) -> ClusterCost:
        """What clusters cost beside the steps, under the same books."""
        return ClusterCost(self.prices, self.platforms)

    @property
    def run_start_s(self) -> float:
        """Return what passes from the upload to the first step."""
        times = self.calibration and self.calibration.run_times
        return times.start_s if times else self.platforms.value("run_start_s")

    @property
    def run_end_s(self) -> float:
        """Return what passes from the last step's end to the report."""
        times = self.calibration and self.calibration.run_times
        return times.end_s if times else self.platforms.value("run_end_s")

    # Lambda

    def _on_lambda(self, step: Step, load: Load) -> Options:
        book = self.platforms
        concurrency = self._concurrency()
        if concurrency < 1:
            return Options((), "the deployment allows no concurrent functions")
        if load.disk_bytes > book.value("lambda_tmp_mb") * _BYTES_PER_MIB:
            return Options((), _too_big("disk", load.disk_bytes, book.value("lambda_tmp_mb")))
        memories = [
            memory
            for memory in book.lambda_memory_mb
            if load.memory_bytes <= memory * _BYTES_PER_MIB
        ]
        if not memories:
            return Options((), _too_big("memory", load.memory_bytes, max(book.lambda_memory_mb)))
        limit_s = book.value("lambda_timeout_s") * book.value("lambda_time_margin")
        found, shortest_s = [], math.inf
        for memory in memories:
            for batches in _batch_counts(load.tasks, concurrency):
                cold_s, candidate = self._lambda(step, load, memory, batches, concurrency)
                shortest_s = min(shortest_s, cold_s)
                if cold_s <= limit_s:
                    found.append(candidate)
        if not found:
            timeout_s = book.value("lambda_timeout_s")
            return Options(
                (),
                f"a batch of one task would take {shortest_s:,.0f} s, and no more than "
                f"{limit_s:,.0f} s of the {timeout_s:,.0f} s limit are planned for",
            )
        return Options(tuple(found))

    def _concurrency(self) -> int:
        stated = self.situation.lambda_concurrency
        return int(self.platforms.value("lambda_concurrency")) if stated is None else stated

    def _lambda(
        self, step: Step, load: Load, memory_mb: int, batches: int, concurrency: int
    ) -> tuple[float, Candidate]:
        """Return the longest call's seconds, and the candidate."""
        book = self.platforms
        core = self.core_speed("lambda", memory_mb)
        pace = self.pace(step, load, "lambda", str(memory_mb))
        load = pace.load
        start_s = pace.startup_s + load.needs.fresh_start_s / core
        call_s = self._call_s(pace)
        task_s = self._transfer_s(pace, load.task_mb) + load.cpu_s(load.task_mb) / core
        largest_s = self._transfer_s(pace, load.largest_mb) + load.cpu_s(load.largest_mb) / core
        most = math.ceil(load.tasks / batches)
        waves = math.ceil(batches / concurrency)
        longest_s = start_s + call_s + (most - 1) * task_s + largest_s
        # The largest shard lengthens one call; the other waves take the mean task's time.
        compute_s = (
            (waves * most - 1) * load.cpu_s(load.task_mb) + load.cpu_s(load.largest_mb)
        ) / core
        wall_s = longest_s + (waves - 1) * (call_s + most * task_s)
        calls = [
            LambdaCall(
                memory_mb,
                account.billed_ms((start_s if cold else 0.0) + call_s + tasks * task_s),
                count,
                int(book.value("lambda_tmp_mb")),
            )
            for tasks, cold, count in _calls(load.tasks, batches, min(batches, concurrency))
        ]
        transitions = batches * int(book.value("transitions_per_lambda_batch"))
        estimate = Estimate(
            queue_s=round(pace.queue_s, 3),
            startup_s=round(start_s, 3),
            transfer_s=round(wall_s - start_s - compute_s, 3),
            compute_s=round(compute_s, 3),
            items=(
                *account.lambda_items(self.prices, calls),
                *self._part_items(load, calls=batches, batch_transitions=transitions),
            ),
        )
        part = Part("lambda", {"memory_mb": memory_mb, "batches": batches})
        return longest_s, Candidate(part, estimate, "", lead_s=pace.lead_s)

    def core_speed(self, platform: Platform, memory_mb: int = 0) -> float:
        """Return what a task's core is worth in reference cores; on Lambda by its memory in MB."""
        book = self.platforms
        if platform != "lambda":
            return book.value("instance_core_speed")
        share = min(1.0, memory_mb / book.value("lambda_mb_per_vcpu"))
        return book.value("lambda_core_speed") * share

    # Ray and MPI clusters

    def _on_clusters(self, step: Step, load: Load, platform: Platform) -> Options:
        clusters = [c for c in self.situation.clusters if c.platform == platform]
        if not clusters:
            return Options((), "there is no such cluster in this deployment")
        found, reasons = [], []
        for cluster in clusters:
            why_not = self._does_not_fit(step, load, cluster)
            shapes = list(_shapes(cluster))
            if why_not:
                reasons.append(why_not)
            elif not shapes:
                reasons.append("it has no nodes and may launch none")
            else:
                found += [
                    self._cluster(step, load, cluster, nodes, start=start)
                    for nodes, start in shapes
                    if not self._does_not_fit(step, load, cluster, nodes)
                ]
        if not found and not reasons:
            reasons.append("it needs more memory than the nodes that may be used have together")
        return Options(tuple(found), "" if found else reasons[0])

    def _does_not_fit(
        self, step: Step, load: Load, cluster: ClusterState, nodes: int | None = None
    ) -> str:
        """Return which limit of a node the step breaks, "" where it fits.

        An MPI program spreads its memory over `nodes` (None: as many as the cluster may have).
        """
        kind = self.platforms.instance(cluster.instance_type)
        memory_bytes = kind.memory_gib * _BYTES_PER_GIB
        disk_gb = self.platforms.value("node_disk_gb")
        at_once = min(load.tasks, cluster.slots_per_node)
        needed = load.memory_bytes * at_once
        if step.kind == "mpi":
            needed /= cluster.max_nodes if nodes is None else nodes
        if needed > memory_bytes:
            return _too_big("memory", needed, memory_bytes / _BYTES_PER_MIB, cluster)
        if load.disk_bytes * at_once > disk_gb * 1e9:
            return _too_big(
                "disk", load.disk_bytes * at_once, disk_gb * 1e9 / _BYTES_PER_MIB, cluster
            )
        return ""

    def _cluster(
        self, step: Step, load: Load, cluster: ClusterState, nodes: int, *, start: str
    ) -> Candidate:
        book, platform = self.platforms, cluster.platform
        launch = start == "launch"
        slots = nodes * cluster.slots_per_node
        if step.kind == "mpi" and load.needs.ranks_max is not None:
            slots = min(slots, load.needs.ranks_max)
        pace = self.pace(step, load, platform, cluster.instance_type, cluster.slots_per_node)
        load = pace.load
        own_start_s = load.needs.fresh_start_s if launch else load.needs.warm_start_s
        boot_s = self._launch_s(platform) if launch else None
        job_start_s = pace.startup_s + own_start_s / self.core_speed(platform)
        transfer_s, compute_s = self._work_s(step, pace, cluster, slots)
        if step.kind == "mpi":
            compute_s = with_failures_s(compute_s, nodes, book)
        job_s = job_start_s + transfer_s + compute_s
        head_s = book.value("head_start_s") if cluster.head_off else 0.0
        hold = Hold(platform, cluster.instance_type, nodes, job_s, boot_s)
        estimate = Estimate(
            queue_s=round(head_s + pace.queue_s, 3),
            startup_s=round((boot_s or 0.0) + job_start_s, 3),
            transfer_s=round(transfer_s, 3),
            compute_s=round(compute_s, 3),
            items=(
                *account.instance_items(
                    self.prices, cluster.instance_type, job_s, nodes, launched=False
                ),
                *account.sqs_items(self.prices, int(book.value("sqs_requests_per_job"))),
                *self._part_items(
                    load, calls=self._cluster_batches(step, load, slots), batch_transitions=0
                ),
            ),
        )
        size: Size = {
            "instance_type": cluster.instance_type,
            "nodes": nodes,
            "slots": slots,
            "batches": self._cluster_batches(step, load, slots),
            "start": start,
        }
        return Candidate(
            Part(platform, size),
            estimate,
            f"{platform} {cluster.instance_type} {start}",
            0.0 if launch else busy_s(cluster, book),
            hold,
            tuple(line.item for line in self.cluster_cost.launch(hold)),
            pace.lead_s,
        )

    def _launch_s(self, platform: Platform) -> float:
        book = self.platforms
        if platform == "ray":
            return book.value("ec2_boot_s") + book.value("ray_setup_s")
        return book.value("hpc_launch_s")

    def _work_s(
        self, step: Step, pace: Pace, cluster: ClusterState, slots: int
    ) -> tuple[float, float]:
        """Return transfer and compute seconds of all tasks over the slots.

        Map tasks go over the slots in waves; one process moves an MPI program's files.
        """
        load = pace.load
        workers = 1 if step.kind == "mpi" else min(load.tasks, slots)
        waves = math.ceil(load.tasks / workers)
        calls = math.ceil(self._cluster_batches(step, load, slots) / workers)
        transfer_s = (
            calls * self._call_s(pace)
            + (waves - 1) * self._transfer_s(pace, load.task_mb)
            + self._transfer_s(pace, load.largest_mb)
        )
        cpu_s = (waves - 1) * load.cpu_s(load.task_mb) + load.cpu_s(load.largest_mb)
        speed = self.core_speed(cluster.platform)
        return transfer_s, cpu_s * amdahl_share(step, load.needs, slots) / speed

    def _cluster_batches(self, step: Step, load: Load, slots: int) -> int:
        """Return the batches that a step is cut into on a cluster; an MPI program is one task.

        One for each slot, since each costs requests of its own; more of them, so that a slow one
        does not leave the other slots idle, as far as each keeps a worthwhile length.
        """
        if step.kind == "mpi":
            return 1
        book = self.platforms
        requests_s = load.tasks * book.value("s3_get_s")
        requests_s += load.output_shards * book.value("s3_put_s")
        work_s = load.tasks * load.cpu_s(load.task_mb) + requests_s
        worthwhile = math.ceil(work_s / slots / book.value("cluster_batch_s"))
        most = int(book.value("batches_per_slot"))
        return min(load.tasks, slots * max(1, min(most, worthwhile)))

    # both

    def pace(
        self, step: Step, load: Load, platform: Platform, size: str, slots_per_node: int = 1
    ) -> Pace:
        """Return how the step's work passes at a place: calibrated, or by the book.

        `size` is the function's memory in MB, or the instance type.
        """
        pace = self._book_pace(step, load, platform, size, slots_per_node)
        if self.calibration is None:
            return pace
        at = (self.workflow, step.name, platform, size)
        computing = self.calibration.computing_of(*at)
        overheads = self.calibration.overheads_of(*at)
        times = self.calibration.run_times
        return pace.calibrated(
            platform,
            computing and computing[1],
            overheads and overheads[1],
            times.handover_s if times and step.predecessors else 0.0,
        )

    def _book_pace(
        self, step: Step, load: Load, platform: Platform, size: str, slots_per_node: int
    ) -> Pace:
        book = self.platforms
        queue_s = book.value("states_before_step") * book.value("state_gap_s")
        if platform == "lambda":
            queue_s += book.value("distributed_map_start_s")
            mb_per_s = book.value("lambda_transfer_mb_per_s")
            return Pace(load, queue_s, book.value("lambda_init_s"), 1.0, 1 / mb_per_s)
        queue_s += book.value("agent_dispatch_s") + book.value("agent_report_s")
        network = book.instance(size).network_gbps * _MB_PER_GBIT
        movers = 1 if step.kind == "mpi" else min(load.tasks, slots_per_node)
        mb_per_s = min(book.value("s3_thread_mb_per_s"), network / movers)
        return Pace(load, queue_s, book.value(f"{platform}_job_start_s"), 1.0, 1 / mb_per_s)

    def _call_s(self, pace: Pace) -> float:
        """Transfer that a call pays once: its lists and records, and the whole inputs."""
        requests_s = self.call_requests_s(pace.load.whole_files)
        return pace.request_scale * requests_s + pace.load.whole_mb * pace.s_per_mb

    def _transfer_s(self, pace: Pace, over_mb: float) -> float:
        """Transfer of one task that maps over so many MB: its shard in, its output out."""
        load = pace.load
        requests_s = self.task_requests_s(load.output_shards / load.tasks, maps=bool(over_mb))
        moved_mb = over_mb + load.output_mb / load.tasks
        return pace.request_scale * requests_s + moved_mb * pace.s_per_mb

    def call_requests_s(self, whole_files: int) -> float:
        """Return what the book says of the requests that a call makes once."""
        book = self.platforms
        gets = book.value("s3_gets_per_call") + whole_files
        return gets * book.value("s3_get_s") + book.value("s3_puts_per_call") * book.value(
            "s3_put_s"
        )

    def task_requests_s(self, output_shards: float, *, maps: bool) -> float:
        """Return what the book says of one task's requests: its shard in, its output out."""
        book = self.platforms
        return (book.value("s3_get_s") if maps else 0.0) + output_shards * book.value("s3_put_s")

    def _part_items(self, load: Load, *, calls: int, batch_transitions: int) -> tuple[Item, ...]:
        """Return what a part costs on every platform: its states and S3 requests."""
        book = self.platforms
        gets = calls * (int(book.value("s3_gets_per_call")) + load.whole_files)
        return (
            *account.transition_items(
                self.prices, int(book.value("transitions_per_part")) + batch_transitions
            ),
            *account.s3_request_items(
                self.prices,
                put=calls * int(book.value("s3_puts_per_call")) + load.output_shards,
                get=gets + (load.tasks if load.over_mb else 0),
            ),
        )


def amdahl_share(step: Step, needs: Needs, ranks: int) -> float:
    """Return the part of one core's time that an MPI program takes on its ranks; 1 for a map.

    Amdahl's law (doi:10.1145/1465482.1465560).
    """
    if step.kind != "mpi":
        return 1.0
    return needs.serial_fraction + (1 - needs.serial_fraction) / ranks


def _batch_counts(tasks: int, concurrency: int) -> list[int]:
    """Powers of two below the number of tasks, all that run at once, and one per task."""
    counts = {tasks, min(tasks, concurrency)}
    counts |= {1 << power for power in range(tasks.bit_length()) if 1 << power <= tasks}
    return sorted(counts)


def _calls(tasks: int, batches: int, cold: int) -> Iterator[tuple[int, bool, int]]:
    """Yield groups of equal calls: tasks in each, whether in a fresh environment, how many.

    Tasks are dealt evenly, the larger batches come first, and the first `cold` calls are cold.
    """
    least, larger = divmod(tasks, batches)
    for size, count, before in ((least + 1, larger, 0), (least, batches - larger, larger)):
        fresh = max(0, min(count, cold - before))
        for is_cold, amount in ((True, fresh), (False, count - fresh)):
            if amount:
                yield size, is_cold, amount


def _shapes(cluster: ClusterState) -> Iterator[tuple[int, str]]:
    """How many nodes a step may take, of those that are up and of new ones."""
    for nodes in _node_counts(cluster.warm_nodes):
        yield nodes, "warm"
    for nodes in _node_counts(cluster.max_nodes - cluster.warm_nodes):
        yield nodes, "launch"


def _node_counts(most: int) -> list[int]:
    powers = {1 << power for power in range(max(0, most).bit_length()) if 1 << power <= most}
    return sorted(powers | {most}) if most > 0 else []


def _too_big(
    what: str, needed_bytes: float, limit_mib: float, cluster: ClusterState | None = None
) -> str:
    there = "a node" if cluster is None else f"a {cluster.instance_type} node"
    where = "the largest function" if cluster is None else there
    return (
        f"it needs {needed_bytes / BYTES_PER_MB:,.0f} MB of {what} at once; "
        f"{where} has {limit_mib * _BYTES_PER_MIB / BYTES_PER_MB:,.0f} MB"
    )
