"""Unit tests open no socket; moto answers boto3 before one would be opened."""

from pytest_socket import disable_socket


def pytest_runtest_setup() -> None:
    disable_socket()
