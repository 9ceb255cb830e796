"""`python docs/experiments COMMAND`: measure one subject again, or write the pages."""

from __future__ import annotations

import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
# In place of this folder, whose modules would hide packages of the same names.
sys.path[:1] = [str(ROOT / "docs"), str(ROOT / "tests" / "support")]

from distill.cli.groups import Commands  # noqa: E402
from experiments import (  # noqa: E402
    abstain,
    baselines,
    campaign,
    chain_time,
    cluster,
    cores,
    licences,
    near_duplicates,
    noisy_answers,
    ocr,
    pages,
    reliability,
    rivals,
    searches,
    selection,
    serve,
    site,
    start,
    static,
    students,
    teachers,
    thresholds,
    training_ways,
    web,
)
from experiments.results import PATH, RESULTS  # noqa: E402

SECTIONS = {
    "Measure, into docs/results": (
        *(
            baselines.collect,
            rivals.collect,
            noisy_answers.measure,
            static.collect,
            teachers.judge_comparisons,
            teachers.collect_variants,
            teachers.measure_epochs,
            thresholds.measure,
            students.collect,
            students.collect_verdicts,
            students.collect_starts,
            searches.collect,
            selection.measure,
            abstain.measure,
            training_ways.measure,
            chain_time.measure,
        ),
        *(
            ocr.measure,
            cluster.measure,
            cores.measure,
            start.measure,
            serve.measure,
            web.measure,
            reliability.measure,
        ),
        campaign.measure,
    ),
    "Look": (near_duplicates.sheets,),
    "Write": (pages.pages, site.site, licences.licences, web.screenshot),
}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--results", default=RESULTS, type=PATH, show_default="docs/results", help="Folder for the JSON files."
)
@click.pass_context
def main(context: click.Context, results: Path) -> None:
    """Measure what README.md and the pages of docs publish.

    \b
    python docs/experiments ocr --data memes/ --bundle runs/bundle    # measures, writes docs/results/ocr.json
    python docs/experiments pages                                     # puts docs/results into the pages
    """
    context.obj = results


main.add_sections(SECTIONS)

if __name__ == "__main__":
    main(prog_name="python docs/experiments")
