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
from placement.cluster_cost import ClusterCost, Hold, busy_s
from placement.load import BYTES_PER_MB, Load
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
    """

    part: Part
    estimate: Estimate
    resource: str
    free_in_s: float = 0.0
    hold: Hold | None = None
    launch_items: tuple[Item, ...] = ()

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
    """The books and the situation, and from them the options of every step."""

    situation: Situation
    prices: PriceBook
    platforms: PlatformBook

    def options(self, step: Step, load: Load, platform: Platform) -> Options:
        """Return every size of a platform that can run the step, or why none can."""
        if platform == "lambda":
            return self._on_lambda(load)
        return self._on_clusters(step, load, platform)

    def run_items(self, steps: int) -> tuple[Item, ...]:
        """Return what a run of so many steps costs besides them."""
        return run_items(steps, self.prices, self.platforms)

    @property
    def cluster_cost(self) -> ClusterCost:
        """What clusters cost beside the steps, under the same books."""
        return ClusterCost(self.prices, self.platforms)

    # --- Lambda ---

    def _on_lambda(self, load: Load) -> Options:
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
                cold_s, candidate = self._lambda(load, memory, batches, concurrency)
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
        self, load: Load, memory_mb: int, batches: int, concurrency: int
    ) -> tuple[float, Candidate]:
        """Return the longest call's seconds, and the candidate."""
        book = self.platforms
        core = book.value("lambda_core_speed") * min(
            1.0, memory_mb / book.value("lambda_mb_per_vcpu")
        )
        mb_per_s = book.value("lambda_transfer_mb_per_s")
        start_s = book.value("lambda_init_s") + load.needs.fresh_start_s / core
        call_s = self._call_s(load, mb_per_s)
        task_s = self._transfer_s(load, load.task_mb, mb_per_s) + load.cpu_s(load.task_mb) / core
        largest_s = (
            self._transfer_s(load, load.largest_mb, mb_per_s) + load.cpu_s(load.largest_mb) / core
        )
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
            queue_s=round(self._dispatch_s() + book.value("distributed_map_start_s"), 3),
            startup_s=round(start_s, 3),
            transfer_s=round(wall_s - start_s - compute_s, 3),
            compute_s=round(compute_s, 3),
            items=(
                *account.lambda_items(self.prices, calls),
                *self._part_items(load, calls=batches, batch_transitions=transitions),
            ),
        )
        part = Part("lambda", {"memory_mb": memory_mb, "batches": batches})
        return longest_s, Candidate(part, estimate, "")

    # --- Ray and MPI clusters ---

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
        own_start_s = load.needs.fresh_start_s if launch else load.needs.warm_start_s
        boot_s = self._launch_s(platform) if launch else None
        job_start_s = book.value(f"{platform}_job_start_s") + own_start_s / book.value(
            "instance_core_speed"
        )
        transfer_s, compute_s = self._work_s(step, load, cluster, slots)
        job_s = job_start_s + transfer_s + compute_s
        hold = Hold(platform, cluster.instance_type, nodes, job_s, boot_s)
        estimate = Estimate(
            queue_s=round(
                self._dispatch_s() + book.value("agent_dispatch_s") + book.value("agent_report_s"),
                3,
            ),
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
        )

    def _launch_s(self, platform: Platform) -> float:
        book = self.platforms
        if platform == "ray":
            return book.value("ec2_boot_s") + book.value("ray_setup_s")
        return book.value("hpc_launch_s")

    def _work_s(
        self, step: Step, load: Load, cluster: ClusterState, slots: int
    ) -> tuple[float, float]:
        """Return transfer and compute seconds of all tasks over the slots.

        Map tasks go over the slots in waves. An MPI program follows Amdahl's law
        (doi:10.1145/1465482.1465560); one process moves its files.
        """
        book = self.platforms
        speed = book.value("instance_core_speed")
        network = book.instance(cluster.instance_type).network_gbps * _MB_PER_GBIT
        movers = 1 if step.kind == "mpi" else min(load.tasks, cluster.slots_per_node)
        mb_per_s = min(book.value("s3_thread_mb_per_s"), network / movers)
        workers = 1 if step.kind == "mpi" else min(load.tasks, slots)
        waves = math.ceil(load.tasks / workers)
        calls = math.ceil(self._cluster_batches(step, load, slots) / workers)
        transfer_s = (
            calls * self._call_s(load, mb_per_s)
            + (waves - 1) * self._transfer_s(load, load.task_mb, mb_per_s)
            + self._transfer_s(load, load.largest_mb, mb_per_s)
        )
        cpu_s = (waves - 1) * load.cpu_s(load.task_mb) + load.cpu_s(load.largest_mb)
        serial = load.needs.serial_fraction
        share = serial + (1 - serial) / slots if step.kind == "mpi" else 1.0
        return transfer_s, cpu_s * share / speed

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

    # --- both ---

    def _dispatch_s(self) -> float:
        book = self.platforms
        return book.value("states_before_step") * book.value("state_gap_s")

    def _call_s(self, load: Load, mb_per_s: float) -> float:
        """Transfer that a call pays once: its lists and records, and the whole inputs."""
        book = self.platforms
        gets = book.value("s3_gets_per_call") + load.whole_files
        puts = book.value("s3_puts_per_call")
        return (
            gets * book.value("s3_get_s") + puts * book.value("s3_put_s") + load.whole_mb / mb_per_s
        )

    def _transfer_s(self, load: Load, over_mb: float, mb_per_s: float) -> float:
        """Transfer of one task that maps over so many MB: its shard in, its output out."""
        book = self.platforms
        shards = load.output_shards / load.tasks
        moved_mb = over_mb + load.output_mb / load.tasks
        return (
            (book.value("s3_get_s") if over_mb else 0.0)
            + shards * book.value("s3_put_s")
            + moved_mb / mb_per_s
        )

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
