"""Every name that Trivium gives to an object, an item or a job: all follow from run, step and task.

A side effect with a deterministic name can be looked up before it is repeated, and a repeated
task overwrites its own result and nothing else.
"""

import hashlib
from dataclasses import dataclass

UPLOAD_PREFIX = "raw/"
CALIBRATION_KEY = "calibration/current.json"
MANIFEST_NAMES = ("manifest.json", "samplesheet.csv")


def run_id(workflow: str, bucket: str, key: str, version: str) -> str:
    """Return the run's name, the same for every delivery of the same upload event."""
    digest = hashlib.sha256(f"{bucket}\0{key}\0{version}".encode()).hexdigest()
    return f"{workflow}-{digest[:12]}"


def upload_workflow(key: str) -> str | None:
    """Return the workflow's name from `raw/<workflow>/<file...>`, or None for any other key."""
    parts = key.split("/")
    if len(parts) < 3 or f"{parts[0]}/" != UPLOAD_PREFIX or not all(parts[1:]):  # noqa: PLR2004
        return None
    return parts[1]


def step_execution_name(run: str, step: str) -> str:
    """Return the name of a step's execution: at most 80 characters, as Step Functions asks."""
    return f"{run}-{step}"


def job_name(run: str, step: str, attempt: int, part: int) -> str:
    """Return the name under which Ray and Slurm know one part of one attempt."""
    return f"{run}-{step}-a{attempt}-p{part}"


@dataclass(frozen=True)
class RunKeys:
    """S3 keys of one run."""

    run: str

    @property
    def root(self) -> str:
        """Return the prefix under which everything of the run lies."""
        return f"runs/{self.run}"

    @property
    def plan(self) -> str:
        """Return the key of the plan."""
        return f"{self.root}/plan.json"

    @property
    def report_json(self) -> str:
        """Return the key of the report as data."""
        return f"{self.root}/report.json"

    @property
    def report_html(self) -> str:
        """Return the key of the report as a page."""
        return f"{self.root}/report.html"


@dataclass(frozen=True)
class StepKeys:
    """S3 keys of one step of one run."""

    run: str
    step: str

    @property
    def root(self) -> str:
        """Return the prefix under which everything of the step lies."""
        return f"{RunKeys(self.run).root}/steps/{self.step}"

    @property
    def tasks(self) -> str:
        """Return the key of the tasks, one JSON line each."""
        return f"{self.root}/tasks.jsonl"

    @property
    def shared(self) -> str:
        """Return the key of the list of inputs that every task gets whole."""
        return f"{self.root}/shared.json"

    @property
    def output(self) -> str:
        """Return the key of the list of the step's output shards, written when it is settled."""
        return f"{self.root}/output.json"

    @property
    def results(self) -> str:
        """Return the prefix of the results of all batches of all attempts."""
        return f"{self.root}/results/"

    @property
    def calls(self) -> str:
        """Return the prefix of the records of all calls: one per Lambda invocation or worker."""
        return f"{self.root}/calls/"

    def task_output(self, task: int) -> str:
        """Return the key (a file) or the prefix (a directory) of one task's output."""
        return f"{self.root}/out/{task:06d}"

    def part(self, attempt: int, part: int) -> str:
        """Return the key of the description of one part of one attempt."""
        return f"{self.root}/a{attempt}/p{part}.json"

    def batches(self, attempt: int, part: int) -> str:
        """Return the key of the batches of one part."""
        return f"{self.root}/a{attempt}/p{part}.batches.json"

    def exit_record(self, attempt: int, part: int) -> str:
        """Return the key of what a job leaves behind when it ends by itself."""
        return f"{self.root}/a{attempt}/p{part}.exit.json"

    def elements(self, attempt: int, part: int) -> str:
        """Return the prefix of what the elements of a job array leave behind."""
        return f"{self.root}/a{attempt}/p{part}.elements/"

    def element(self, attempt: int, part: int, index: int) -> str:
        """Return the key of what one element of a job array leaves behind."""
        return f"{self.elements(attempt, part)}{index:06d}.json"

    def result(self, attempt: int, part: int, batch: int) -> str:
        """Return the key of one batch's results."""
        return f"{self.results}a{attempt}-p{part}-b{batch:06d}.json"

    def call(self, attempt: int, part: int, batch: int, call: str) -> str:
        """Return the key of the record of one call."""
        return f"{self.calls}a{attempt}-p{part}-b{batch:06d}-{call}.json"
