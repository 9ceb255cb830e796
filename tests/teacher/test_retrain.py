"""Retraining: from the old weights, judged on a test set that nobody learned from, promoted only if not worse."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import TINY, Chain
from click.testing import CliRunner, Result
from safetensors.numpy import load_file
from sklearn.metrics import f1_score

import distill
import distill.cli.main as cli
import teacher.retrain.run
from distill.core.errors import DataError, RecipeError, RunError
from distill.data import lineage
from distill.data.dataset import Example, Splits, examples_to_json, read_splits
from distill.data.generated import write_demo_data
from distill.data.roles import Ask
from distill.data.run_folder import weights_sha256
from distill.model.checkpoint import Checkpoint
from distill.scoring.metrics import Decisions, Targets
from distill.training.run_writer import RunStart, begin_run
from teacher.retrain.datasets import RetrainData, comparison_cautions, read_retrain_data, read_test
from teacher.retrain.drift import measure_drift
from teacher.retrain.link import check_link, switch_link
from teacher.retrain.promotion import Promotion, RunPredictions, decide_promotion
from teacher.retrain.report import RetrainReport, drift_sentence, old_run_sentence, report_markdown
from teacher.retrain.run import retrain_config

STILL = ("teacher.epochs=1", "teacher.learning_rate=1e-12", "teacher.head_learning_rate=1e-12")


LENIENT = ("--max-f1-drop", "0.3")  # the weights are the same, but thresholds are fitted on other examples


def drawn(rows: int, flips: float, seed: int = 0) -> tuple[Targets, Decisions]:
    """Targets (rows, 4), and decisions of which a share is wrong."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((rows, 4)) < 0.4).astype(np.float32)
    return targets, (targets > 0.5) ^ (generator.random((rows, 4)) < flips)


def decide(targets: Targets, old: Decisions, new: Decisions, drop: float) -> Promotion:
    outputs = [RunPredictions(decisions.astype(np.float32), decisions) for decisions in (old, new)]
    return decide_promotion(targets, *outputs, "balanced", drop)


def test_the_difference_is_that_of_sklearns_f1() -> None:
    targets, old = drawn(80, 0.2)
    _, new = drawn(80, 0.1)
    promotion, gold = decide(targets, old, new, 0.01), targets.astype(int)
    micro, macro = (
        f1_score(gold, new, average=a, zero_division=0) - f1_score(gold, old, average=a, zero_division=0)
        for a in ("micro", "macro")
    )
    assert promotion.gain["micro"].value == pytest.approx(micro)
    assert promotion.gain["macro"].value == pytest.approx(macro)
    assert promotion.gain["balanced"].value == pytest.approx((micro + macro) / 2)


def test_better_is_promoted_worse_is_kept_out_and_few_examples_say_that_they_are_few() -> None:
    targets, bad = drawn(400, 0.3)
    _, good = drawn(400, 0.1)
    for old, new, decision, reason in (
        (bad, good, "PROMOTED", "not worse"),
        (good, good, "PROMOTED", "not worse"),
        (good, bad, "KEPT OLD", "worse"),
    ):
        promotion = decide(targets, old, new, 0.01)
        assert (promotion.decision, promotion.reason) == (decision, reason)
        assert promotion.sentence().startswith(decision)
    _, another = drawn(400, 0.1, seed=1)
    few = decide(targets[:40], good[:40], (targets > 0.5)[:40] ^ (another != (drawn(400, 0, seed=1)[1]))[:40], 0.01)
    assert (few.decision, few.reason) == ("KEPT OLD", "too few examples")
    assert "the test set is too small to know" in few.sentence()


def test_a_small_loss_that_is_certain_is_not_promoted_however_much_may_be_lost() -> None:
    targets, old = drawn(400, 0.05)
    new = old.copy()
    new[:60, 0] ^= targets[:60, 0] > 0.5
    promotion = decide(targets, old, new, 0.2)
    assert promotion.gain["balanced"].low > -0.2
    assert (promotion.decision, promotion.reason) == ("KEPT OLD", "worse")


