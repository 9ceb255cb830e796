"""`distill inspect`: its figures against independent ones, and its page and images as a reader meets them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest
from chain import ROOT, Chain
from click.testing import CliRunner
from pages import BROWSER, MEASURE, SCHEMES, Read, browse
from PIL import Image
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, log_loss, multilabel_confusion_matrix, precision_recall_curve, precision_score

from bench.inspect import Findings, inspect, sentences, tables, write
from bench.inspect.examples import thumbnails
from bench.inspect.findings import Subject, curves, findings_of, together, training_of
from bench.inspect.page import to_html
from bench.inspect.plots import learning
from bench.inspect.selective import selective
from bench.inspect.temperature import cross_scaled, fit_temperature, scale, scaling
from bench.quality.baseline import answers_of_baseline
from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import decide, evaluate
from bench.quality.leakage import Leakage
from bench.report.types import to_indices
from bench.runtimes.open_model import open_variant, probabilities
from bench.runtimes.variants import variant_from_path
from distill.cli.main import main
from distill.core.errors import BenchError, OutputError, RunError
from distill.core.storage.files import read_json, write_json
from distill.data.dataset import Example, Splits, read_splits
from distill.data.generated import write_demo_data
from distill.data.labels import LabelSet
from distill.model.training_log import EpochLog, TrainLog
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import ConstantBaseline, Probabilities, Targets, sigmoid
from distill.scoring.selective import AnswerCut
from distill.scoring.thresholds import FittedOn, Thresholds, cross_fitted, fit_thresholds

IMAGES = {
    "calibration",
    "confusion",
    "coverage",
    "most-wrong",
    "precision-recall",
    "together-decided",
    "together-gold",
    "trade-off",
}


@dataclass(frozen=True)
class Case:
    """A folder, what it was asked, and what was found."""

    folder: Path
    eval_set: EvalSet
    found: Findings


@pytest.fixture(scope="module")
def run(chain: Chain) -> Case:
    """The student's run on dev, on which its thresholds were fitted."""
    eval_set = EvalSet.from_splits(chain.splits, "dev")
    served = open_variant(variant_from_path(chain.student))
    return Case(chain.student, eval_set, inspect(served, eval_set, "student", 5))


@pytest.fixture(scope="module")
def page(run: Case) -> str:
    return to_html(run.found, thumbnails(run.eval_set.examples, run.found.wrong))


class Parsed(Read):
    """With the elements without an end that this page has."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in ("img", "wbr"):
            self.open.pop()


def made_up(rows: int = 90, labels: int = 4, seed: int = 0) -> tuple[Probabilities, Targets]:
    """Probabilities that are too sure of themselves, and ties among them; the last label has no positive."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(-1, 1.5, (rows, labels))
    targets = (generator.random((rows, labels)) < 1 / (1 + np.exp(-scores))).astype(np.float32)
    targets[:, -1] = 0
    return sigmoid((3 * scores).round(1).astype(np.float32)), targets


def eval_set_of(names: tuple[str, ...], text: str = "words", split: str = "dev", id_: str = "post") -> EvalSet:
    """Made-up examples without images, with the targets of `made_up`."""
    _, targets = made_up(labels=len(names))
    labels, constant = LabelSet(names), ConstantBaseline(names[:1], 0.1, 0.1, 0.1)
    examples = tuple(Example(f"{id_} {i}", text, None, labels.decode(row > 0.5)) for i, row in enumerate(targets))
    return EvalSet(split, examples, labels, constant, tuple(label_rates(targets)))


def of_names(names: tuple[str, ...], text: str = "words", split: str = "dev", id_: str = "post") -> Findings:
    """Findings of made-up probabilities."""
    p, targets = made_up(labels=len(names))
    thresholds = fit_thresholds(p, targets, "balanced", "dev, 90 examples")
    subject = Subject("model", thresholds, Leakage(split == "dev", None, None), None, "No log.")
    return findings_of(subject, eval_set_of(names, text, split, id_), p, 5)


