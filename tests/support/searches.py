"""Entrants, verdicts and whole reports of searches of students, made of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill.scoring.bootstrap import ArmMetrics
from distill.scoring.estimate import Estimate
from distill.scoring.verdict import Verdict
from student.search.halving import Entrant, halve
from student.search.recommend import recommend
from student.search.report import Cost, Limits, Measurement, Row, SearchReport

NO_LIMITS = Limits()


def entrant(name: str, ms: float, mb: float, f1: float, spread: float = 0.0) -> Entrant:
    """Its draws lie `spread` below and above its F1, by turns, so that a difference's interval is the difference of
    the F1 plus and minus the difference of the spreads."""
    draws = np.tile([f1 - spread, f1 + spread], 200)
    return Entrant(name, ms, round(mb * 1e6), np.concatenate([[f1], draws]))


def out(entrants: Sequence[Entrant], max_drop: float = 0.01) -> dict[str, str]:
    """Why each that is out is out."""
    return {fate.name: fate.out for fate in halve(entrants, max_drop) if fate.out}


def verdict(ours: Entrant, theirs: Entrant, margin: float = 0.01, examples: int = 400) -> Verdict:
    """Of two entrants, in balanced F1."""
    return Verdict.of({"balanced": ours.f1}, {"balanced": theirs.f1}, "balanced", examples, margin)


def report(names: Sequence[str] = ("six", "three", "one", "static"), noisy: bool = False) -> SearchReport:
    """A finished search of four finalists, of which the last was left out after one fold, and one too slow."""
    entrants = [entrant(name, 8 - 2 * i, 60 - 10 * i, 0.5 - 0.004 * i, 0.03) for i, name in enumerate(names)]
    best, *others = entrants
    verdicts = {each.name: verdict(each, best) for each in others}
    rows = [_row(each, verdicts.get(each.name)) for each in entrants]
    slow = Row(
        "slow", {"student.text.layers": 12}, "int8", _cost(entrant("slow", 30, 90, 0)), out="over --max-ms 9"
    )
    early = Row(
        "early",
        {"student.text.layers": 5, "precision": "int8"},
        "int8",
        _cost(entrant("early", 7, 55, 0)),
        folds=1,
        f1=Estimate(0.45, 0.40, 0.50),
        gain=Estimate(-0.06, -0.09, -0.02),
        metrics=_metrics(0.45),
        out="worse than six by more than 0.01, in 1 of 3 folds",
    )
    measured = Measurement(
        costs={row.name: row.cost for row in rows if row.cost is not None},
        machine="small-box, x86-vnni, Linux x86_64",
        cpu="AMD EPYC",
        cores=2,
        threads=1,
        calls=200,
        examples=32,
        started="2026-01-02T03:04:05+00:00",
        packages={"onnxruntime": "1.32.0"},
        noise=("the same Bundle in two processes differed by 9%",) if noisy else (),
    )
    limits = Limits(9, None)
    return SearchReport(
        objective="balanced",
        examples=400,
        folds=3,
        seed=13,
        limits=limits,
        max_f1_drop=0.01,
        rows=(*rows, slow, early),
        untrained=measured,
        trained=measured,
        recommendation=recommend(entrants, verdicts, best.name, limits, 0.01),
    )


def _cost(of: Entrant) -> Cost:
    return Cost(Estimate(of.ms, of.ms * 0.98, of.ms * 1.03), of.size_bytes, 2 * of.size_bytes)


def _metrics(f1: float) -> ArmMetrics:
    return ArmMetrics(*(Estimate(value, value - 0.03, value + 0.03) for value in (f1 + 0.1, f1 - 0.1, f1 + 0.05)))


def _row(of: Entrant, judged: Verdict | None) -> Row:
    f1 = float(of.f1[0])
    return Row(
        name=of.name,
        settings={"student.text.model": f"encoders/{of.name}", "student.image.size": 128},
        precision="int8",
        untrained=_cost(of),
        folds=3,
        f1=Estimate(f1, f1 - 0.03, f1 + 0.03),
        gain=Estimate(0, 0, 0) if judged is None else judged.gain,
        metrics=_metrics(f1),
        cost=_cost(of),
        verdict=judged,
        run=f"candidates/{of.name}",
        bundle=f"bundles/{of.name}",
    )
