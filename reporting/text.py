"""How figures and facts of a report are written, the same in a terminal and on a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reporting.beside import up_anyway_usd
from reporting.report import NoPlan, OtherPlan, Report, Step

MISSING = "-"
SINGULARS = {"batches": "batch", "nodes": "node", "ranks": "rank", "slots": "slot"}
TIMES = "\N{MULTIPLICATION SIGN}"
MINUTE_S = 60
HOUR_S = 3600
# Names of the two halves of "2 x c7i.large", as sizes of Ray and of a cluster spell them.
COUNT_KEYS = ("count", "instances", "nodes")
INSTANCE_KEYS = ("instance", "instance_type", "type")
_LONG_NAME, _SHORT_NAME = 28, 6
UNIT_SUFFIXES = {"_mb": "MB", "_gb": "GB", "_s": "s", "_gbps": "Gbit/s"}
SCORE_MEANINGS = {
    "adjusted_rand_index": "1 is perfect agreement with the known origins, 0 is chance",
}


@dataclass(frozen=True)
class Comparison:
    """Another policy's estimate against this plan's estimate; changes in percent, as text.

    `usd` is what placements are chosen by; `whole_usd` is with what is up anyway.
    """

    policy: str
    seconds: str
    seconds_change: str
    usd: str
    usd_change: str
    whole_usd: str
    why_not: str | None


def plain(text: str) -> str:
    """Put text on one line without control characters, which could redraw a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def seconds_text(seconds: float | None) -> str:
    """Seconds as people say them: `0.04 s`, `4.2 s`, `3m 05s`, `2h 05m`."""
    if seconds is None:
        return MISSING
    if seconds == 0:
        return "0 s"
    if seconds < 0.095:  # noqa: PLR2004  (below, one decimal would show at most 0.0)
        return f"{seconds:.2f} s" if seconds >= 0.005 else "<0.01 s"  # noqa: PLR2004
    if round(seconds, 1) < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S}m {whole % MINUTE_S:02d}s"
    minutes = round(seconds / MINUTE_S)
    return f"{minutes // MINUTE_S:,}h {minutes % MINUTE_S:02d}m"


def usd_text(usd: Decimal | None, decimals: int = 6) -> str:
    """Dollars with a fixed number of decimals; what would round to nothing is shown as less."""
    if usd is None:
        return MISSING
    last_place = Decimal(1).scaleb(-decimals)
    if 0 < abs(usd) < last_place / 2:
        return f"<${last_place:f}"
    sign = "-" if usd < 0 else ""
    return f"{sign}${abs(usd):,.{decimals}f}"


def plan_decimals(largest_usd: Decimal) -> int:
    """Return the decimals of the amounts in a table: fewer where more would be noise."""
    if largest_usd < 1:
        return 6
    return 4 if largest_usd < 100 else 2  # noqa: PLR2004  (hundreds of dollars: cents are enough)


def run_decimals(report: Report) -> int:
    """Decimals for whole-run tables: the micro-dollar, or fewer where that would be noise."""
    return plan_decimals(
        max([report.measured.usd, *([report.estimate.usd] if report.estimate else [])])
    )


def change_text(value: float | Decimal, base: float | Decimal) -> str:
    """`value` against `base` as a signed percentage."""
    change = Decimal(value) - Decimal(base)
    if change == 0:
        return "same"
    if base == 0:
        return MISSING
    percent = change / Decimal(base) * 100
    rounded = f"{percent:+,.0f}"
    return f"{percent:+.1f} %" if rounded in ("+0", "-0") else f"{rounded} %"


def number_text(number: float | Decimal) -> str:
    """Write a quantity or count with thousands separators and without trailing zeros."""
    text = f"{Decimal(str(number)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short_names(names: Sequence[str]) -> list[str]:
    """Cut long dotted names to their last parts, as many as tell them from all others."""
    ends = Counter(end for name in names for end in _ends(name))
    return [
        plain(next((end for end in _ends(name) if ends[end] == 1), name))
        if len(name) > _LONG_NAME
        else plain(name)
        for name in names
    ]