def test_a_baseline_stands_beside_the_model(chain: Chain) -> None:
    eval_set = EvalSet.from_splits(chain.splits, "test")
    answers = answers_of_baseline(chain.fp32, eval_set, 0.01)
    found = inspect(open_variant(variant_from_path(chain.int8)), eval_set, "bundle", 3, answers)
    assert found.baseline is not None
    title, micro = f"the baseline ({chain.fp32.name})", f"{found.baseline.quality.micro_f1:.3f}"
    assert found.baseline.name == title
    assert (title, micro) in [row[:2] for row in tables.quality(found).rows]
    html = to_html(found, {})
    assert f"To beat: {title} has micro-F1 {micro}" in html
    assert found.baseline.sentence.removeprefix("the model") in html
    assert found.to_json()["baseline"]["verdict"]["examples"] == 24


def test_confusion_and_co_occurrence_agree_with_sklearn_and_counting(chain: Chain) -> None:
    eval_set = EvalSet.from_splits(chain.splits, "test")
    served = open_variant(variant_from_path(chain.int8))
    found = inspect(served, eval_set, "bundle", 3)
    targets = served.labels.encode([example.labels for example in eval_set.examples])
    decisions = np.zeros(targets.shape, dtype=bool)
    for row, columns in enumerate(evaluate(served, eval_set).decided):
        decisions[row, list(columns)] = True
    for label, ((tn, fp), (fn, tp)) in zip(
        found.confusion, multilabel_confusion_matrix(targets, decisions), strict=True
    ):
        assert (label.tp, label.fp, label.fn, label.tn) == (tp, fp, fn, tn)
    for i in range(len(served.labels)):
        for j in range(len(served.labels)):
            assert found.co_occurrence.predicted[i][j] == sum(decisions[:, i] & decisions[:, j])
            assert found.co_occurrence.gold[i][j] == sum((targets[:, i] > 0.5) & (targets[:, j] > 0.5))
    assert not found.cross_fitted
    assert found.training is None
    assert "Bundle holds no log" in (found.no_training or "")


def test_decisions_are_those_that_evaluate_counts_and_cross_fitted_where_thresholds_rest(run: Case) -> None:
    evaluation = evaluate(open_variant(variant_from_path(run.folder)), run.eval_set)
    assert run.found.quality == evaluation.quality
    assert run.found.cross_fitted == (evaluation.quality_own_thresholds is not None)
    assert [label.name for label in run.found.quality.labels] == [c.name for c in run.found.confusion]
    p, targets = made_up()
    eval_set = eval_set_of(("a", "b", "c", "d"))
    thresholds = fit_thresholds(p, targets, "balanced", "dev, 90 examples")
    leaks = (Leakage(fitted, None, None) for fitted in (False, True))
    own, crossed = (to_indices(decide(thresholds, leakage, eval_set, p)) for leakage in leaks)
    assert own == to_indices(thresholds.apply(p))
    assert crossed == to_indices(cross_fitted(p, targets, "balanced", rates=label_rates(targets)))


def test_a_split_of_another_data_set_is_decided_with_the_models_own_thresholds(
    run: Case, chain: Chain, tmp_path: Path
) -> None:
    """A run knows its examples by content, a Bundle by their number alone."""
    write_demo_data(tmp_path / "other", sizes=(64, 32, 24), seed=7)
    write_demo_data(tmp_path / "longer", sizes=(64, 40, 24), seed=7)
    for folder, data in ((run.folder, "other"), (run.folder, "longer"), (chain.int8, "longer")):
        splits, served = read_splits(tmp_path / data), open_variant(variant_from_path(folder))
        found = inspect(served, EvalSet.from_splits(splits, "dev"), "model", 5)
        p = probabilities(served, splits.dev)
        own = [np.flatnonzero(row).tolist() for row in p >= served.thresholds.array()]
        assert evaluate(served, EvalSet.from_splits(splits, "dev")).decided == tuple(tuple(row) for row in own)
        assert found.co_occurrence.predicted[0][0] == sum(0 in row for row in own)
        text = " ".join(sentences.cautions(found))
        assert "were fitted on dev itself" not in text
        assert "Thresholds: fitted on another dev, 32 examples." in text
    assert "held" not in " ".join(sentences.cautions(run.found))
    assert ("chose the epoch that was kept, or thresholds" in text) == (folder == chain.int8)
    assert "as many rows as the Bundle names" in " ".join(sentences.cautions(of_names(("a", "b", "c", "d"))))


