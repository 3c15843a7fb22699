"""What Ray's autoscaler is told on a head node: `python -m ray_tasks.autoscaling`.

Ray's autoscaler launches workers from the launch template of `ray_tasks/cluster.yaml` and ends them
when they are idle. They set themselves up, so it needs no way into them (`disable_node_updaters`).
Source: ray-schema.json and autoscaler/_private/aws/node_provider.py of Ray 2.60.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import yaml

from runtime.settings import variable

IDLE_MINUTES = 5


@dataclass(frozen=True)
class Workers:
    """Whose workers they are, where they are launched, and what one of them has."""

    cluster: str
    stack: str
    region: str
    subnet: str
    cpus: int
    most_nodes: int

    @staticmethod
    def from_environment() -> Workers:
        """Return what the environment of a head node says.

        Raises:
            UserError: a variable is missing.

        """
        return Workers(
            variable("TRIVIUM_RAY_CLUSTER"),
            variable("TRIVIUM_STACK"),
            variable("AWS_DEFAULT_REGION"),
            variable("TRIVIUM_SUBNET"),
            int(variable("TRIVIUM_INSTANCE_CPUS")),
            int(variable("TRIVIUM_MOST_NODES")),
        )


def autoscaler_config(workers: Workers) -> dict[str, Any]:
    """Return the cluster file, as `ray start --autoscaling-config` reads it.

    Tags are given here and not in the launch template: Ray's own would take their place.
    """
    tags = [{"Key": "trivium:stack", "Value": workers.stack}]
    launched = {
        "LaunchTemplate": {
            "LaunchTemplateName": f"{workers.cluster}-worker",
            "Version": "$Latest",
        },
        "SubnetIds": [workers.subnet],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }
    return {
        "cluster_name": workers.cluster,
        "max_workers": workers.most_nodes,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": {
            "type": "aws",
            "region": workers.region,
            "use_internal_ips": True,
            "cache_stopped_nodes": False,
            "disable_node_updaters": True,
        },
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {}, "resources": {"CPU": 0}, "max_workers": 0},
            "worker": {
                "node_config": launched,
                "resources": {"CPU": workers.cpus},
                "min_workers": 0,
                "max_workers": workers.most_nodes,
            },
        },
    }


if __name__ == "__main__":
    config = autoscaler_config(Workers.from_environment())
    sys.stdout.write(yaml.safe_dump(config, sort_keys=False))
