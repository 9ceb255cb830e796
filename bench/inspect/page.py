"""The page of an inspection: one HTML file that holds all it shows. Computes nothing.

No script, no font and no image comes from elsewhere, and none could: the page forbids it itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.inspect import curves, grid, plots, words
from bench.inspect.findings import Curve, Findings
from bench.inspect.grid import breakable
from bench.inspect.paint import GOLD, HIT, PREDICTED
from bench.report.page.html import Html, Line, details, table, tag
from bench.report.page.style import style_sheet
from bench.report.page.svg import drawing, inline
from bench.report.page.words import NONE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
RULES = """\
.many{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,10.5rem),1fr));gap:1rem .75rem;
margin:.75rem 0;padding:0;list-style:none;max-width:none}
.many h3{margin:0;font-size:.875rem;line-height:1.25;min-height:2.5em}
.many p{margin:0 0 .125rem}
.many .plot{max-width:13rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,16rem),1fr));gap:1.25rem;
margin:.75rem 0;padding:0;list-style:none;max-width:none}
.cards article{border-top:1px solid var(--grid);padding-top:.5rem;font-size:.875rem;line-height:1.35}
.cards img,.blank{display:block;width:100%;height:14rem;object-fit:contain;object-position:left;margin:0}
.cards h3{display:inline-block;margin:.375rem .5rem 0 0;font-size:.875rem;overflow-wrap:anywhere}
.cards p{margin:.25rem 0}
.cards h3+p{display:inline-block;margin:0}
.text summary{color:var(--ink)}
.verdicts{padding:0;margin:.25rem 0;list-style:none}
.verdicts li{display:grid;grid-template-columns:3.5rem minmax(0,1fr) auto;gap:.375rem}
.kind{font-weight:700}
.found{color:var(--HIT)}.missed{color:var(--GOLD)}.false{color:var(--PREDICTED)}
.p{font-variant-numeric:tabular-nums}
.plots th,.plots td{padding:.3rem .375rem}
"""


def to_html(found: Findings, thumbnails: Mapping[int, bytes]) -> str:
    """The page; `thumbnails` are JPEGs of the most wrong examples by their row."""
    title = f"{found.name} on {found.split}"
    parts = [_top(found, title), _decisions(found), _curves(found), _together(found)]
    parts += [_training(found), _calibration(found), _wrong(found, thumbnails), _origin(found)]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("title", f"Inspected: {title}"),
        tag("style", Html(style_sheet() + _rules())),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *parts)), lang='en')}\n"


def by_support(found: Findings) -> list[int]:
    """The labels' places, the most frequent first."""
    return sorted(range(len(found.confusion)), key=lambda i: -found.quality.labels[i].support)


def _rules() -> str:
    rules = RULES
    for word, colour in (("HIT", HIT), ("GOLD", GOLD), ("PREDICTED", PREDICTED)):
        rules = rules.replace(f"--{word}", f"--{colour.name}")
    return rules


def _top(found: Findings, title: str) -> Html:
    said = tag("ul", *(tag("li", text) for text in words.cautions(found)))
    note = tag("p", "Square brackets hold 95 % bootstrap intervals over examples.", class_="muted")
    return tag("header", tag("h1", title), tag("p", words.answer(found), class_="answer"), said, note)


def _figure(title: str, told: str, *parts: str) -> Html:
    return tag("figure", tag("h3", title), tag("figcaption", told), *parts)


def _decisions(found: Findings) -> Html:
    order = by_support(found)
    rows = [found.confusion[i] for i in order]
    says = "; ".join(f"{c.name}: {c.tp} found, {c.fn} missed, {c.fp} false" for c in rows)
    with drawing():
        plot = inline(plots.confusion(rows), "confusion", f"Decisions by label. {says}")
    told = (
        "The most frequent label on top. A whole bar is all that is gold or decided for the label: the longer its "
        "full first part, the better, however rare the label."
    )
    labels = found.quality.labels
    head = ["label", "TP", "FP", "FN", "TN", "precision", "recall", "F1"]
    lines = []
    for i in order:
        c, q = found.confusion[i], labels[i]
        counts = (str(c.tp), str(c.fp), str(c.fn), str(c.tn))
        lines.append(Line((c.name, *counts, f"{q.precision:.3f}", f"{q.recall:.3f}", f"{q.f1:.3f}")))
    counted = table(f"Decisions on {found.quality.examples} examples of {found.split}", head, lines)
    return tag(
        "section",
        tag("h2", "What it finds, misses and makes up"),
        tag("div", _figure("By label", told, plot), tag("div", counted), class_="plots"),
    )


def _curves(found: Findings) -> Html:
    order = by_support(found)
    ring = " The ring is where the cross-fitted decisions stand, which are the honest ones." * found.cross_fitted
    where = "fitted on these very examples" if found.cross_fitted else found.thresholds
    told = (
        "Precision (up) against recall (across) for every threshold that one could choose; the area is the "
        f"average precision, AP. The dot is the model's own threshold, {where}.{ring} Dashed: the precision of "
        "deciding the label for every example."
    )
    made = [tag("li", *_small(found.curves[i], f"pr{i}")) for i in order]
    head = ["label", "examples", "AP", "threshold", "precision there", "recall there"]
    head += ["cross-fitted precision", "recall"] if found.cross_fitted else []
    lines = []
    for i in order:
        c = found.curves[i]
        ap = NONE if c.average_precision is None else f"{c.average_precision:.3f}"
        cells = [c.name, str(c.support), ap, f"{c.threshold:.3f}"]
        for point in (c.at, c.honest) if found.cross_fitted else (c.at,):
            cells += [NONE, NONE] if point is None else [f"{point.precision:.3f}", f"{point.recall:.3f}"]
        lines.append(Line(tuple(cells)))
    parts = [tag("h2", "Precision and recall"), tag("p", told, class_="muted"), tag("ul", *made, class_="many")]
    parts.append(details("The figures", table("Thresholds and where they stand", head, lines)))
    return tag("section", *parts)


