"""`visionport benchmark`."""

import sys
from pathlib import Path

import click

from visionport.benchmarking.defaults import RUNS, SECONDS
from visionport.commands.common import DISAGREES, DONE, Command, allow_unsafe_ops, console_of, quiet, stages, verbose


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport benchmark exported
  visionport benchmark exported --batch 8 --into-report
  visionport benchmark exported saved_model detect.tflite --json times.json""",
)
@click.argument("artifacts", type=Path, nargs=-1, required=True)
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to call with; repeatable. Default: a bundled one."
)
@click.option("--threads", type=int, help="Of the runtime. Default: as many as there are cores.")
@click.option("--batch", type=int, default=1, show_default=True, help="Measure batches of so many pictures too.")
@click.option("--runs", type=int, default=RUNS, show_default=True, help="At least so many calls.")
@click.option("--seconds", type=float, default=SECONDS, show_default=True, help="For at least so long.")
@click.option("--evaluate", type=Path, help="Labelled pictures, a TFRecord: how good each artifact is.")
@allow_unsafe_ops
@click.option("--json", "target", type=Path, metavar="FILE", help="Write all figures there, for programs.")
@click.option("--overwrite", is_flag=True, help="Write FILE even where there is one.")
@click.option("--into-report", is_flag=True, help="Show the figures in the export's report.html.")
@quiet
@verbose
def benchmark(artifacts, target, overwrite, into_report, quiet, verbose, **asked):
    """Load and call artifacts, each in a fresh process: what do they cost to use?

    ARTIFACTS are export directories, of which each artifact is measured, and SavedModels, frozen graphs and TFLite
    files of any maker. The exit status is 1 where one of them could not be measured; its row says why.
    """
    from visionport.benchmarking import benchmark as benchmarking
    from visionport.benchmarking.table import table
    from visionport.report.benchmark import check_reports, write_into_reports
    from visionport.staging import check_file, write_file

    read = [*artifacts, *asked["images"], *filter(None, [asked["evaluate"]])]
    if target:
        check_file(target, overwrite=overwrite, inputs=read, option="--json")
    if into_report:
        check_reports(artifacts)
    progress = stages(quiet=quiet, verbose=verbose, lasting=verbose)
    found = benchmarking.benchmark(artifacts, progress=progress, **asked)
    if target:
        write_file(target, [found.text().encode()], overwrite=overwrite, inputs=read, option="--json")
    written = write_into_reports(found, artifacts) if into_report else []
    if not quiet:
        console = console_of(sys.stdout)
        console.print(table(found), crop=False)
        for path in [*([target] if target else []), *written]:
            click.echo(f"{path} is written.")
    sys.exit(DISAGREES if found.failed else DONE)