def test_as_many_examples_as_it_says_are_enough() -> None:
    targets, old = drawn(60, 0.2)
    new, rows = old.copy(), np.random.default_rng(3)
    new[:12] = (targets > 0.5)[:12] ^ (rows.random((12, 4)) < 0.2)
    promotion = decide(targets, old, new, 0.03)
    assert promotion.required_examples is not None
    times = promotion.required_examples / 60
    assert times > 2

    def repeated(by: float) -> Promotion:
        return decide(*(np.tile(part, (round(by), 1)) for part in (targets, old, new)), 0.03)

    assert repeated(times * 1.3).decision == "PROMOTED"
    assert repeated(times * 0.7).decision == "KEPT OLD"


def test_no_number_of_examples_is_promised_where_the_difference_itself_is_too_low() -> None:
    targets, old = drawn(40, 0.2)
    new = old.copy()
    new[:4] = (targets > 0.5)[:4]
    new[4:6] = ~(targets > 0.5)[4:6]
    promotion = decide(targets, old, new, 0.001)
    assert promotion.gain["balanced"].value < -0.001
    assert (promotion.reason, promotion.required_examples) == ("too few examples", None)
    assert "however many" in promotion.sentence()


@pytest.fixture(scope="module")
def new_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 train, 24 dev and 40 test images that no run has seen."""
    folder = tmp_path_factory.mktemp("new") / "november"
    write_demo_data(folder, sizes=(40, 24, 40), seed=99)
    return folder


@dataclass(frozen=True)
class Setup:
    """What every retraining here begins with."""

    run: Path
    data: Path
    out: Path

    def retrain(self, *more: str, settings: tuple[str, ...] = STILL) -> Result:
        words = ["retrain", str(self.run), "--data", str(self.data), "--test", str(self.data)]
        words += [word for setting in settings for word in ("--set", setting)]
        return CliRunner().invoke(cli.main, [*words, "--out", str(self.out), *more])


@pytest.fixture
def setup(chain: Chain, new_data: Path, tmp_path: Path) -> Setup:
    return Setup(chain.teacher, new_data, tmp_path / "runs" / "november")


def read(out: Path) -> Any:
    return json.loads((out / "retrain.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def promoted(chain: Chain, new_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Setup, Path, Result]:
    """A retraining at a rate so small that nothing moves, earlier data joined, and the link that it switched."""
    folder = tmp_path_factory.mktemp("promoted")
    link = folder / "current"
    link.symlink_to(chain.teacher)
    setup = Setup(link, new_data, folder / "runs" / "november")
    return setup, link, setup.retrain("--with", str(chain.data), "--current", str(link), *LENIENT)


def test_it_starts_from_the_old_weights_and_an_equal_run_is_promoted(
    promoted: tuple[Setup, Path, Result], chain: Chain
) -> None:
    setup, link, result = promoted
    assert result.exit_code == 0, result.output
    assert "PROMOTED: the new run is not worse" in result.output
    old, new = (load_file(run / "model.safetensors") for run in (chain.teacher, setup.out))
    for name, values in old.items():
        if name.startswith(("text.", "dense.", "fusion.")):
            np.testing.assert_allclose(new[name], values, atol=1e-6)
    # Each label is calibrated anew: its weights are those of before, but for their length.
    directions = [
        run["output.weight"] / np.linalg.norm(run["output.weight"], axis=1, keepdims=True) for run in (old, new)
    ]
    np.testing.assert_allclose(directions[1], directions[0], atol=1e-5)
    assert link.readlink() == Path("runs") / "november"
    assert link.resolve() == setup.out.resolve()


def test_a_teacher_that_began_at_a_probe_goes_on_from_the_head_that_it_has(
    chain: Chain, new_data: Path, tmp_path: Path
) -> None:
    probe = ["teacher.head_start=probe", "teacher.head.hidden_size=0", "teacher.epochs=1"]
    old = distill.train_teacher(chain.data, tmp_path / "old", recipe=TINY, overrides=[*chain.overrides, *probe])
    setup = Setup(tmp_path / "old", new_data, tmp_path / "new")
    setup.retrain("--with", str(chain.data))  # promoted or not
    weights = [load_file(run / "model.safetensors")["output.weight"] for run in (old.folder, setup.out)]
    directions = [weight / np.linalg.norm(weight, axis=1, keepdims=True) for weight in weights]
    np.testing.assert_allclose(directions[1], directions[0], atol=1e-5)


def test_the_report_says_what_was_decided_in_json_words_and_an_image(
    promoted: tuple[Setup, Path, Result], chain: Chain
) -> None:
    pytest.importorskip("matplotlib")
    setup, _, result = promoted
    tree = read(setup.out)
    sentence = tree["promotion"]["sentence"]
    assert sentence in result.output
    page = (setup.out / "retrain.md").read_text(encoding="utf-8")
    assert sentence in page.replace("\\", "").split("\n\n")[1]
    assert "![" in page
    assert (setup.out / "retrain.png").read_bytes().startswith(b"\x89PNG")
    assert tree["from"]["sha256"] == weights_sha256(chain.teacher)
    assert tree["new"]["sha256"] == weights_sha256(setup.out)
    assert tree["new_examples"]["fresh"] == 64
    assert tree["new_examples"]["reference"] == 40 + 64 + 32 + 24
    of = {shift["name"]: shift["before_of"] for shift in tree["new_examples"]["drift"]["shifts"]}
    assert of == {"words": 160, "text features": 96, "image features": 96}  # 64 were trained on


def test_each_run_decides_with_its_own_thresholds(
    promoted: tuple[Setup, Path, Result], chain: Chain, new_data: Path
) -> None:
    setup, _, _ = promoted
    splits = read_splits(new_data)
    gold = splits.labels.encode([example.labels for example in splits.test]).astype(int)
    for run, name in ((chain.teacher, "old"), (setup.out, "new")):
        opened = Checkpoint.load(run)
        decided = 1 / (1 + np.exp(-opened.logits(splits.test))) >= opened.thresholds.array()
        expected = f1_score(gold, decided, average="micro", zero_division=0)
        assert read(setup.out)["promotion"][name]["micro_f1"]["value"] == pytest.approx(expected, abs=1e-6)


def test_a_worse_run_is_kept_out_and_the_link_stays(
    setup: Setup, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions that are the test set's gold labels, turned around for the new run."""
    link = setup.out.parent / "current"
    link.parent.mkdir()
    link.symlink_to(chain.teacher)
    test = read_splits(setup.data).test
    gold = Checkpoint.load(chain.teacher).classifier.labels.encode([e.labels for e in test]) > 0.5
    predictions = iter(RunPredictions(d.astype(np.float32), d) for d in (gold, ~gold))
    monkeypatch.setattr(teacher.retrain.run, "_predict", lambda *_: next(predictions))
    monkeypatch.setattr(teacher.retrain.run, "fit_teacher", lambda *rest: Checkpoint.load(chain.teacher))
    result = setup.retrain("--current", str(link))
    assert result.exit_code == 3, result.output
    assert "KEPT OLD: the new run is worse" in result.output
    assert link.resolve() == chain.teacher.resolve()
    assert read(setup.out)["promotion"]["reason"] == "worse"


