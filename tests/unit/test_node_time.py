"""Jobs and idle time add up to the time that the nodes were up; an oracle looks at every tick."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from placement.node_time import Held, Up, microseconds, node_seconds, node_use

TICKS = 30


def held(job: str, start: int, end: int, nodes: int = 1, slots: int = 1) -> Held:
    return Held(job, start, end, nodes, slots)


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int]:
    start = draw(st.integers(0, TICKS - 1))
    return start, draw(st.integers(start, TICKS))


@st.composite
def jobs(draw: st.DrawFn) -> list[Held]:
    drawn = draw(st.lists(st.tuples(spans(), st.integers(1, 3), st.integers(1, 5)), max_size=6))
    return [
        held(f"j{number}", start, end, nodes, slots)
        for number, ((start, end), nodes, slots) in enumerate(drawn)
    ]


@st.composite
def nodes_up(draw: st.DrawFn) -> list[Up]:
    edges = sorted(set(draw(st.lists(st.integers(0, TICKS), max_size=6))))
    return [
        Up(begin, end, draw(st.integers(0, 4)), draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        for begin, end in zip(edges[::2], edges[1::2], strict=False)
    ]


def at(tick: int, all_jobs: list[Held], up: list[Up]) -> tuple[dict[str, Fraction], int, bool]:
    """Return each job's share of one tick, the idle nodes, and whether somebody looked."""
    active = [job for job in all_jobs if job.start_us <= tick < job.end_us]
    looked = [span for span in up if span.start_us <= tick < span.end_us]
    most = max([job.nodes for job in active], default=0)
    there = max([span.nodes for span in looked] + [most])
    asked = sum(job.nodes for job in active)
    if asked <= there:
        shares = {job.job: Fraction(job.nodes) for job in active}
        return shares, (there - asked if looked else 0), bool(looked)
    slots = sum(job.slots for job in active)
    return {job.job: Fraction(there * job.slots, slots) for job in active}, 0, bool(looked)


@given(jobs(), nodes_up())
def test_every_tick_is_somebodys_and_nobodys_twice(all_jobs: list[Held], up: list[Up]) -> None:
    use = node_use(all_jobs, up, (0, TICKS))
    ticks = [at(tick, all_jobs, up) for tick in range(TICKS)]
    whole = sum(sum(shares.values()) + idle for shares, idle, _ in ticks)
    assert sum(use.by_job.values()) + use.idle == whole
    assert use.idle == sum(idle for _, idle, _ in ticks)
    assert use.unseen_us == sum(not looked for _, _, looked in ticks)
    for job, amount in use.by_job.items():
        fair = sum((shares.get(job, Fraction(0)) for shares, _, _ in ticks), Fraction(0))
        assert amount >= 0
        assert abs(Fraction(amount) - fair) <= 2 * len(all_jobs) + 2 * len(
            up
        )  # one for each segment


@given(jobs(), nodes_up(), st.randoms(use_true_random=False))
def test_the_order_in_which_jobs_are_told_of_does_not_matter(
    all_jobs: list[Held], up: list[Up], random: st.DataObject
) -> None:
    other, spans_again = list(all_jobs), list(up)
    random.shuffle(other)  # type: ignore[attr-defined]
    random.shuffle(spans_again)  # type: ignore[attr-defined]
    assert node_use(other, spans_again, (0, TICKS)) == node_use(all_jobs, up, (0, TICKS))


@given(jobs(), nodes_up())
def test_a_jobs_share_is_the_same_whoever_asks(all_jobs: list[Held], up: list[Up]) -> None:
    everything = node_use(all_jobs, up, (0, TICKS)).by_job
    for job in all_jobs:
        alone = node_use(all_jobs, up, (job.start_us, job.end_us)).by_job
        assert alone.get(job.job, 0) == everything.get(job.job, 0)


@given(jobs(), nodes_up())
def test_booting_and_stopping_nodes_are_counted_while_they_are_seen(
    all_jobs: list[Held], up: list[Up]
) -> None:
    use = node_use(all_jobs, up, (5, 25))
    seen = [(min(25, u.end_us) - max(5, u.start_us), u) for u in up]
    assert use.booting == sum(max(0, length) * u.booting for length, u in seen)
    assert use.stopping == sum(max(0, length) * u.stopping for length, u in seen)


def test_two_jobs_on_one_node_share_it_by_their_slots() -> None:
    use = node_use([held("a", 0, 10, slots=3), held("b", 4, 12, slots=1)], [Up(0, 20, 1)], (0, 20))
    # a alone 4; then 6 ticks shared 3 to 1, 4.5 and 1.5, of which a is first; b alone 2; idle 8.
    assert use.by_job == {"a": 4 + 5, "b": 1 + 2}
    assert use.idle == 8


def test_two_jobs_on_two_nodes_have_one_each() -> None:
    use = node_use([held("a", 0, 10, slots=3), held("b", 0, 10)], [Up(0, 10, 2)], (0, 10))
    assert (use.by_job, use.idle) == ({"a": 10, "b": 10}, 0)


def test_a_job_holds_its_nodes_also_where_fewer_were_seen() -> None:
    use = node_use([held("a", 0, 10, nodes=2)], [Up(0, 10, 1)], (0, 10))
    assert (use.by_job, use.idle) == ({"a": 20}, 0)


def test_seconds_become_whole_microseconds_and_come_back_exactly() -> None:
    assert microseconds(1_700_000_000.123457) == 1_700_000_000_123_457
    assert node_seconds(1_234_567) == Decimal("1.234567")