def _small(curve: Curve, name: str) -> tuple[Html, Html, Html]:
    figures = tag("p", curves.numbers(curve), class_="muted")
    return tag("h3", breakable(curve.name)), figures, curves.small(curve, name)


def _together(found: Findings) -> Html:
    order = by_support(found)
    names = [found.confusion[i].name for i in order]
    figures = []
    for title, counts, colour in (
        ("Gold", found.together.gold, GOLD),
        ("Decided", found.together.predicted, PREDICTED),
    ):
        ordered = [[counts[i][j] for j in order] for i in order]
        says = f"{title}: which labels come together, as a heat map; the counts are in the table below it"
        with drawing():
            plot = inline(plots.heat(ordered, names, colour), f"heat-{title.lower()}", says)
        told = (
            f"Of the examples with a row's label ({'in truth' if title == 'Gold' else 'as decided'}), how many "
            "also have the column's; numbers name the columns."
        )
        figures.append(_figure(title, told, plot))
    off = [tag("li", text) for text in words.off_pairs(found)]
    said = [tag("p", "Furthest apart, in examples:"), tag("ul", *off)] if off else []
    gold, decided = found.together.gold, found.together.predicted
    cells = [
        Line((f"{row + 1} {names[row]}", *(f"{gold[i][j]} / {decided[i][j]}" for j in order)))
        for row, i in enumerate(order)
    ]
    head = ["label", *(str(place) for place in range(1, len(order) + 1))]
    counts_table = details("The counts", table("Examples with both labels: gold / decided", head, cells))
    title = tag("h2", "Labels that come together")
    return tag("section", title, tag("div", *figures, class_="plots"), *said, counts_table)


def _training(found: Findings) -> Html:
    parts = [tag("h2", "Training"), tag("p", words.training(found))]
    log = found.training
    if log is not None:
        says = f"Training loss, dev loss and dev AP by epoch. {words.training(found)}"
        with drawing():
            plot = inline(plots.learning(log), "learning", says)
        lines = [
            Line(
                (
                    str(e.epoch),
                    f"{e.loss:.4g}",
                    f"{e.dev_loss:.4g}",
                    f"{e.dev_micro_ap:.3f}",
                    f"{e.dev_macro_ap:.3f}",
                ),
                e.epoch == log.best_epoch,
            )
            for e in log.epochs
        ]
        head = ["epoch", "training loss", "dev loss", "dev micro-AP", "dev macro-AP"]
        counted = table("By epoch; the kept one is emphasised", head, lines)
        told = "The training goes from left to right; the weights kept are those at the band."
        parts.append(tag("div", _figure("Learning curves", told, plot), tag("div", counted), class_="plots"))
    return tag("section", *parts)


def _calibration(found: Findings) -> Html:
    s = found.scaling
    says = (
        f"Reliability before and after temperature scaling: ECE {s.before.ece:.3f} before, {s.after.ece:.3f} "
        "after; the bins are in the table"
    )
    with drawing():
        plot = inline(plots.calibration(s), "calibration", says)
    told = (
        "On the dashed line, a label said to have a probability of 0.3 is right in 3 of 10 cases. Below "
        "it, probabilities are too high; above, too low. Small marks: fewer than 30 pairs."
    )
    head = ["", "probability", "pairs", "mean probability", "frequency"]
    lines = [
        Line((word, f"{b.low:.1f} – {b.high:.1f}", str(b.count), f"{b.mean_probability:.3f}", f"{b.frequency:.3f}"))
        for word, side in (("before", s.before), ("after", s.after))
        for b in side.bins
    ]
    counted = tag("div", table("Reliability over all pairs of example and label", head, lines))
    figure = _figure("Reliability", told, plot)
    title, said = tag("h2", "How far probabilities can be trusted"), tag("p", words.calibration(found))
    return tag("section", title, said, tag("div", figure, counted, class_="plots"))


def _wrong(found: Findings, thumbnails: Mapping[int, bytes]) -> Html:
    told = (
        "Most wrong: the largest binary cross-entropy between probabilities and truth, summed over all labels, in "
        "nats. Each label that is gold or decided, the costliest first, with its probability: found, missed (gold, "
        "not decided) or false (decided, not gold). Before blaming the model, look whether the truth is right."
    )
    parts = [tag("h2", f"The {len(found.wrong)} most wrong examples"), tag("p", told, class_="muted")]
    return tag("section", *parts, grid.cards(found.wrong, thumbnails))


def _origin(found: Findings) -> Html:
    said = (
        f"Made by distill {found.distill}. Examples: {found.quality.examples} of {found.split}, SHA-256 "
        f"{found.examples_sha256}. The figures stand in inspect.json beside this page. The page holds images and "
        "texts of the dataset: give it to nobody who may not see them."
    )
    return tag("section", tag("h2", "Where this comes from"), tag("p", said, class_="muted"))