def test_examples_that_the_model_learned_from_are_counted(run: Case, chain: Chain, tmp_path: Path) -> None:
    write_demo_data(tmp_path, sizes=(10, 8, 8), seed=7)
    other = read_splits(tmp_path)
    mixed = replace(other, train=[*other.train, *chain.splits.train[:3]], dev=[*other.dev, chain.splits.dev[0]])
    served = open_variant(variant_from_path(run.folder))

    def told(splits: Splits, split: str) -> str:
        return " ".join(sentences.cautions(inspect(served, EvalSet.from_splits(splits, split), "model", 5)))

    assert "flatter" not in told(other, "train") + told(other, "dev")
    assert "learned from 3 of these 13 examples" in told(mixed, "train")
    assert "held 1 of these 9 examples" in told(mixed, "dev")
    assert "learned from these very examples" in told(chain.splits, "train")


def test_precision_recall_curves_agree_with_sklearn() -> None:
    p, targets = made_up()
    thresholds = Thresholds((0.5, 0.2, 1.0 - 1e-7, 0.5), "micro", FittedOn("elsewhere", 9))
    for i, curve in enumerate(curves("abcd", targets, p, thresholds, None)[:3]):
        precision, recall, _ = precision_recall_curve(targets[:, i], p[:, i])
        assert np.allclose(curve.precision, precision[-2::-1])
        assert np.allclose(curve.recall, recall[-2::-1])
        assert curve.honest is None
        decided = p[:, i] >= thresholds.array()[i]
        if curve.at is None:
            assert not decided.any()
        else:
            assert curve.at.precision == pytest.approx((targets[:, i][decided]).mean())
            assert curve.at.recall == pytest.approx(targets[:, i][decided].sum() / targets[:, i].sum())
            assert (curve.at.recall, curve.at.precision) in zip(curve.recall, curve.precision, strict=True)
    empty = curves("abcd", targets, p, thresholds, None)[3]
    assert (empty.recall, empty.at, empty.average_precision) == ((), None, None)


def test_coverage_runs_from_the_surest_posts_to_all_and_counts_as_sklearn_does() -> None:
    p, targets = made_up()
    decisions = p >= 0.5
    cuts = (AnswerCut(0.8, 0.9, 0.3), AnswerCut(0.9, None, 0.0))
    thresholds = Thresholds((0.5, 0.5, 0.5, 0.5), "micro", FittedOn("elsewhere", 9), answer_cuts=cuts)
    found = selective("abcd", targets, p, decisions, thresholds)
    confidence = np.where(decisions.any(1), p.mean(1, where=decisions | ~decisions.any(1)[:, None]), 0)
    confidence = np.where(decisions.any(1), confidence, (1 - p.astype(float)).prod(1))
    for step, rows in ((found.steps[9], 45), (found.steps[-1], 90)):
        surest = np.argsort(-confidence, kind="stable")[:rows]
        assert step.coverage == rows / 90
        assert step.micro_f1 == pytest.approx(f1_score(targets[surest], decisions[surest], average="micro"))
    labelled = [i for i in range(90) if decisions[i].any()]
    by_samples = precision_score(targets[labelled], decisions[labelled], average="samples", zero_division=0)
    none = [1.0 - targets[i].any() for i in range(90) if not decisions[i].any()]
    expected = (by_samples * len(labelled) + sum(none)) / 90
    assert found.steps[-1].precision == pytest.approx(expected)
    assert [held.coverage for held in found.held] == [pytest.approx((confidence >= 0.9).mean()), 0.0]
    assert found.held[1].precision is None


