"""The `trivium` command."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
)

from control.stack import Stack
from placement.errors import UserError
from reporting.comparing.comparison_file import comparison_csv
from reporting.comparing.from_report import outcome_of_report
from reporting.live import follow
from reporting.terminal import placement_table
from runtime.keys import RunKeys, StepKeys
from trivium import bill, calibrating, cluster, planning, prices, probing
from trivium import demo as demonstration
from trivium.console import AsJson, out, print_json, say, talk
from trivium.local import stack as local
from trivium.reports import read_report
from trivium.target import StackName, Target
from trivium.upload import upload
from trivium.watching import Watch
from trivium.writing import check_outputs, write_text

# How services say that somebody may not do this; an answer to HEAD has no words but the status.
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
UNREACHABLE = (ConnectTimeoutError, EndpointConnectionError, HTTPClientError, NoCredentialsError)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Places every step of a scientific workflow on Lambda, Ray or MPI, and accounts for it.",
)

app.command()(planning.plan)
app.command()(planning.pareto)
app.command()(planning.compare)
app.command()(probing.probe)
app.command()(bill.bill)
app.command()(calibrating.calibrate)
app.add_typer(prices.app, name="prices")
app.add_typer(cluster.app, name="cluster")


@app.command()
def up() -> None:
    """Start the local stack."""
    stack = local.up(say)
    say(f"upload to s3://{stack.outputs['Bucket']}/raw/<workflow>/ or use `trivium run`")
    talk.print(
        f"export AWS_ENDPOINT_URL={stack.endpoint} AWS_DEFAULT_REGION=us-east-1", style="dim"
    )
    talk.print("export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local", style="dim")


@app.command()
def down() -> None:
    """Stop the local stack."""
    stopped = local.down()
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was up")


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="The files of one sample.")],
    workflow: Annotated[str, typer.Option(help="The workflow to run.")] = "read-clustering",
    policy: Annotated[str, typer.Option(help="trivium, all-lambda, all-ray, all-hpc")] = "trivium",
    objective: Annotated[str | None, typer.Option(help="cost or time")] = None,
    deadline: Annotated[float | None, typer.Option(help="Seconds the run may take.")] = None,
    place: Annotated[
        list[str] | None, typer.Option(help="STEP=PLATFORM: place a step by hand.")
    ] = None,
    stack: StackName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Upload files, watch the run that they start, and print its report."""
    target = Target.choose(stack)
    options = run_options(policy, objective, deadline, place or [])
    name = upload(target, workflow, files, options)
    say(f"run {name}")
    succeeded = watch_run(target.stack, name)
    show_report(target.stack, name, as_json=as_json)
    if not succeeded:
        raise typer.Exit(1)


def run_options(
    policy: str, objective: str | None, deadline: float | None, place: list[str]
) -> dict[str, Any]:
    """Return the manifest's options.

    Raises:
        UserError: a placement is not STEP=PLATFORM.

    """
    options: dict[str, Any] = {"policy": policy}
    if objective is not None:
        options["objective"] = objective
    if deadline is not None:
        options["deadline_s"] = deadline
    for text in place:
        step, equals, platform = text.partition("=")
        if not equals or not step or not platform:
            raise UserError(f"--place takes STEP=PLATFORM, not {text!r}.")
        options.setdefault("place", {})[step] = platform
    return options


def watch_run(stack: Stack, name: str) -> bool:
    """Show a run until it has ended; return whether it succeeded."""
    watch = Watch(stack, name)
    with follow(talk) as show:
        for steps in watch.follow():
            show(steps)
    item = watch.item()
    if item["status"] != "succeeded":
        talk.print(f"The run failed: {item['reason']}", style="bold red", markup=False)
    return bool(item["status"] == "succeeded")


@app.command()
def watch(name: str, stack: StackName = None) -> None:
    """Follow a run; leave with Ctrl-C and come back at any time."""
    found = Target.choose(stack).stack
    Watch(found, name).item()  # a name that nobody knows is told at once, not waited for
    if not watch_run(found, name):
        raise typer.Exit(1)


