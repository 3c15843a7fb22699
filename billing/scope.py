"""Which lines of a bill are a run's: its account and region, its stack's resources, its hours.

A run cannot be told from another by a tag where both use the same function, table or bucket. What
is taken is therefore what the stack's resources were billed for in the hours of the run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

from billing.line import BilledLine

# Functions, tables, queues and log groups of template.yaml, whose names AWS makes of these.
LOGICAL_IDS = (
    "Admit",
    "Plan",
    "Await",
    "Place",
    "Settle",
    "Replace",
    "Report",
    "Power",
    "RunTask1024",
    "RunTask1769",
    "RunTask7076",
    "Ledger",
    "RayQueue",
    "RayDeadLetters",
    "HpcQueue",
    "HpcDeadLetters",
    "UploadDeadLetters",
    "FunctionLogs",
)
HOUR = timedelta(hours=1)
_GLOBAL_REGIONS = frozenset({"", "global"})

type LeftOutReason = Literal[
    "other_account",
    "other_region",
    "names_no_resource",
    "other_time",
    "longer_than_an_hour",
    "other_run",
    "other_resource",
]


@dataclass(frozen=True)
class Scope:
    """A run, its stack, and the hours it ran in (`start` inclusive, `end` exclusive, both whole).

    `account` is None where nobody said which.
    """

    run: str
    stack: str
    account: str | None
    region: str
    start: datetime
    end: datetime

    def leaves_out(self, line: BilledLine) -> LeftOutReason | None:
        """Return why a line is not the run's; None: it is."""
        return next((reason for reason, holds in self._reasons(line) if holds), None)

    def _reasons(self, line: BilledLine) -> Iterator[tuple[LeftOutReason, bool]]:
        """Give the reasons to leave a line out, the first that counts first."""
        yield "other_account", self.account is not None and line.account != self.account
        yield "other_region", line.region not in _GLOBAL_REGIONS | {self.region}
        yield "names_no_resource", not line.resource
        yield "other_time", line.start >= self.end or line.end <= self.start
        yield "other_run", line.tags.get("trivium_run", self.run) != self.run
        yield "other_resource", not self._has(line)
        yield "longer_than_an_hour", line.end - line.start > HOUR

    def logical_id(self, resource: str) -> str | None:
        """Return a resource's name in the template ("Admit"), by its id; None: it has none."""
        found = self._name.search(resource)
        return None if found is None else found["logical"]

    def _has(self, line: BilledLine) -> bool:
        named = ("trivium_stack", "aws_cloudformation_stack_name")
        return (
            line.tags.get("trivium_run") == self.run
            or any(line.tags.get(key) == self.stack for key in named)
            or self._name.search(line.resource) is not None
        )

    @cached_property
    def _name(self) -> re.Pattern[str]:
        """Match ids and ARNs of the stack's resources, and of no stack whose name begins alike."""
        stack = re.escape(self.stack)
        logical = "|".join(LOGICAL_IDS)
        return re.compile(
            rf"(?:^|[:/]){stack}-(?:(?P<logical>{logical})(?:-[A-Za-z0-9]+)?|step|workflow"
            rf"|data-[0-9]{{12}}-[a-z0-9-]+)(?::|$)|:log-group:/aws/vendedlogs/states/{stack}(?::|$)"
        )


def hours(started: datetime, ended: datetime) -> tuple[datetime, datetime]:
    """Return the whole hours (UTC) that a run touches: the first's begin and the last's end."""
    begin = started.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    last = ended.astimezone(UTC)
    end = last.replace(minute=0, second=0, microsecond=0)
    return begin, end + HOUR if last > end or end == begin else end