def test_a_stopped_retraining_goes_on_and_is_not_trained_twice(
    setup: Setup, promoted: tuple[Setup, Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(teacher.retrain.run, "decide_promotion", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert setup.retrain().exit_code == 130
    assert not (setup.out / "retrain.json").exists()
    assert "pass --resume to go on with it" in setup.retrain().output
    before = weights_sha256(setup.out)
    monkeypatch.setattr(teacher.retrain.run, "fit_teacher", lambda *_: pytest.fail("trained again"))
    again = setup.retrain("--resume", *LENIENT)
    assert again.exit_code == 0, again.output
    assert weights_sha256(setup.out) == before
    assert read(setup.out)["promotion"]["decision"] == "PROMOTED"
    changed = setup.retrain("--resume", settings=(*STILL[1:], "teacher.epochs=2"))
    assert "was started with epochs=1, not 2" in changed.output


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_while_it_trains_it_ends_with_the_weights_of_an_unbroken_one(
    chain: Chain, new_data: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "distill.cli", "retrain", str(chain.teacher), "--set", "teacher.epochs=6"]
    words += ["--data", str(new_data), "--test", str(new_data), "--with", str(chain.data)]
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert subprocess.run([*words, "--out", str(whole)], capture_output=True).returncode in (0, 3)
    process = subprocess.Popen([*words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("training/all/checkpoint-*/trainer_state.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "run.json").exists()
    assert subprocess.run([*words, "--out", str(out), "--resume"], capture_output=True).returncode in (0, 3)
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    ours, unbroken = (read(run) for run in (out, whole))
    del ours["new"]["run"], unbroken["new"]["run"]
    assert ours == unbroken


def write_test(test: list[Example], tmp_path: Path) -> Path:
    """A test file of these examples."""
    path = tmp_path / "fixed.json"
    path.write_text(examples_to_json(test, tmp_path), encoding="utf-8")
    return path


def test_examples_that_either_run_learned_from_are_refused_with_their_names(
    chain: Chain, new_data: Path, tmp_path: Path
) -> None:
    seen, labels, new = lineage.read_lineage(chain.teacher), chain.splits.labels, read_splits(new_data)
    strange = replace(new.train[3], id="a stranger's name")
    for spoilt, message in (
        (strange, r"1 x test example in the data to learn from.*\"a stranger's name\" is 'train-0003' of train"),
        (new.dev[0], "1 x test example in the data to learn from.*'dev-0000' is 'dev-0000' of dev"),
        (chain.splits.train[5], "1 x test example that the earlier run was trained on.*'train-0005'"),
    ):
        test = write_test([*new.test, spoilt], tmp_path)
        with pytest.raises(DataError, match=message):
            read_retrain_data(new_data, None, test, Ask(labels=labels), seen)
    test = write_test(new.test, tmp_path)
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for name, part in (("train", new.train), ("dev", chain.splits.train)):
        (swapped / f"{name}.json").write_text(examples_to_json(part, swapped), encoding="utf-8")
    with pytest.raises(DataError, match="64 x dev example that the earlier run was trained on"):
        read_retrain_data(swapped, None, test, Ask(labels=labels), seen)


def test_what_bends_the_comparison_a_little_is_told(chain: Chain, new_data: Path) -> None:
    seen = lineage.read_lineage(chain.teacher)
    splits = replace(read_splits(new_data), test=chain.splits.dev)
    assert comparison_cautions(read_splits(new_data), seen) == []
    assert "32 of 32 test examples were in the earlier run's dev split" in comparison_cautions(splits, seen)[0]
    judged_before = replace(seen, test=frozenset(["another"]))
    assert "judged on another test set" in comparison_cautions(read_splits(new_data), judged_before)[0]


def test_a_test_set_too_small_is_refused_before_training(chain: Chain, tmp_path: Path) -> None:
    test = write_test(chain.splits.test[:24], tmp_path)
    with pytest.raises(DataError, match="24 test examples are too few to compare two runs; at least 30"):
        read_test(test)
    with pytest.raises(DataError, match=r"no test\.json"):
        read_test(tmp_path)


def test_earlier_examples_join_once_and_new_ones_are_those_that_are_not_in_the_reference(
    chain: Chain, new_data: Path, tmp_path: Path
) -> None:
    """Two of the new examples are earlier ones; their ids are others' in the new data."""
    new, mixed = read_splits(new_data), tmp_path / "mixed"
    mixed.mkdir()
    old = [replace(e, id=f"mixed-{i}") for i, e in enumerate(chain.splits.train[:2])]
    for name, part in (("train", [*new.train, *old]), ("dev", new.dev)):
        (mixed / f"{name}.json").write_text(examples_to_json(part, mixed), encoding="utf-8")
    seen = lineage.read_lineage(chain.teacher)
    data = read_retrain_data(mixed, chain.data, new_data, Ask(labels=chain.splits.labels), seen)
    assert len(data.splits.train) == 40 + 64
    assert [e.id for e in data.splits.train[42:44]] == ["earlier/train-0002", "earlier/train-0003"]
    assert [e.id for e in data.fresh] == [e.id for e in (*new.train, *new.dev)]


def test_an_earlier_test_split_whose_labels_are_secret_is_no_reference(
    chain: Chain, new_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the test set's 40 rows beside 64 + 32 earlier ones, and 24 more where one of these has a label."""
    seen, labels, old = lineage.read_lineage(chain.teacher), chain.splits.labels, chain.splits
    secret = [replace(example, labels=()) for example in old.test]
    for name, test, expected in (
        ("secret", secret, 40 + 64 + 32),
        ("known", [*secret[1:], old.test[0]], 40 + 64 + 32 + 24),
    ):
        earlier = tmp_path / name
        earlier.mkdir()
        for split, part in (("train", old.train), ("dev", old.dev), ("test", test)):
            (earlier / f"{split}.json").write_text(examples_to_json(part, earlier), encoding="utf-8")
        data = read_retrain_data(new_data, earlier, new_data, Ask(labels=labels), seen)
        assert len(data.reference) == expected
        assert ("no row of its test split has a label" in capsys.readouterr().err) == (name == "secret")


def test_what_the_first_run_saw_is_remembered_through_every_retraining(
    chain: Chain, promoted: tuple[Setup, Path, Result], new_data: Path, tmp_path: Path
) -> None:
    setup, _, _ = promoted
    first, second = lineage.read_lineage(chain.teacher), lineage.read_lineage(setup.out)
    assert (len(first.train), len(second.train)) == (64, 104)
    assert first.train < second.train
    assert first.dev < second.dev
    third = tmp_path / "third"
    only_new = replace(read_splits(new_data), test=[])
    depends_on = lineage.retrain_record(second, "0" * 64, only_new.dev)
    begin_run(third, RunStart("teacher", chain.recipe.teacher, only_new, depends_on), resume=False, overwrite=False)
    assert lineage.read_lineage(third).train == second.train
    (third / "started.json").write_text("{}")
    with pytest.raises(RunError, match="does not record what the run was trained on"):
        lineage.read_lineage(third)


def test_labels_that_the_earlier_run_cannot_learn_are_refused_wherever_they_stand(
    setup: Setup, chain: Chain, tmp_path: Path
) -> None:
    for split, where in (("dev", "'earlier/dev-0000' (reference)"), ("train", "'earlier/train-0000' (train)")):
        earlier = tmp_path / split
        earlier.mkdir()
        for name in ("train", "dev"):
            part = chain.splits.examples(name)
            spoilt = [replace(part[0], labels=("new in May",)), *part[1:]] if name == split else part
            (earlier / f"{name}.json").write_text(examples_to_json(spoilt, earlier), encoding="utf-8")
        failed = setup.retrain("--with", str(earlier))
        assert failed.exit_code == 2
        last_line = failed.output.splitlines()[-1]
        assert f"{chain.teacher.resolve()}, whose 6 labels are fixed; remove it from the row" in last_line
        assert f"{where} has label 'new in May'" in last_line
        assert not setup.out.exists()


def test_what_the_weights_are_made_for_cannot_be_changed(chain: Chain) -> None:
    old = Checkpoint.load(chain.teacher)
    assert retrain_config(old, ("teacher.epochs=7",)).epochs == 7
    assert retrain_config(old, ()) == chain.recipe.teacher
    for setting, message in (
        ("teacher.head.hidden_size=8", r"teacher\.head: cannot be changed"),
        ("teacher.text.max_tokens=8", r"teacher\.text: cannot be changed"),
        ("student.epochs=3", "unknown key 'student'"),
    ):
        with pytest.raises(RecipeError, match=message):
            retrain_config(old, (setting,))
    with pytest.raises(RunError, match="is a student; retrain its teacher"):
        retrain_config(Checkpoint.load(chain.student), ())


def test_folds_are_refused_where_the_weights_have_seen_the_examples(setup: Setup, chain: Chain) -> None:
    failed = setup.retrain("--with", str(chain.data), settings=("teacher.folds=2",))
    assert failed.exit_code == 2
    assert "have seen 64 of the training examples" in failed.output
    assert not setup.out.exists()


def test_only_a_link_to_the_run_compared_with_is_switched(chain: Chain, tmp_path: Path) -> None:
    run, another, out, link = (tmp_path / name for name in ("run", "other", "out", "current"))
    run.mkdir()
    another.mkdir()
    check_link(link, run, out, overwrite=False)
    with pytest.raises(RunError, match="is the run to start from"):
        check_link(None, run, tmp_path / "other" / ".." / "run", overwrite=True)
    with pytest.raises(RunError, match="is not a symbolic link"):
        check_link(another, run, out, overwrite=False)
    switch_link(link, another)
    with pytest.raises(RunError, match=r"points to .*other, not to"):
        check_link(link, run, out, overwrite=False)
    with pytest.raises(RunError, match="is in use"):
        check_link(link, run, another, overwrite=True)
    switch_link(link, run)
    assert link.readlink() == Path("run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "other", "run"]


def test_a_link_that_leads_nowhere_is_one_line_with_the_next_step(chain: Chain, setup: Setup) -> None:
    """To a run that was moved, and in a circle; as the run to start from, and as the link to switch."""
    folder = setup.out.parent
    folder.mkdir()
    gone, circle, moved = folder / "gone link", folder / "circle", folder / "moved"
    gone.symlink_to("moved")
    circle.symlink_to("back")
    (folder / "back").symlink_to("circle")
    for link, message in (
        (gone, f"error: {gone}: points to {moved}, which is gone; ln -sfn RUN '{gone}'"),
        (circle, f"error: {circle}: its symbolic links lead in a circle; ln -sfn RUN {circle}"),
    ):
        for run in (link, chain.teacher):
            failed = replace(setup, run=run).retrain("--current", str(link))
            assert (failed.exit_code, failed.output) == (2, f"{message}\n")
    check_link(gone, chain.teacher, moved, overwrite=False)  # it will stand there again


def test_names_cannot_break_the_page(promoted: tuple[Setup, Path, Result], chain: Chain) -> None:
    setup, _, _ = promoted
    old = Checkpoint.load(chain.teacher)
    data = read_retrain_data(
        setup.data, None, setup.data, Ask(labels=old.classifier.labels), lineage.read_lineage(chain.teacher)
    )
    report = measure_drift(old, data, lineage.read_lineage(chain.teacher))
    assert report is not None
    evil = replace(report.drift.rates[0], name="<b>a|b</b>", drifted=True)
    report = replace(report, drift=replace(report.drift, rates=(evil,)))
    targets, decided = drawn(40, 0.1)
    promotion = decide(targets, decided, decided, 0.0)
    page = report_markdown(RetrainReport(chain.teacher, "", "", promotion, report), "run", False)
    assert "\\<b>a\\|b\\</b>" in page
    assert "<b>" not in page.replace("\\<", "")


def test_what_the_earlier_run_is_worth_on_new_examples_is_told_and_labels_that_changed_are_noticed(
    chain: Chain, new_data: Path
) -> None:
    """Gold labels of the new examples that are what the run decides, and the opposite of it."""
    old, new = Checkpoint.load(chain.teacher), read_splits(new_data)
    labels, seen = old.classifier.labels, lineage.read_lineage(chain.teacher)
    decided = old.thresholds.apply(1 / (1 + np.exp(-old.logits(new.train))))
    for gold, harder in ((decided, False), (~decided, True)):
        fresh = [replace(e, labels=labels.decode(row)) for e, row in zip(new.train, gold, strict=True)]
        report = measure_drift(old, RetrainData(new, fresh, new.test), seen)
        assert report is not None
        assert report.micro_f1 is not None
        assert report.micro_f1.value == pytest.approx(1 - harder)
        assert report.harder == harder
        assert ("DRIFT" in old_run_sentence(report)) == harder


def test_a_data_set_without_anything_new_is_told(chain: Chain, new_data: Path, tmp_path: Path) -> None:
    new = read_splits(new_data)
    data = RetrainData(Splits(new.labels, new.train, new.dev, new.test), [], new.test)
    assert measure_drift(Checkpoint.load(chain.teacher), data, lineage.read_lineage(chain.teacher)) is None
    assert "No example is new" in drift_sentence(None)
