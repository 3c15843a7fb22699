"""What samples are set beside: the workflows, the books, and the model over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from placement.books import PlatformBook, PriceBook
from placement.calibration.calibration import Calibration
from placement.calibration.samples import Sample
from placement.load import Load, Needs, needs
from placement.model import Model
from placement.situation import Situation
from placement.workflow import Step, Workflow


@dataclass(frozen=True, slots=True)
class Known:
    """What a fit rests on besides samples: the workflows by name, and the books."""

    workflows: Mapping[str, Workflow]
    prices: PriceBook
    platforms: PlatformBook

    def step(self, sample: Sample) -> Step:
        """Return the step that a sample is of."""
        return self.workflows[sample.workflow].step(sample.step)

    def needs(self, sample: Sample) -> Needs:
        """Return what the step's profile and the book say of its tasks."""
        return needs(self.step(sample), self.platforms)

    def load(self, sample: Sample) -> Load:
        """Return what the sample had to do."""
        return sample.work.load(self.needs(sample))

    def model(self, sample: Sample, calibration: Calibration | None = None) -> Model:
        """Return the model of the sample's deployment."""
        situation = Situation({}, (), sample.lambda_concurrency)
        return Model(situation, self.prices, self.platforms, calibration, sample.workflow)

    def seconds(self, sample: Sample, calibration: Calibration | None = None) -> float:
        """Return the estimate of what the sample measured; by the book without a calibration."""
        model = self.model(sample, calibration)
        return model.estimate(
            self.step(sample), self.load(sample), sample.platform, sample.size
        ).seconds


def size_name(sample: Sample) -> str:
    """Return what a sample's size is called in a scope."""
    return str(sample.size["memory_mb" if sample.platform == "lambda" else "instance_type"])
