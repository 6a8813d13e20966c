"""The ``streamlearn`` command: parse, call, print, exit code. What a command does stands elsewhere.

Reports go to stdout (one JSON document under ``--json``), everything else to stderr.
"""

from __future__ import annotations

import gc
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from streamlearn import __version__
from streamlearn.commands.output import print_json
from streamlearn.errors import ExitCode, StreamlearnError

app = typer.Typer(
    name="streamlearn",
    help="The production daemon for online machine learning: Kafka in, models that keep learning.",
    epilog="Exit codes: " + ", ".join(f"{code.value} {code.name.lower()}" for code in ExitCode) + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
checkpoints = typer.Typer(help="Look at checkpoints.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(checkpoints, name="checkpoints")
dead_letters = typer.Typer(help="Look at rejected events.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dead_letters, name="dead-letters")

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The stream's TOML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override an option; repeatable.")
]
Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Only those rejected for this.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log debug lines too.")]
Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap-servers", metavar="HOST:PORT", help="A Kafka that runs already.")
]


class LogFormat(StrEnum):
    auto = "auto"
    console = "console"
    json = "json"


class WireFormat(StrEnum):
    json = "json"
    arrow = "arrow"


Logs = Annotated[LogFormat, typer.Option("--log-format", help="How log lines are written, on stderr.")]


def main() -> None:
    """Run the command; an operating error becomes one message on stderr and its exit code."""
    try:
        app()
    except StreamlearnError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command(epilog="Example: streamlearn init flights.toml --topic flights --label late")
def init(
    output: Annotated[Path, typer.Argument(metavar="CONFIG", help="The file to write.")],
    label: Annotated[str, typer.Option(help="Field that holds what is to be predicted.")],
    topic: Annotated[str | None, typer.Option(help="Topic to look at.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON lines to look at, and to learn from.")] = None,
    bootstrap_servers: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Write a first config, from a sample of the messages of a topic or a file."""
    from streamlearn.commands.init import InitOptions, init_stream
    from streamlearn.commands.produce import servers_or_default

    if (topic is None) == (file is None):
        raise typer.BadParameter("name exactly one of --topic and --file")
    done = init_stream(InitOptions(output, label, topic, file, servers_or_default(bootstrap_servers)))
    if as_json:
        print_json(done)
        return
    for field in done["fields"]:
        typer.echo(f"{field['name']}: {field['role']} ({field['why']})")
    typer.echo(f"{output} is written, for task {done['task']}; next: streamlearn check {output}")


@app.command(epilog="Example: streamlearn run flights.toml --until-end --set http.port=0 --json")
def run(
    config_path: ConfigPath,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Read to the ends as they stand at the start, then stop.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
    log_format: Logs = LogFormat.auto,
    verbose: Verbose = False,
) -> None:
    """Run the daemon: read, predict, judge, learn, checkpoint; until stopped, or to the end."""
    config = _load(config_path, overrides)
    _fix_hash_seed(config.stream.seed)
    gc.disable()  # until the daemon runs: what is imported stays, and looking through it takes half a second
    from streamlearn.commands.run import run_stream  # what is imported before is imported twice

    try:
        summary = run_stream(config, until_end=until_end, log_format=log_format.value, verbose=verbose)
        _report_summary(summary, as_json)
    finally:
        gc.freeze()  # it all goes with the process; to look through it first takes longer than that


@app.command(epilog="Example: streamlearn demo --events 50000 --rate 20000")
def demo(
    events: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many flights of the year.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Produce at most so many events a second.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="`kafka`, or `files`: the same belt without a broker.")
    ] = "kafka",
    bootstrap_servers: Bootstrap = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the live page; 0 takes a free one.")] = 9464,
    stay: Annotated[
        bool, typer.Option("--stay", help="When the flights are over, keep the live page up until Ctrl-C.")
    ] = False,
    delayed_labels: Annotated[
        bool,
        typer.Option(
            "--delayed-labels",
            help="Whether a flight was late comes when it has landed, on a topic of its own.",
        ),
    ] = False,
    show_config: Annotated[
        bool, typer.Option("--config", help="Print the demo's config, to start your own from, and exit.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """A year of real flights through a Kafka broker into models that learn as they go."""
    if show_config:
        from streamlearn.demo.run import config_text

        typer.echo(config_text(delayed_labels=delayed_labels), nl=False)
        return
    if source not in ("kafka", "files"):
        raise typer.BadParameter("is kafka or files", param_hint="--source")
    _fix_hash_seed(0)
    from streamlearn.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        events,
        rate,
        source == "files",
        bootstrap_servers,
        port,
        stay,
        quiet=as_json,
        verbose=verbose,
        delayed_labels=delayed_labels,
    )
    summary = run_demo(options)
    if as_json:
        print_json(summary)


@app.command(epilog="Example: streamlearn replay flights.toml --to-version 100000 --into rebuilt --json")
def replay(
    config_path: ConfigPath,
    shard: Annotated[
        str | None, typer.Option(help="Which shard, where there are several (partition scope).")
    ] = None,
    to_version: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Stop when N labelled events were learned; any earlier version."
        ),
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write a checkpoint of what was rebuilt there.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild a shard from its events and the order journal, and compare it with its newest checkpoint."""
    config = _load(config_path, overrides)
    _fix_hash_seed(config.stream.seed)
    from streamlearn.commands.replay import print_replayed
    from streamlearn.replay import ReplayOptions

    print_replayed(config, ReplayOptions(shard, to_version, into), as_json=as_json)


@app.command("compile", epilog="Example: streamlearn compile")
def compile_kernels(as_json: AsJson = False) -> None:
    """Compile the kernels of this version now; else the first start does, and takes up to a minute longer."""
    from streamlearn.commands import compile

    done = compile.compile_kernels()
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done['kernels']} kernels in {done['folder']}, after {done['seconds']} s")


@app.command(epilog="Example: streamlearn check flights.toml --connect")
def check(
    config_path: ConfigPath,
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask the broker too: topics, permissions, a sample of messages.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a config, and what it would run."""
    from streamlearn.commands.check import check_stream

    report = check_stream(_load(config_path, overrides), connect=connect)
    if as_json:
        print_json(report.as_json())
    else:
        report.print(Console())
    raise typer.Exit(report.exit_code)


@app.command(epilog="Example: streamlearn broker --port 9092 --data broker-data")
def broker(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where clients connect; free one by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Keep topics here; by default they end with the broker.")
    ] = None,
) -> None:
    """Run Apache Kafka on this machine, in the foreground; prints bootstrap_servers=HOST:PORT."""
    from streamlearn.connectors.local_broker import run_broker

    run_broker(port, data)


@app.command(epilog="Example: streamlearn produce events --file events.jsonl --partitions 4")
def produce(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Created where it does not exist.")],
    file: Annotated[Path | None, typer.Option(help="JSON lines, one message each; - reads stdin.")] = None,
    flights: Annotated[
        bool, typer.Option("--flights", help="The flights of the demo instead of a file.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="Field whose value is the message's key.")] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Of a topic that is created.")] = 4,
    events: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    rate: Annotated[float | None, typer.Option(min=1, help="At most so many a second.")] = None,
    bootstrap_servers: Bootstrap = None,
    arrow: Annotated[
        WireFormat, typer.Option("--format", help="One event a message, or a record batch of many.")
    ] = WireFormat.json,
    batch_events: Annotated[
        int, typer.Option(min=1, help="Events of one message, with --format arrow.")
    ] = 1000,
    as_json: AsJson = False,
) -> None:
    """Write events to a topic, from a file or the demo's flights."""
    from streamlearn.commands.produce import ProduceOptions, produce_events

    if flights == (file is not None):
        raise typer.BadParameter("name exactly one of --file and --flights")
    if key is not None and arrow is WireFormat.arrow:
        raise typer.BadParameter("a message of many events has no event's key: leave --key out")
    options = ProduceOptions(
        topic, file, key, partitions, events, rate, bootstrap_servers, arrow.value, batch_events
    )
    result = produce_events(options)
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result['events']} events to {topic} in {result['seconds']} s")


@checkpoints.command("ls", epilog="Example: streamlearn checkpoints ls checkpoints")
def checkpoints_ls(path: Annotated[str, typer.Argument(metavar="PATH")], as_json: AsJson = False) -> None:
    """List the checkpoints in a folder."""
    from streamlearn.commands.checkpoints import print_list

    print_list(path, as_json=as_json)


@checkpoints.command("show", epilog="Example: streamlearn checkpoints show checkpoints --json")
def checkpoints_show(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Checkpoint folder, a stream's folder, or one file.")
    ],
    stream: Annotated[str | None, typer.Option(help="Which stream, where the folder holds several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the newest checkpoints hold, with a digest of the learned state."""
    from streamlearn.commands.checkpoints import print_shown

    print_shown(path, stream, as_json=as_json)


@checkpoints.command(
    "export", epilog="Example: streamlearn checkpoints export checkpoints --river --output model.pickle"
)
def checkpoints_export(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Checkpoint folder, a stream's folder, or one file.")
    ],
    river: Annotated[
        bool, typer.Option("--river", help="As a pickled River object, which River itself goes on with.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Which model, where there are several.")] = None,
    shard: Annotated[str | None, typer.Option(help="Which shard, where there are several.")] = None,
    stream: Annotated[str | None, typer.Option(help="Which stream, where the folder holds several.")] = None,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("model.pickle"),
    as_json: AsJson = False,
) -> None:
    """Take a model out of a checkpoint: what the daemon learned, as an object for a notebook."""
    from streamlearn.commands.export import Wanted, export_river

    if not river:
        raise typer.BadParameter("name the form: --river")
    exported = export_river(path, Wanted(stream, shard, model), output)
    if as_json:
        print_json(exported)
    else:
        typer.echo(
            f"{exported['model']} of {exported['shard']}, {exported['events_learned']:,} learned: {output}"
        )


@checkpoints.command("verify", epilog="Example: streamlearn checkpoints verify checkpoints")
def checkpoints_verify(path: Annotated[str, typer.Argument(metavar="PATH")], as_json: AsJson = False) -> None:
    """Read every checkpoint whole; exit 4 when one does not verify."""
    from streamlearn.commands.checkpoints import print_verified

    if not print_verified(path, as_json=as_json):
        raise typer.Exit(ExitCode.CHECKPOINT)


@dead_letters.command("ls", epilog="Example: streamlearn dead-letters ls flights.toml")
def dead_letters_ls(
    config_path: ConfigPath, reason: Reason = None, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Say how many events were rejected for which reason, and show the newest of each."""
    from streamlearn.commands.dead_letters import print_letters

    print_letters(_load(config_path, overrides), reason, as_json=as_json)


@dead_letters.command(
    "resend", epilog="Example: streamlearn dead-letters resend flights.toml --reason wrong_type --dry-run"
)
def dead_letters_resend(
    config_path: ConfigPath,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and send nothing.")] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write rejected events to their topics again, once what was wrong with them is mended."""
    from streamlearn.commands.dead_letters import resend

    done = resend(_load(config_path, overrides), reason, dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    for topic, events in done["topics"].items():
        typer.echo(f"{events} events {'would go' if dry_run else 'went'} to {topic}")
    if not done["topics"]:
        typer.echo("no such dead letters")


def _load(path: Path, overrides: list[str] | None) -> Any:
    from streamlearn.config_file import load

    return load(path, overrides or ())


def _fix_hash_seed(seed: int) -> None:
    """Start this process again under the stream's own hash seed, unless it runs under it.

    River iterates over sets and Python's hashes decide their order, so without this the learned bits would
    depend on what the environment says (`replay_equals_run`).
    """
    if os.environ.get("PYTHONHASHSEED") != str(seed):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _report_summary(summary: dict[str, Any], as_json: bool) -> None:
    from streamlearn.commands.summary import print_summary

    if as_json:
        print_json(summary)
    else:
        print_summary(summary, Console())
