"""Times as the ledger writes them."""

import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import iso, now_s, process_started_s
from tests.support import FakeClock


def test_now_is_kept_to_the_microsecond(clock: FakeClock) -> None:
    clock.at_s = 1_700_000_000.123_456_789
    assert now_s() == 1_700_000_000.123457


def test_iso_is_utc_to_the_millisecond() -> None:
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000.0019) == "2023-11-14T22:13:20.001Z"  # `date -u -d @1700000000`


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=6))
def test_iso_times_sort_like_the_times(moments: list[float]) -> None:
    assert [iso(at) for at in sorted(moments)] == sorted(iso(at) for at in moments)


def test_a_process_knows_when_it_was_started() -> None:
    code = "from runtime.clock import process_started_s; print(process_started_s())"
    before = time.time()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    after = time.time()
    tick_s = 0.02  # the kernel counts in hundredths, and uptime is read to a hundredth
    assert before - tick_s <= float(out.stdout) <= after
    assert process_started_s() <= before
