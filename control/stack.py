"""What a function of the control plane works with: clients, bucket, table."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.settings import Settings, from_environment
from runtime.store import Store


@dataclass(frozen=True)
class Stack:
    """One deployed stack, as its functions see it."""

    settings: Settings
    aws: Aws
    store: Store
    ledger: Ledger

    @staticmethod
    def of(settings: Settings, aws: Aws | None = None) -> Stack:
        """Return the stack that the settings name."""
        aws = aws or Aws()
        return Stack(settings, aws, Store(aws, settings.bucket), Ledger(aws, settings.table))

    @staticmethod
    def here() -> Stack:
        """Return the stack that this process's environment names."""
        return Stack.of(from_environment())
