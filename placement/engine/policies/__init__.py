"""The policies that Trivium's own is compared with, by name.

`static-ec2`, `static-ec2:TYPE:N`, `all-lambda`, `mashup` and `heft`; each has a module of its own,
and all are judged by one simulator.
"""

from placement.engine.policies.registry import POLICIES, Baselines, check_policy, run_policy

__all__ = ["POLICIES", "Baselines", "check_policy", "run_policy"]
