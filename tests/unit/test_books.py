"""The books: every figure has its source, and a missing one is named."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest

from placement.books import (
    PLATFORMS_FILE,
    PRICES_FILE,
    Figure,
    default_books,
    load_platform_book,
    load_price_book,
)
from placement.errors import UserError

PRICES, PLATFORMS = default_books()
PRICES_TEXT = PRICES_FILE.read_text(encoding="utf-8")
PLATFORMS_TEXT = PLATFORMS_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "figures", [PRICES.figures, PRICES.instances, PLATFORMS.figures, PLATFORMS.profile_defaults]
)
def test_every_figure_has_a_unit_a_source_and_a_date_or_is_a_labelled_assumption(
    figures: Mapping[str, Figure],
) -> None:
    for name, figure in figures.items():
        assert figure.unit, name
        assert figure.source, name
        assert figure.assumed or re.fullmatch(r"20\d\d(-\d\d){0,2}", figure.date), name


def test_every_profile_default_is_labelled_as_assumed() -> None:
    assert all(figure.assumed for figure in PLATFORMS.profile_defaults.values())


def test_every_priced_instance_type_is_described_and_the_other_way_round() -> None:
    assert set(PRICES.instances) == set(PLATFORMS.instances)


def test_what_a_plan_may_choose_from_is_described_and_priced() -> None:
    offered = {*PLATFORMS.ray_types, *PLATFORMS.hpc_types, PLATFORMS.hpc_head_type}
    assert offered <= set(PLATFORMS.instances)
    assert offered <= set(PRICES.instances)
    assert {PLATFORMS.instance(name).arch for name in PLATFORMS.ray_types} == {"x86_64", "arm64"}


def test_the_types_of_the_mpi_queue_have_efa_and_burstable_types_are_not_offered() -> None:
    assert all(PLATFORMS.instance(name).efa for name in PLATFORMS.hpc_types)
    assert not any(name.startswith("t") for name in PLATFORMS.ray_types)


def test_a_larger_type_of_a_family_has_more_and_costs_more() -> None:
    for name, kind in PLATFORMS.instances.items():
        if name.startswith("hpc7g"):
            continue  # its sizes differ in the vCPUs that are switched on, at one price
        for other_name, other in PLATFORMS.instances.items():
            if name.split(".")[0] == other_name.split(".")[0] and kind.vcpu < other.vcpu:
                assert kind.memory_gib < other.memory_gib, (name, other_name)
                assert kind.network_gbps <= other.network_gbps, (name, other_name)
                assert PRICES.instance_usd_per_hour(name) < PRICES.instance_usd_per_hour(other_name)


def test_lambda_comes_in_several_sizes_for_both_architectures() -> None:
    assert set(PLATFORMS.lambda_sizes) == {"x86_64", "arm64"}
    for sizes in PLATFORMS.lambda_sizes.values():
        assert sizes == tuple(sorted(set(sizes)))
    assert set(PLATFORMS.lambda_memory_mb) <= set(PLATFORMS.lambda_sizes["x86_64"])
    assert PRICES.lambda_usd_per_gb_s("x86_64") == Decimal("0.0000166667")
    assert PRICES.lambda_usd_per_gb_s("arm64") == Decimal("0.0000133334")


def test_prices_are_kept_to_the_digit() -> None:
    assert PRICES.usd("lambda_x86_gb_s") == Decimal("0.0000166667")
    assert PRICES.instance_usd_per_hour("c7i.large") == Decimal("0.08925")


def test_prices_that_are_older_than_the_others_say_so() -> None:
    assert PRICES.instances["c7i.large"].date == "2026-07-20"
    for name in ("c6a.large", "r7g.medium"):
        assert PRICES.instances[name].date == "2026-01-19"
        assert "031e72b6" in PRICES.instances[name].source


def test_the_books_say_which_they_are() -> None:
    assert (PRICES.stamp.name, PRICES.stamp.region) == ("prices-us-east-1", "us-east-1")
    assert PRICES.stamp.date
    assert PLATFORMS.stamp.date


@pytest.mark.parametrize(
    ("look_up", "words"),
    [
        (lambda: PRICES.usd("moon_gb"), 'has no price "moon_gb"'),
        (lambda: PRICES.instance_usd_per_hour("hpc7a.96xlarge"), 'price "hpc7a.96xlarge"'),
        (lambda: PRICES.rule("fortnight_s"), 'billing rule "fortnight_s"'),
        (lambda: PRICES.lambda_usd_per_gb_s("sparc"), 'no architecture "sparc"'),
        (lambda: PLATFORMS.value("ray_mood"), 'has no figure "ray_mood"'),
        (lambda: PLATFORMS.profile_default("luck"), 'profile default "luck"'),
        (lambda: PLATFORMS.instance("c99.large"), 'instance type "c99.large"'),
    ],
)
def test_a_missing_figure_is_an_error_that_names_it(
    look_up: Callable[[], object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        look_up()


@pytest.mark.parametrize(
    ("load", "text", "words"),
    [
        (
            load_price_book,
            PRICES_TEXT.replace("0.0000166667", "-1"),
            "line [12][0-9]: figures.lambda",
        ),
        (load_price_book, PRICES_TEXT.replace("region:", "regoin:"), "line 2: region: Field req"),
        (load_price_book, "[]", "line 1"),
        (
            load_price_book,
            PRICES_TEXT.replace("above: 15000000000", "above: 6000000000"),
            "line [0-9]+: the tiers of lambda_x86_gb_s do not rise",
        ),
        (load_price_book, PRICES_TEXT.replace("above: 6000000000,", "above: 0,"), "tiers.0.above"),
        (load_platform_book, PLATFORMS_TEXT.replace("c5.large: [2, ", "c5.large: ["), "c5.large"),
        (load_platform_book, PLATFORMS_TEXT.replace("unit: s,", "", 1), "unit: Field required"),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace("hpc_head_type: c6i", "hpc_head_type: c99"),
            'hpc_head_type names "c99.large", which instances: does not describe',
        ),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace("hpc_types: [", "hpc_types: [moon.large,"),
            'hpc_types names "moon.large", which instances: does not describe',
        ),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace("ray_types: [", "ray_types: [c5.large,"),
            'ray_types names "c5.large" twice',
        ),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace("arm64: [512", "arm64: [64"),
            "lambda_sizes.arm64.0: Input should be greater",
        ),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace("0.75, false, x86_64", "0.75, false, sparc", 1),
            "c5.large.4: Input should be 'x86_64' or 'arm64'",
        ),
        (
            load_platform_book,
            PLATFORMS_TEXT.replace(
                "instance_core_speed: {value: 1.0", "instance_core_speed: {value: 0"
            ),
            "figures.instance_core_speed is 0",
        ),
    ],
)
def test_a_broken_book_is_refused_with_its_line(
    load: Callable[[str, str], object], text: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load(text, "book.yaml")