def _ends(name: str) -> list[str]:
    """Return what a name may be cut to, the shortest first."""
    parts = name.split(".")
    ends = [".".join(parts[first:]) for first in range(len(parts) - 1, -1, -1)]
    return [end for end in ends if len(end) >= _SHORT_NAME]


def size_text(size: Mapping[str, int | float | str]) -> str:
    """Write a size as people say it: `1024 MB`, `2 x c7i.large, 4 ranks`."""
    left = dict(size)
    words = []
    instance = next((key for key in INSTANCE_KEYS if key in left), None)
    if instance is not None:
        count = next((key for key in COUNT_KEYS if key in left), None)
        times = f"{left.pop(count)} {TIMES} " if count is not None else ""
        words.append(f"{times}{left.pop(instance)}")
        left.pop("batches", None)  # on nodes a matter of balance, not of what is paid for
    words += [_pair_text(key, value) for key, value in left.items()]
    return plain(", ".join(words))


def placed_text(step: Step) -> str:
    """Where a step was placed: `lambda 1024 MB`, or each part with its share."""
    if not step.parts:
        return plain(f"{step.platform} {size_text(step.size)}".strip())
    parts = [
        f"{part.share:.0%} {part.platform} {size_text(part.size)}".strip() for part in step.parts
    ]
    return plain(" + ".join(parts))


def score_text(report: Report) -> str | None:
    """Write `adjusted rand index 0.93 (what that means)`, or None where there is no score."""
    if report.score is None:
        return None
    meaning = SCORE_MEANINGS.get(report.score.name)
    said = f"{plain(report.score.name.replace('_', ' '))} {report.score.value:.4g}"
    return f"{said} ({meaning})" if meaning else said


def attempt_texts(report: Report) -> list[str]:
    """Say of every attempt that did not succeed what it took and cost, and why it ended."""
    return [
        plain(
            f"{step.step}, attempt {attempt.attempt} on {attempt.platform}: {attempt.outcome} "
            f"after {seconds_text(attempt.measured.wall_s)} and "
            f"{usd_text(attempt.usd, run_decimals(report))}: "
            f"{(attempt.reason or 'no reason was given').rstrip('. ')}."
        )
        for step in report.steps
        for attempt in step.attempts
        if attempt.outcome in ("failed", "replaced")
    ]


def machine_text(report: Report) -> str:
    """Whose seconds were measured and whose prices were used."""
    note = plain(report.machine.note.rstrip(". "))
    where = "a laptop" if report.machine.kind == "laptop" else "AWS"
    return f"Measured on {where}: {note}." if note else f"Measured on {where}."


def book_texts(report: Report) -> list[str]:
    """Each book with its date and region."""
    return [
        plain(f"{book.name}, {book.date}" + (f", {book.region}" if book.region else ""))
        for book in report.books
    ]


def comparisons(report: Report) -> list[Comparison]:
    """Every alternative against this plan's estimate (never against what was measured)."""
    return [_comparison(report, other) for other in report.alternatives]


def headline(report: Report) -> str:
    """Say what happened in a sentence a person can repeat."""
    name = plain(report.workflow)
    decimals = 4 if report.measured.usd >= Decimal("0.001") else 6
    spent = f"{seconds_text(report.makespan_s)} and {usd_text(report.measured.usd, decimals)}"
    where = _where_text(report.steps)
    if report.status == "running":
        return f"{name} is running: {spent} so far{where}."
    if report.status == "failed":
        reason = plain((report.reason or "").rstrip(". "))
        return f"{name} failed after {spent}: {reason}."
    return f"{name} took {spent}{where}."


def chosen_by_usd(report: Report) -> Decimal | None:
    """Return the estimate that the plan was chosen by: without what is up anyway."""
    return None if report.estimate is None else report.estimate.usd - up_anyway_usd(report)


