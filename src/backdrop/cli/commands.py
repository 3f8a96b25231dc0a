"""The commands: what they are given is read, the library does the work, and what it found is shown."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ..config import Analysis
    from ..run import Request

__all__ = ["app"]

_HELP = """
Data-driven background estimates: from a YAML configuration to a report.

A configuration names samples, regions, methods and channels; what is sealed in it is never read.

[bold]First steps[/bold]

  backdrop demo                             a full estimate on made-up events
  backdrop methods                          which methods there are, and when they fail
  backdrop generate zee                     events of a real generator, for who has no ntuples
  backdrop init analysis.yaml               a commented configuration, to be changed into your own
  backdrop check analysis.yaml              is the configuration right, is anything sealed read?
  backdrop run analysis.yaml --out results  the estimate, its closure, the fit, the report

[bold]Exit codes[/bold]  0 done, 2 configuration, 3 input, 4 blinding, 5 numerics, 6 stored results, 7 stopped or out of
resources: give the same command again to resume. Add --debug to any command for a traceback.
"""

_RUN = """
[bold]Examples[/bold]

  backdrop run analysis.yaml --out results
  backdrop run analysis.yaml --out results --jobs 8      the same numbers, sooner
  backdrop run analysis.yaml --out results --input data=other.root:events
  backdrop run analysis.yaml --out unblinded --unblind "approved on 3 May, all closures pass"

A run that was stopped is resumed by the same command. A folder of another configuration is refused, with what
changed, unless --overwrite is given.
"""

_CHECK = """
[bold]Example[/bold]

  backdrop check analysis.yaml

Nothing but the heads of files is read. The table says, for each region that a method or a closure reads, whether the
seals allow it.
"""

_GENERATE = """
[bold]Examples[/bold]

  backdrop generate --list                                     the cases, and how fast they are
  backdrop generate zee                                        10 000 events in zee.parquet
  backdrop generate ttbar --events 200000 --seed 7 --jobs 4 --out ttbar.parquet
  backdrop generate ttbar --yaml >> analysis.yaml              its regions, to start a configuration from

Pythia 8 events pass a parametric ATLAS-like detector and become the columns of an analysis. Multi-parton interactions
are off: --mpi turns them on, and takes ten to fifteen times as long. There is no pile-up, and all is leading order
with a parton shower. The same seed gives the same file, byte for byte, for any --jobs; a command that was stopped
goes on when it is given again. Needs pip install 'backdrop\\[generate]'.
"""

_EXPORT = """
[bold]Examples[/bold]

  backdrop export results                                 yields and variations as ROOT histograms
  backdrop export results --format combine --out cards    a datacard and its histograms for each method
  backdrop export results --format pyhf --method abcd     a workspace and its patch set

A sealed channel holds its expected background in place of data, and the files say so.
"""

_WIDTH = 120

app = typer.Typer(
    help=_HELP,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Executor(StrEnum):
    """Where tasks run."""

    local = "local"


class Format(StrEnum):
    """What `export` writes."""

    root = "root"
    csv = "csv"
    pyhf = "pyhf"
    cabinetry = "cabinetry"
    trexfitter = "trexfitter"
    combine = "combine"


Configuration = Annotated[Path, typer.Argument(help="The YAML configuration.", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="The folder of a finished run.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder for everything that is written.", show_default=False)]
Jobs = Annotated[int, typer.Option(min=1, help="Processes. The numbers do not depend on it.")]
Seed = Annotated[int | None, typer.Option(min=0, help="In place of the configuration's seed.", show_default=False)]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="SAMPLE=FILES", help="Other files for a sample; may be repeated.", show_default=False
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run of another configuration in --out.")]


def _version(asked: bool) -> None:
    if asked:
        from ..version import __version__

        _console().print(f"backdrop {__version__}", highlight=False)
        raise typer.Exit


def _inputs(given: list[str] | None) -> dict[str, str]:
    """Return files by sample from SAMPLE=FILES texts."""
    from ..errors import ConfigError

    wrong = [one for one in given or () if "=" not in one]
    if wrong:
        raise ConfigError(f"--input {wrong[0]}: write SAMPLE=FILES, such as --input data=events.root:tree")
    return dict(one.split("=", 1) for one in given or ())


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Accept what may stand before a command."""