@app.command()
def runs(
    stack: StackName = None,
    newest: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    ledger = Target.choose(stack).stack.ledger
    listed = ledger.query("runs", newest=newest)
    rows = [ledger.get(f"run#{one['run']}", "run") or one for one in listed]
    fields = ("run", "kind", "workflow", "status", "upload", "reason")
    picked = [{name: ({"kind": "run"} | row).get(name) for name in fields} for row in rows]
    if as_json:
        out.print_json(json.dumps(picked))
        return
    for row in picked:
        line = f"{row['run']:<36} {row['kind']:<5} {row['status']:<10} {row['upload']}"
        reason = f"  {row['reason']}" if row["reason"] else ""
        out.print(line + reason, markup=False, soft_wrap=True)


def show_report(stack: Stack, name: str, *, as_json: bool) -> None:
    """Print a run's report; a run that was refused has none."""
    if stack.store.find(RunKeys(name).report_json) is None:
        Watch(stack, name).item()
        return
    report, raw = read_report(stack, name)
    if as_json:
        print_json(raw)
    else:
        out.print(placement_table(report))


@app.command()
def report(
    name: str,
    stack: StackName = None,
    html: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every line of the account here.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a run's report."""
    check_outputs({"--html": html, "--csv": csv})
    target = Target.choose(stack)
    found, _ = read_report(target.stack, name)
    if csv is not None:
        write_text(csv, comparison_csv([outcome_of_report(found)]))
    if html is not None:
        target.stack.store.download(RunKeys(name).report_html, html)
        say(f"wrote {html}")
    show_report(target.stack, name, as_json=as_json)


@app.command()
def results(name: str, folder: Path, stack: StackName = None) -> None:
    """Bring the outputs of a run's last steps, and its report, into a folder."""
    target = Target.choose(stack)
    Watch(target.stack, name).item()
    for path in fetch_results(target.stack, name, folder):
        out.print(str(path), markup=False)


def fetch_results(stack: Stack, name: str, folder: Path) -> list[Path]:
    """Bring a run's results; return where they lie.

    Raises:
        UserError: the run has no report yet.

    """
    read_report(stack, name)
    keys = RunKeys(name)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(keys.report_json, "report.json"), (keys.report_html, "report.html")]
    for step in demonstration.last_steps(stack, name):
        output = stack.store.find(StepKeys(name, step).output) or {"shards": []}
        prefix = f"{StepKeys(name, step).root}/out/"
        wanted += [(key, f"{step}/{key.removeprefix(prefix)}") for key, _ in output["shards"]]
    paths = []
    for key, local_name in wanted:
        path = folder / local_name
        path.parent.mkdir(parents=True, exist_ok=True)
        stack.store.download(key, path)
        paths.append(path)
    return paths


@app.command()
def demo(
    reads: Annotated[
        list[Path] | None, typer.Argument(help="FASTQ files of one sample; without, the bundled.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where results go.")] = Path("out/demo"),
) -> None:
    """Run the main job end to end on a local stack of its own, and stop everything again."""
    files = [path.resolve() for path in reads or demonstration.bundled_reads()]
    for path in files:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
    with own_stack() as stack:
        target = Target.local(stack)
        name = upload(target, "read-clustering", files, {})
        say(f"uploaded {len(files)} files: run {name}")
        succeeded = watch_run(target.stack, name)
        show_report(target.stack, name, as_json=False)
        paths = fetch_results(target.stack, name, folder)
    say(f"results in {folder}/: {', '.join(str(path.relative_to(folder)) for path in paths)}")
    if not succeeded:
        raise typer.Exit(1)


@contextmanager
def own_stack() -> Iterator[local.LocalStack]:
    """Start a local stack beside any that is up, and stop it again however its use ends."""
    os.environ["TRIVIUM_LOCAL"] = str(local.root() / ".local-demo")
    local.down()
    try:
        yield local.up(say)
    finally:
        say(f"stopped {', '.join(local.down()) or 'nothing'}")


def main() -> None:
    """Run the command; exit with 0 for done, 1 for failed, 2 for misused."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def guarded(command: Callable[[], Any]) -> int:
    """Run a command; say a user's mistake in one sentence."""
    try:
        answer = command()
    except (UserError, ClientError, typer.TyperException, *UNREACHABLE) as error:
        sentence = _mistake(error)
        if sentence is None:
            raise
        talk.print(sentence, style="bold red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        talk.print("interrupted", style="bold")
        return 130
    except typer.Exit as error:
        return int(error.exit_code)
    except typer.Abort:
        return 130
    return answer if isinstance(answer, int) else 0


def _mistake(error: Exception) -> str | None:
    """Return what the user did wrong; None where it was not the user."""
    if isinstance(error, typer.TyperException):  # no such option, or one that takes other values
        return f"{error.format_message().replace('Value error, ', '').rstrip('.')}."
    if isinstance(error, UNREACHABLE):
        return (
            f"AWS cannot be reached: {str(error).rstrip('.')}. Start the local stack with "
            "`trivium up`, or look at your AWS configuration."
        )
    if not isinstance(error, ClientError):
        return str(error)
    if error.response["Error"]["Code"] not in DENIED:
        return None
    return (
        f"AWS refuses: {error}. The policy in the stack's output UserPolicyArn allows what this "
        "command does; attach it to your user or role."
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