def test_a_label_is_certain_from_where_its_precision_is_bounded() -> None:
    """All of the 40 most probable examples are right, of the other 20 none. The bound of 40 of 40 is
    (0.05 / 6) ** (1 / 40) = 0.887: above 0.8, below 0.9."""
    p = np.linspace(0.99, 0.01, 60, dtype=np.float32)[:, None]
    targets = (np.arange(60) < 40).astype(np.float32)[:, None]
    thresholds = Thresholds((0.5,), "micro", FittedOn("dev", 60))
    (label,) = selective(("a",), targets, p, p >= 0.5, thresholds).labels
    assert label.support == 40
    assert [c.probability is None for c in label.certain] == [False, True, True]
    assert 35 <= label.certain[0].examples <= 44
    assert targets[: label.certain[0].examples].mean() >= 0.8


def test_the_temperature_is_where_scipy_finds_the_least_log_loss() -> None:
    p, targets = made_up(400)
    found = fit_temperature(p, targets)
    at = minimize_scalar(
        lambda t: log_loss(targets.ravel(), scale(p, t).ravel().astype(float)), bounds=(0.2, 20), method="bounded"
    ).x
    assert found == pytest.approx(at, rel=1e-3)
    assert 2 < found < 4  # the scores were made three times too large


def test_after_scaling_is_judged_on_rows_that_the_temperature_was_not_fitted_on() -> None:
    p, targets = made_up(100)
    _, used = cross_scaled(p, targets)
    one = p.copy()
    one[7] = 1 - targets[7]  # as wrong as can be
    after, moved = cross_scaled(one, targets)
    (unmoved,) = set(used) & set(moved)  # of the fold that holds the row out, and of no other
    assert np.array_equal(after[7], scale(one[7], unmoved))
    assert len(used) == 5
    found = scaling(p, targets)
    assert found.before.log_loss == pytest.approx(log_loss(targets.ravel(), p.ravel().astype(float)), rel=1e-3)
    assert found.after.log_loss < found.before.log_loss
    assert found.log_loss_change.value == pytest.approx(found.after.log_loss - found.before.log_loss)
    assert found.ece_change.low <= found.ece_change.value <= found.ece_change.high < 0


def test_probabilities_without_any_error_still_have_a_finite_temperature() -> None:
    targets = np.eye(6, dtype=np.float32)
    assert 0 < fit_temperature(targets * 0.9 + 0.05, targets) < 1
    assert fit_temperature(1 - targets, targets) == pytest.approx(100)


def test_the_most_wrong_come_first_by_cross_entropy_summed_over_labels(run: Case) -> None:
    found = of_names(("a", "b", "c", "d"))
    p, targets = made_up()
    losses = [log_loss(y, q.astype(float), labels=[0, 1]) * 4 for y, q in zip(targets, p, strict=True)]
    expected = sorted(range(90), key=lambda i: -losses[i])[:5]
    assert [one.id for one in found.wrong] == [f"post {i}" for i in expected]
    assert [one.loss for one in found.wrong] == pytest.approx([losses[i] for i in expected], rel=1e-4)
    for one in run.found.wrong:
        gold = next(example.labels for example in run.eval_set.examples if example.id == one.id)
        assert {verdict.name for verdict in one.verdicts if verdict.gold} == set(gold)


