"""One schedule by SAGA's HEFT, timed; needs the environment .tools/peers.

    .tools/peers/bin/python bench/saga_heft.py [--nodes N] < GRAPH.json

The graph comes from `bench.placement_speed`: `tasks` as [name, seconds], `dependencies` as [from,
to, MB]. All nodes have speed 1 and 125 MB/s between each two. Prints as JSON what it
took from the graph in memory to the schedule, on the clock (`wall_s`) and of processor time
(`cpu_s`), and the `makespan_s` it came to.
"""

import argparse
import json
import sys
import time

from saga import Network, TaskGraph  # type: ignore[import-not-found]
from saga.schedulers.heft import HeftScheduler  # type: ignore[import-not-found]

MB_PER_S = 125.0


def main() -> None:
    """Read a graph, schedule it and print the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=32)
    options = parser.parse_args()
    given = json.load(sys.stdin)
    graph = TaskGraph.create(
        [tuple(task) for task in given["tasks"]],
        [tuple(dependency) for dependency in given["dependencies"]],
    )
    names = [f"node-{number}" for number in range(options.nodes)]
    links = [(a, b, MB_PER_S) for a in names for b in names if a < b]
    network = Network.create([(name, 1.0) for name in names], links)
    wall, cpu = time.perf_counter(), time.process_time()
    schedule = HeftScheduler().schedule(network, graph)
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**took, "makespan_s": schedule.makespan}))


if __name__ == "__main__":
    main()