def judgement(report: Report) -> str | None:
    """How the plan compares with the alternatives, by the estimates; None where none has a plan."""
    others = [other for other in report.alternatives if isinstance(other, OtherPlan)]
    chosen_by = chosen_by_usd(report)
    if not others or report.estimate is None or chosen_by is None:
        return None
    seconds = report.estimate.seconds
    better = [
        other
        for other in others
        if _beats((other.seconds, other.usd - other.up_anyway_usd), (seconds, chosen_by))
    ]
    with_idle = [
        other
        for other in others
        if other not in better
        and _beats((other.seconds, other.usd), (seconds, report.estimate.usd))
    ]
    if better:
        said = f"By the estimates, {_policies(better)} would have been better."
    elif len(others) == 1:
        said = f"By the estimates, {_policies(others)} does not beat this plan."
    else:
        said = (
            f"By the estimates, none of the {len(others)} other placements "
            "beats this plan in time and cost together."
        )
    if with_idle:
        said += (
            f" With what is up anyway charged to the run, {_policies(with_idle)} would have been "
            "better."
        )
    return said


def up_anyway_text(report: Report) -> str | None:
    """Say which figures hold what is up anyway; None where there is no such thing."""
    if not any(line.up_anyway for line in report.estimated_shared_items):
        return None
    return (
        "Warm nodes, head nodes, their disks and file systems are up anyway. What they cost beside "
        "the steps is in the run's figures, estimated and measured alike, but no placement is "
        "chosen by it: it would be there whatever is placed where, and other runs may use it."
    )


def head_off_texts(report: Report) -> list[str]:
    """Say of every head that was stopped during the run what that saved, and cost in waiting."""
    return [
        f"{plain(one.platform)}: its head was stopped for {seconds_text(float(one.quantity))} of "
        f"the run, which saved {usd_text(one.usd)}; it was waited for {seconds_text(one.waited_s)}."
        for one in report.heads_off
    ]


def _beats(one: tuple[float, Decimal], other: tuple[float, Decimal]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one != other


def _policies(others: Sequence[OtherPlan]) -> str:
    return _listed([plain(other.policy) for other in others])


def _pair_text(key: str, value: float | str) -> str:
    for suffix, unit in UNIT_SUFFIXES.items():
        if key.endswith(suffix):
            what = key.removesuffix(suffix).replace("_", " ")
            return f"{value} {unit}" if what == "memory" else f"{value} {unit} {what}"
    if isinstance(value, str):
        return value
    noun = key.replace("_", " ")
    return f"{value} {SINGULARS.get(noun, noun) if value == 1 else noun}"


def _comparison(report: Report, other: OtherPlan | NoPlan) -> Comparison:
    policy = plain(other.policy)
    if isinstance(other, NoPlan):
        nothing = (MISSING,) * 5
        return Comparison(policy, *nothing, plain(other.why_not))
    own = report.estimate
    own_usd = chosen_by_usd(report)
    usd = other.usd - other.up_anyway_usd
    return Comparison(
        policy,
        seconds_text(other.seconds),
        change_text(other.seconds, own.seconds) if own else MISSING,
        usd_text(usd, run_decimals(report)),
        change_text(usd, own_usd) if own_usd is not None else MISSING,
        usd_text(other.usd, run_decimals(report)),
        None,
    )


def _where_text(steps: Sequence[Step]) -> str:
    """`: a on lambda, b and c on ray`, by platform; numbers of steps where names are too many."""
    platforms: dict[str, list[str]] = {}
    for step in steps:
        used = dict.fromkeys(part.platform for part in step.parts) or [step.platform]
        platforms.setdefault(" and ".join(used), []).append(step.step)
    if not platforms:
        return ""
    named = len(steps) <= 6  # noqa: PLR2004  (more names than that are no sentence)
    groups = [
        f"{_listed(names) if named else _steps_text(len(names))} on {platform}"
        for platform, names in platforms.items()
    ]
    return plain(f", with {_listed(groups)}")


def _steps_text(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
