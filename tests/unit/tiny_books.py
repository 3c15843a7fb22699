"""Books with round figures, so that every time and sum can be followed on paper."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from placement.books import BookStamp, Figure, InstanceType, PlatformBook, PriceBook

FIGURES = {
    "run_start_s": 1,
    "run_end_s": 1,
    "state_gap_s": 0.1,
    "trace_core_speed": 1,
    "trace_memory_mb": 100,
    "trace_cores": 1,
    "instance_core_speed": 2,
    "lambda_core_speed": 1,
    "lambda_mb_per_vcpu": 1024,
    "lambda_max_vcpus": 2,
    "lambda_init_s": 0.5,
    "lambda_timeout_s": 100,
    "lambda_tmp_mb": 1024,
    "lambda_concurrency": 2,
    "lambda_scale_per_10_s": 2,
    "lambda_burst_mb": 5,
    "lambda_burst_mb_per_s": 100,
    "lambda_transfer_mb_per_s": 10,
    "s3_get_s": 0.01,
    "s3_put_s": 0.02,
    "s3_requests_at_once": 2,
    "s3_part_mb": 5,
    "s3_thread_mb_per_s": 50,
    "ec2_boot_s": 12,
    "ray_setup_s": 8,
    "hpc_launch_s": 30,
    "ray_task_start_s": 0.1,
    "hpc_task_start_s": 0.2,
    "node_reserved_mb": 24,
    "node_image_gb": 10,
    "fsx_gb": 100,
    "transitions_per_run": 7,
    "transitions_per_step": 5,
    "transitions_per_part": 2,
    "transitions_per_lambda_batch": 2,
    "control_calls_per_run": 3,
    "control_calls_per_step": 3,
    "control_memory_mb": 1024,
    "control_call_s": 0.2,
    "ledger_writes_per_run": 6,
    "ledger_writes_per_step": 8,
    "ledger_reads_per_step": 8,
    "events_per_run": 1,
    "sqs_requests_per_job": 3,
}
PRICES = {
    "lambda_x86_gb_s": 0.001,
    "lambda_arm_gb_s": 0.0005,
    "lambda_request": 0.0002,
    "lambda_storage_gb_s": 0.0001,
    "state_transition": 0.001,
    "s3_put": 0.0005,
    "s3_get": 0.0003,
    "sqs_request": 0.0004,
    "dynamodb_write": 0.0001,
    "dynamodb_read": 0.00005,
    "eventbridge_event": 0.0007,
    "ebs_gp3_gb_month": 0.01,
    "fsx_scratch2_gb_month": 0.02,
    "month_s": 1000,
    "instance_minimum_s": 60,
}


def books() -> tuple[dict[str, Any], dict[str, Any]]:
    platforms = {
        "figures": {name: {"value": value} for name, value in FIGURES.items()},
        "lambda_sizes": {"x86_64": [512, 4096], "arm64": [512]},
        "ray_types": ["n2"],
        "hpc_types": ["h4"],
        "hpc_head_type": "n2",
        "instances": {
            "types": {"n2": [2, 1, 0.32, False, "x86_64"], "h4": [4, 8, 0.8, True, "x86_64"]}
        },
    }
    prices = {
        "figures": {name: {"value": value} for name, value in PRICES.items()},
        "instances": {"usd_per_hour": {"n2": 3.6, "h4": 7.2}},
    }
    return platforms, prices


def book_classes() -> tuple[PriceBook, PlatformBook]:
    """The same figures as the planner knows them."""
    platforms, prices = books()
    stamp = BookStamp("tiny", "2026-01-01", "nowhere")
    return (
        PriceBook(stamp, _figures(PRICES), _figures(prices["instances"]["usd_per_hour"])),
        PlatformBook(
            stamp=stamp,
            figures=_figures(FIGURES),
            profile_defaults={},
            lambda_memory_mb=(512,),
            instances={
                name: InstanceType(name, *has)
                for name, has in platforms["instances"]["types"].items()
            },
            lambda_sizes={arch: tuple(sizes) for arch, sizes in platforms["lambda_sizes"].items()},
            ray_types=tuple(platforms["ray_types"]),
            hpc_types=tuple(platforms["hpc_types"]),
            hpc_head_type=platforms["hpc_head_type"],
        ),
    )


def _figures(values: dict[str, float]) -> dict[str, Figure]:
    return {
        name: Figure(Decimal(str(value)), "", "made up", "2026-01-01")
        for name, value in values.items()
    }