@app.command(epilog=_RUN)
def run(
    configuration: Configuration,
    out: Out,
    seed: Seed = None,
    jobs: Jobs = 1,
    unblind: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Read sealed rows, for this reason. Logged for good.", show_default=False),
    ] = None,
    unblind_region: Annotated[
        list[str] | None, typer.Option(help="Unblind this sealed region only; may be repeated.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
    inputs: Inputs = None,
    executor: Annotated[Executor, typer.Option(help="Where tasks run.")] = Executor.local,
) -> None:
    """Estimate, compare, fit and report what a configuration asks for."""
    from ..config import load
    from ..run import Request

    request = Request(out, jobs, unblind, tuple(unblind_region or ()), overwrite, ("backdrop", *sys.argv[1:]))
    _perform(load(configuration, seed=seed, inputs=_inputs(inputs)), request)


@app.command()
def init(
    configuration: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path("analysis.yaml"),
) -> None:
    """Write a commented configuration to start from; a file that exists is left alone."""
    from ..config import start

    written = start(configuration)
    _console().print(f"wrote {written}: change its file names, columns and regions, then\n", highlight=False)
    for command in (f"backdrop check {written}", f"backdrop run {written} --out results"):
        print(f"  {command}")
    print("\nFor completion and checks of the keys in an editor, in the same folder:\n")
    print("  backdrop schema > backdrop.schema.json")


def _demos() -> list[str]:
    from ..demos import demos

    return list(demos())


def _methods() -> list[str]:
    from ..methods import METHODS

    return list(METHODS)


@app.command()
def demo(
    name: Annotated[str, typer.Argument(help="Which demonstration.", autocompletion=_demos)] = "abcd",
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything that is written.", show_default="demo-NAME")
    ] = None,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the demonstrations and stop.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the configuration, to start your own from, and stop.")
    ] = False,
) -> None:
    """Run a full estimate on made-up events, from data to report."""
    from ..config import load
    from ..demos import demo as found
    from ..demos import demos
    from ..run import Request
    from ..run.state import state_of

    if show_list:
        for each, file in demos().items():
            print(f"{each:<16} {load(file).configuration.title}")
        return
    if show:
        print(found(name).read_text(), end="")
        return
    home = out or Path(f"demo-{name}")
    analysis = load(found(name))
    before = state_of(home)
    own = before is not None and before.name == analysis.name
    _perform(analysis, Request(home, jobs, overwrite=overwrite or own, command=("backdrop", *sys.argv[1:])))


@app.command(epilog=_GENERATE)
def generate(
    case: Annotated[str | None, typer.Argument(help="Which case; --list shows them.", show_default=False)] = None,
    events: Annotated[int, typer.Option(min=1, help="Selected events; lepton cases have a row per lepton.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random streams.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes. The file does not depend on it.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The Parquet file.", show_default="CASE.parquet")] = None,
    mpi: Annotated[bool, typer.Option("--mpi", help="With multi-parton interactions: 10 to 15 times slower.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of the same name.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the cases and stop.")] = False,
    show_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the case's regions, roles and derived columns as YAML, and stop.")
    ] = False,
) -> None:
    """Make real physics: events of Pythia 8 in a parametric detector, as the columns of an analysis."""
    from ..errors import ConfigError
    from ..generate import CASES, fragment
    from ..generate import generate as made
    from . import tables

    console = _console()
    if show_list:
        console.print(tables.cases(CASES))
        return
    if case is None:
        raise ConfigError(f"which case? 'backdrop generate --list' explains them: {', '.join(CASES)}")
    if show_yaml:
        print(fragment(case), end="")
        return
    place = out or Path(f"{case}.parquet")
    done = made(case, events=events, seed=seed, jobs=jobs, out=place, mpi=mpi, overwrite=overwrite)
    for line in tables.generated(done):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command(epilog=_CHECK)
def check(configuration: Configuration, inputs: Inputs = None) -> None:
    """Check a configuration and its inputs, and which regions are sealed, without reading a row."""
    from ..config import load
    from ..run.overlaps import overlaps, refuse_sealed
    from ..run.samples import read
    from . import tables

    analysis = load(configuration, inputs=_inputs(inputs))
    samples = read(analysis, lazy=True)
    found = list(overlaps(analysis))
    console = _console()
    console.print(tables.overlaps(found))
    for name, files in samples.files.items():
        console.print(f"{name}: {len(files)} file{'s' * (len(files) != 1)}", markup=False, highlight=False)
    for warning in samples.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    refuse_sealed(found)
    console.print(f"{configuration} is fine: fingerprint {analysis.fingerprint[:12]}", markup=False, highlight=False)


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(help="One method, in full.", show_default=False, autocompletion=_methods)
    ] = None,
) -> None:
    """List the methods, or tell what one assumes, when it fails and what its settings are."""
    from ..errors import ConfigError, nearest
    from ..methods import METHODS
    from . import tables

    console = _console()
    if name is None:
        console.print(tables.methods(METHODS))
        return
    if name not in METHODS:
        raise ConfigError(f"no method '{name}'{nearest(name, METHODS)}; methods: {', '.join(METHODS)}")
    tables.show_method(console, METHODS[name])


@app.command()
def report(folder: Folder) -> None:
    """Render the report of a finished run again."""
    from ..run.again import report_again

    _console().print(f"report: {report_again(folder)}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog=_EXPORT)
def export(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="FOLDER/export")] = None,
    kind: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.root,
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="This method only; may be repeated.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same name.")] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Write zero and negative bins (root, csv) as they are, and say which.")
    ] = False,
) -> None:
    """Write the estimates (root, csv) or workspaces (the others) of a finished run for other programs."""
    from ..run.export import export

    for file in export(folder, out or folder / "export", kind.value, methods or (), overwrite=overwrite, as_is=as_is):
        print(file)


@app.command()
def schema() -> None:
    """Print the JSON schema of configurations, for an editor's completion."""
    import json

    from ..config import Configuration as Model

    print(json.dumps(Model.model_json_schema(), indent=1))


def _perform(analysis: Analysis, request: Request) -> None:
    from ..run import perform
    from . import tables

    done = perform(analysis, request)
    console = _console()
    console.print(tables.yields(done.outcome))
    if any(done.outcome.closures.values()):
        console.print(tables.closures(done.outcome))
    if done.outcome.fits:
        console.print(tables.fits(done.outcome))
    if done.outcome.rankings:
        console.print(tables.rankings(done.outcome))
    if done.outcome.pulls:
        console.print(tables.pulls(done.outcome))
    for warning in done.results.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    console.print(f"report: {done.report}", markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console