def test_learning_curves_are_those_of_the_run(run: Case, tmp_path: Path) -> None:
    tree = read_json(run.folder / "metrics.json", RunError)["training"]
    log = run.found.training
    assert log is not None
    assert [epoch.loss for epoch in log.epochs] == [epoch["loss"] for epoch in tree["epochs"]]
    assert log.best_epoch == tree["best_epoch"]
    assert training_of(tmp_path)[0] is None
    write_json(tmp_path / "metrics.json", {"training": {"epochs": []}})
    with pytest.raises(RunError, match="damaged"):
        training_of(tmp_path)
    for change in ({"best_epoch": 99}, {"seconds": -1.0}, {"epochs": [tree["epochs"][0] | {"dev_micro_ap": 7.0}]}):
        write_json(tmp_path / "metrics.json", {"training": tree | change})
        with pytest.raises(RunError, match=r"damaged: (best_epoch is 99|seconds is -1|epochs\.dev_micro_ap is 7)"):
            training_of(tmp_path)


def test_the_page_holds_every_label_and_its_figures(run: Case, page: str) -> None:
    text = " ".join(Parsed(page).text)
    for label, curve in zip(run.found.confusion, run.found.curves, strict=True):
        line = next(part for part in page.split("<tr") if f">{label.name}</th>" in part)
        assert [int(n) for n in re.findall(r"<td>(\d+)</td>", line)] == [label.tp, label.fp, label.fn, label.tn]
        assert f"{curve.threshold:.3f}" in text
    for one in run.found.wrong:
        assert one.id in text
        assert " ".join(one.text.split())[:60] in text
    assert "cross-fitted" in text
    assert f"{run.found.scaling.after.ece:.3f}" in text
    assert "Learning curves" in text


def test_nothing_comes_from_elsewhere_there_is_no_script_and_images_have_names(page: str) -> None:
    assert "://" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    parsed = Parsed(page)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in parsed.tags}
    for tag, attributes in parsed.tags:
        assert not [key for key in attributes if key.startswith("on")]
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert tag != "img" or attributes["alt"]
        assert tag != "svg" or (attributes["role"] == "img" and len(attributes["aria-label"] or "") > 30)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    outside = re.sub(r'src="data:[^"]*"', "", page.partition("</style>")[2])
    assert re.findall(r"#[0-9a-f]{6}\b", re.sub(r">[^<]*<", "><", outside)) == []


