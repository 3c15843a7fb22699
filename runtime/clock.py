"""Wall-clock times as the ledger and the records write them."""

import os
import time
from datetime import UTC, datetime


def now_s() -> float:
    """Return the seconds since the epoch, to the microsecond."""
    return round(time.time(), 6)


def iso(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def process_started_s() -> float:
    """Return when the kernel started this process: where a cold start begins.

    Source: proc(5), field `starttime` of /proc/self/stat, in clock ticks since boot.
    """
    with open("/proc/self/stat", encoding="ascii") as stat:  # noqa: PTH123
        ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/uptime", encoding="ascii") as uptime:  # noqa: PTH123
        uptime_s = float(uptime.read().split()[0])
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")
