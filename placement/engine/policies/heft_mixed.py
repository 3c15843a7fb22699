"""`heft`: the fixed cluster that `static-ec2` chooses, and Lambda beside it, scheduled with HEFT.

HEFT sees both at once and sends each task to where it ends first. A node that gets no task is not
launched, and each is released when its last task has ended.
"""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import NEVER
from placement.engine.policies.clusters import Clusters
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.heft import ANYWHERE, heft
from placement.engine.policies.static_ec2 import Point
from placement.engine.simulator import play_assignment
from placement.engine.timetable import Timetable


def heft_mixed(clusters: Clusters, point: Point, policy: str, goal: Goal) -> Timetable | Infeasible:
    """Return the run on a cluster and Lambda, where it keeps the goal's limits."""
    on_lambda = clusters.work.lambda_ms.min(axis=1, initial=NEVER) < NEVER
    where = np.where(on_lambda & ~clusters.on_no_node, ANYWHERE, clusters.where)
    cluster = clusters.cluster(point.kind, point.nodes)
    assignment = heft(clusters.work, cluster, where, whole_run=False)
    run = play_assignment(clusters.work, assignment)
    return goal.judged(policy, run.table, clusters.costing.usd(run))