def test_hostile_names_and_texts_stay_text_in_page_and_images(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>" onload="x & $x_1$ #00a101 \N{CJK UNIFIED IDEOGRAPH-7D66}'
    hidden = f"{evil} \u202e"  # which no label may hold
    found = of_names((evil, f"</style></svg>{evil}/b", "x" * 300, "d"), f"{hidden}\ud800\x1b", id_=hidden)
    nothing = (Example("", "", None, ()),) * 90
    written = write(found, nothing, tmp_path / "out").read_text(encoding="utf-8")
    parsed = Parsed(written)
    assert not {"script"} & {tag for tag, _ in parsed.tags}
    assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
    assert "<script>alert(1)" in "".join(parsed.text)
    assert not {"\x1b", "\u202e"} & set(written)
    assert len(list((tmp_path / "out").glob("*.png"))) == len(IMAGES)


def test_the_command_writes_page_figures_and_images_whole(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    words = ["inspect", str(chain.student), "--data", str(chain.data), "--worst", "3", "--out", str(out)]
    assert CliRunner().invoke(main, words).exit_code == 0
    names = {path.stem for path in out.glob("*.png")}
    assert names == IMAGES | {"learning"}
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.width > 500
            colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
        # None of the reserved colours, which a page replaces, is left in a file.
        assert not ((colours[:, 0] == 0) & (colours[:, 1] > 0x9E) & (colours[:, 1] < 0xA4)).any()
    tree = json.loads((out / "inspect.json").read_text(encoding="utf-8"))
    assert len(tree["wrong"]) == 3
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    assert CliRunner().invoke(main, [*words[:-3], "1", "--out", str(out), "--overwrite"]).exit_code == 0
    assert len(json.loads((out / "inspect.json").read_text(encoding="utf-8"))["wrong"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def test_a_folder_of_something_else_is_never_replaced(run: Case, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="not an inspection"):
        write(run.found, run.eval_set.examples, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_break_on_the_way_leaves_no_folder(run: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BenchError("broken")

    monkeypatch.setattr("bench.report.kit.plot.Plot.png", broken)
    with pytest.raises(BenchError):
        write(run.found, run.eval_set.examples, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_next_step_is_said_before_the_long_work(tmp_path: Path) -> None:
    code = f"""import sys; sys.modules['matplotlib'] = None
sys.path.insert(0, {str(ROOT)!r})
from distill.cli.main import main
main(["inspect", "nothing", "--data", "nothing", "--out", {str(tmp_path / "out")!r}])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().strip().splitlines() == [
        "error: the page needs matplotlib; pip install 'distill[plots]'"
    ]


def test_two_examples_are_enough_and_one_is_not() -> None:
    p, labels = np.array([[0.9, 0.2], [0.3, 0.6]], dtype=np.float32), LabelSet(("a", "b"))
    examples = (Example("1", "x", None, ("a",)), Example("2", "y", None, ("b",)))
    thresholds = Thresholds((0.5, 0.5), "micro", FittedOn("elsewhere", 9))
    eval_set = EvalSet("test", examples, labels, ConstantBaseline(("a",), 0.1, 0.1, 0.1), (0.5,) * len(labels))
    subject = Subject("model", thresholds, Leakage(False, None, None), None, "No log.")
    assert "test" in to_html(findings_of(subject, eval_set, p, 5), {})
    with pytest.raises(BenchError, match="one example"):
        findings_of(subject, replace(eval_set, examples=examples[:1]), p[:1], 5)


@pytest.mark.parametrize("end", [0.0, 0.5, 1.0])
def test_names_of_curves_that_end_together_stand_apart(end: float) -> None:
    epochs = tuple(EpochLog(number, 1.0, 1.0, end, end, end, 1e-4) for number in (1, 2))
    names = learning(TrainLog(epochs, 1, 1.0), "").figure.axes[-1].texts
    offsets = sorted(text.xyann[1] for text in names if text.get_text() in ("micro", "macro"))
    assert len(offsets) == 2
    assert offsets[1] - offsets[0] >= 12


def test_co_occurrence_has_supports_on_its_diagonal() -> None:
    marks = np.array([[True, True], [True, False], [False, False]])
    assert together(marks) == ((2, 1), (1, 1))


def test_cautions_fit_the_split() -> None:
    names = ("a", "b", "c", "d")
    trained = to_html(of_names(names, split="train"), {})
    assert "every figure here flatters" in trained
    assert "cross-fitted" not in trained
    assert "cross-fitted" in to_html(of_names(names), {})
    assert "flatters" not in to_html(replace(of_names(names, split="test")), {})


@pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome here; apt install chromium")
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_browser_shows_it_wide_and_narrow_light_and_dark(page: str, scheme: str, tmp_path: Path) -> None:
    names = tuple(f"A rather long name of a label/technique, number {i}" for i in range(22))
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{escape(html)}"></iframe>'
        for html in (page, to_html(of_names(names, "long words " * 40), {}))
        for width in (1200, 360)
    )
    head = '<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(f"{head}<body>{frames}<script>{MEASURE}</script>", encoding="utf-8")
    dom = browse(wrapper, tmp_path / "profile", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    result = re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert result is not None
    for seen in json.loads(unescape(result[1])):
        assert seen["dark"] == (scheme == "dark")
        assert seen["scroll"] <= seen["inner"]
        assert seen["crossings"] == []
        assert seen["outside"] == []
        assert seen["smallest"] >= 7
        assert min(seen["body"], seen["prose"], seen["letters"]) >= 4.5
        assert seen["undrawn"] == 0
        assert len(seen["svgs"]) > 9
        assert all(left >= 0 and right <= seen["inner"] and wide > 100 for left, right, wide, _ in seen["svgs"])
