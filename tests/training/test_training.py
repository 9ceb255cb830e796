"""Training: the schedule, the order of examples, frozen towers, the cache, resuming, and soft targets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import static_library
import torch
from chain import Chain
from tokenizers.normalizers import BertNormalizer

from distill.core.errors import BackboneError, RunError
from distill.core.settings.model_config import Augment, ImageTower, ModelConfig
from distill.core.settings.recipe import Recipe
from distill.core.storage.files import read_json
from distill.data.dataset import Example, read_splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import BatchTargets, LengthGroupedSampler
from distill.model.encoders.image import load_image
from distill.model.encoders.text import load_text
from distill.model.encoders.weights import fingerprint
from distill.model.outputs import Outputs
from distill.preprocess.images import image_to_uint8, normalise
from distill.preprocess.text import load_tokenizer
from distill.scoring.calibration import Calibration
from distill.scoring.metrics import sigmoid
from distill.training.focal import focal_loss
from distill.training.folds import ModalityProbabilities, OutOfFold
from distill.training.loop.optimizer import optimizer_and_schedule, parameter_groups
from distill.training.trainer import CheckpointFolder, Loss, NetworkWithLoss, TrainingData, train_model
from teacher.train import fit_teacher

UNCHANGED = Augment(0.0, 0.0, 0.0, 1)


def classifier_of(chain: Chain, trainable: bool = True, augment: Augment = UNCHANGED) -> Classifier:
    config = chain.recipe.teacher
    config = replace(config, image=replace(config.image, trainable=trainable), augment=augment)
    return Classifier.pretrained("teacher", config, chain.splits.labels, [])


def focal(config: ModelConfig) -> Loss:
    return lambda outputs, targets: focal_loss(outputs.logits, targets.labels, config.focal)


@pytest.mark.parametrize(("warmup", "first"), [(0.0, [1, 1, 1, 1]), (1.5, [1 / 3, 2 / 3, 1, 1])])
def test_the_rate_rises_is_constant_and_then_falls_by_a_factor_each_epoch(
    chain: Chain, warmup: float, first: list[float]
) -> None:
    config = replace(
        chain.recipe.teacher, warmup_epochs=warmup, constant_epochs=3, decay_per_epoch=0.1, learning_rate=1e-4
    )
    groups = parameter_groups(classifier_of(chain).network, focal(config), config)
    optimizer, schedule = optimizer_and_schedule(groups, config, steps_per_epoch=2)
    assert type(optimizer).__name__ == "NAdam"
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected = [1e-4 * f for f in first] + [1e-4] * 2 + [1e-4 * np.exp(-0.1)] * 2 + [1e-4 * np.exp(-0.2)] * 2
    assert rates == pytest.approx(expected)


def test_every_trainable_parameter_is_in_one_group_and_only_matrices_decay(chain: Chain) -> None:
    network = classifier_of(chain, trainable=False).network
    projecting = torch.nn.Sequential(torch.nn.Linear(3, 4))  # any loss with weights of its own
    for optimizer_name, expected in (("nadam", "NAdam"), ("adamw", "AdamW")):
        config = replace(chain.recipe.teacher, optimizer=optimizer_name)
        model = NetworkWithLoss(network, projecting)
        optimizer, _ = optimizer_and_schedule(parameter_groups(network, projecting, config), config, 1)
        assert type(optimizer).__name__ == expected
        grouped = [p for group in optimizer.param_groups for p in group["params"]]
        assert {id(p) for p in grouped} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(grouped) == len({id(p) for p in grouped})
    for group in optimizer.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}


def test_only_pretrained_encoders_take_the_lower_rate(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def slow(text: str, image: str) -> set[str]:
        base = chain.recipe.teacher
        towers = (replace(base.text, model=text), replace(base.image, model=image, trainable=True))
        config = replace(base, text=towers[0], image=towers[1], learning_rate=1e-6, head_learning_rate=1e-3)
        network = Classifier.pretrained("teacher", config, chain.splits.labels, ["words"]).network
        optimizer, _ = optimizer_and_schedule(parameter_groups(network, focal(config), config), config, 1)
        names = {id(p): name for name, p in network.named_parameters()}
        return {
            names[id(p)].split(".")[0]
            for group in optimizer.param_groups
            for p in group["params"]
            if group["initial_lr"] == 1e-6
        }

    text, image = chain.recipe.teacher.text.model, chain.recipe.teacher.image.model
    assert slow(text, image) == {"text", "image"}
    assert slow("lstm", image) == {"image"}
    assert slow(text, "cnn") == {"text"}
    assert slow("lstm", "cnn") == set()
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path))
    static_library.install(monkeypatch)
    assert slow(f"static:{text}", image) == {"image"}


def test_each_epoch_shows_every_example_once_in_an_order_of_its_own() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 103).tolist()
    sampler = LengthGroupedSampler(lengths, batch_size=8, seed=5)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(103))
    assert first != second
    again = LengthGroupedSampler(lengths, batch_size=8, seed=5)
    again.set_epoch(1)
    assert list(again) == second
    in_order = np.ptp(np.array(lengths)[first][:96].reshape(12, 8), axis=1).mean()
    at_random = np.ptp(
        np.array(lengths)[np.random.default_rng(1).permutation(103)][:96].reshape(12, 8), axis=1
    ).mean()
    assert in_order < at_random / 3


def test_a_batch_of_one_is_left_out_where_batch_norms_train() -> None:
    sampler = LengthGroupedSampler([5] * 33, batch_size=8, seed=5, drop_last_single=True)
    left_out = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        seen = list(sampler)
        assert len(seen) == len(set(seen)) == len(sampler) == 32
        left_out += [set(range(33)) - set(seen)]
    assert len(set.union(*left_out)) > 1
    assert len(list(LengthGroupedSampler([5] * 33, batch_size=8, seed=5))) == 33
    assert len(list(LengthGroupedSampler([5] * 34, batch_size=8, seed=5, drop_last_single=True))) == 34


def test_a_frozen_image_branch_does_not_move_and_its_features_are_those_of_its_pixels(chain: Chain) -> None:
    classifier = classifier_of(chain, trainable=False)
    before = fingerprint(classifier.network.image)
    encoded = classifier.encode(chain.splits.train[:20])
    spec = classifier.spec.image
    pixels = normalise(np.stack([image_to_uint8(e.image, spec) for e in chain.splits.train[:20]]), spec)
    with torch.no_grad():
        direct = classifier.network.image(torch.from_numpy(pixels)).numpy()
    assert encoded.features is not None
    assert np.abs(encoded.features - direct).max() < 1e-5
    classifier.network.train()
    batch = encoded.collate([encoded[i] for i in range(8)])
    loss, _ = NetworkWithLoss(classifier.network, focal(chain.recipe.teacher))(**batch.flat())
    loss.backward()
    words = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    classifier.network(*words, torch.from_numpy(pixels[:8]), batch.inputs["present"])
    assert fingerprint(classifier.network.image) == before
    assert all(p.grad is None for p in classifier.network.image.parameters())


def test_features_are_computed_once_and_again_only_for_other_weights(chain: Chain, images_run: list[int]) -> None:
    classifier = classifier_of(chain, trainable=False)
    first = classifier.encode(chain.splits.dev[:10]).features
    second = classifier.encode([*chain.splits.dev[:12]]).features
    assert sum(images_run) == 12
    assert first is not None
    assert second is not None
    assert (first == second[:10]).all()
    with torch.no_grad():
        next(classifier.network.image.parameters()).add_(0.1)
    classifier.encode(chain.splits.dev[:10])
    assert sum(images_run) == 22
    spec = replace(classifier.spec, image=replace(classifier.spec.image, mean=(0.5, 0.5, 0.4)))
    replace(classifier, spec=spec).encode(chain.splits.dev[:10])
    assert sum(images_run) == 32


def test_examples_without_an_image_leave_no_trace_in_the_batch_norms(chain: Chain) -> None:
    """Blanks in their place pulled running variances to 1e-7, and the exported graph then differed from torch."""
    without = [replace(example, image=None) for example in chain.splits.train]
    mixed = [e if number % 3 else w for number, (e, w) in enumerate(zip(chain.splits.train, without, strict=True))]

    def after_training(examples: list[Example]) -> dict[str, torch.Tensor]:
        classifier = classifier_of(chain)
        network = classifier.network.train()
        encoded = classifier.encode(examples)
        batch = encoded.collate([encoded[row] for row in range(len(examples))])
        network.outputs(**batch.inputs).logits.sum().backward()
        return {name: buffer.clone() for name, buffer in network.image.named_buffers()}

    untouched = dict(classifier_of(chain).network.image.named_buffers())
    assert _same(after_training(without), untouched)
    with_images = [example for example in mixed if example.image is not None]
    assert _same(after_training(mixed), after_training(with_images))
    assert not _same(after_training(mixed), untouched)
    assert _same(after_training([*without, with_images[0]]), untouched)  # one image has no variance over images


def _same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(ours[name].float(), theirs[name].float(), rtol=1e-4) for name in theirs)


def test_a_text_without_an_image_has_no_image_features_to_learn_from(chain: Chain) -> None:
    """So that the student's features match nothing there, as with a frozen tower."""
    classifier = classifier_of(chain)
    examples = [replace(chain.splits.train[0], image=None), chain.splits.train[1]]
    encoded = classifier.encode(examples)
    batch = encoded.collate([encoded[0], encoded[1]])
    for network in (classifier.network.eval(), classifier.network.train()):
        with torch.no_grad():
            features = network.outputs(**batch.inputs).image
        assert features[0].abs().sum() == 0
        assert features[1].abs().sum() > 0


def test_of_equal_epochs_the_one_with_the_least_dev_loss_is_kept(chain: Chain, tmp_path: Path) -> None:
    """An AP that is 1 in many epochs says nothing more; the loss does."""
    config, classifier = replace(chain.recipe.teacher, epochs=6, patience=2), classifier_of(chain, trainable=False)
    train, dev = (classifier.encode(part) for part in (chain.splits.train, chain.splits.dev))
    targets = np.ones_like(dev.targets)  # every order of examples has an AP of 1
    data = TrainingData(replace(train, targets=np.ones_like(train.targets)), replace(dev, targets=targets))
    checkpoints = CheckpointFolder(tmp_path, resume=False)
    log = train_model(classifier.network, config, data, focal(config), checkpoints)
    losses = [epoch.dev_loss for epoch in log.epochs]
    assert {epoch.dev_balanced_ap for epoch in log.epochs} == {1.0}
    assert len(losses) == 6
    assert losses[log.best_epoch - 1] == min(losses) < losses[0]
    kept = focal_loss(torch.from_numpy(classifier.logits(data.dev)), torch.from_numpy(targets), config.focal)
    assert float(kept) == pytest.approx(min(losses), rel=1e-3)


def test_training_starts_from_the_label_frequencies(chain: Chain) -> None:
    network = classifier_of(chain).network
    rates = torch.tensor([0.5, 0.25, 0.1, 0.01, 0.9, 0.0])
    network.initialise_bias(rates)
    assert torch.sigmoid(network.output.bias).tolist() == pytest.approx(
        [0.5, 0.25, 0.1, 0.01, 0.9, 0.001], abs=1e-6
    )


def test_a_resumed_training_ends_as_an_unbroken_one_and_draws_the_same_augmented_examples(
    chain: Chain, tmp_path: Path
) -> None:
    config = replace(chain.recipe.teacher, epochs=3)
    begun_after = []

    def train(folder: Path, resume: bool) -> tuple[np.ndarray, list[float]]:
        classifier = classifier_of(chain, augment=Augment(0.2, 0.2, 0.5, 1))
        data = TrainingData(classifier.encode_train(chain.splits.train), classifier.encode(chain.splits.dev))
        log = train_model(classifier.network, config, data, focal(config), CheckpointFolder(folder, resume))
        begun_after.append(log.resumed_after)
        return classifier.logits(data.dev), [epoch.loss for epoch in log.epochs]

    whole, losses = train(tmp_path / "whole", resume=False)
    over, over_losses = train(tmp_path / "whole", resume=True)  # killed after its last epoch: nothing is trained
    assert over_losses == losses
    assert (over == whole).all()
    last = max((tmp_path / "whole").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(last)  # as if killed in the third epoch
    resumed, resumed_losses = train(tmp_path / "whole", resume=True)
    assert resumed_losses == pytest.approx(losses, rel=1e-5)
    assert np.abs(whole - resumed).max() < 1e-5
    assert begun_after == [0, 3, 2]


def test_a_resumed_training_keeps_count_of_its_patience(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    """With rates of next to nothing no epoch is better than the first: it stops after 1 + patience epochs."""
    config = replace(recipe.teacher, epochs=6, patience=2, learning_rate=1e-30, head_learning_rate=1e-30)
    config = replace(config, image=replace(config.image, trainable=False))
    splits = read_splits(data)

    def train(resume: bool, dies_at_step: int) -> list[int]:
        classifier = Classifier.pretrained("teacher", config, splits.labels, [])
        data = TrainingData(classifier.encode(splits.train), classifier.encode(splits.dev))
        steps = iter(range(1, 1000))

        def loss(outputs: Outputs[torch.Tensor], targets: BatchTargets) -> torch.Tensor:
            if outputs.logits.requires_grad and next(steps) == dies_at_step:
                raise InterruptedError
            return focal_loss(outputs.logits, targets.labels, config.focal)

        log = train_model(classifier.network, config, data, loss, CheckpointFolder(tmp_path, resume))
        return [epoch.epoch for epoch in log.epochs]

    with pytest.raises(InterruptedError):
        train(resume=False, dies_at_step=5)  # the first step of the third epoch
    assert train(resume=True, dies_at_step=-1) == [1, 2, 3]
    assert train(resume=True, dies_at_step=1) == [1, 2, 3]  # over: no step is made


def test_out_of_fold_training_fits_thresholds_on_the_training_split(chain: Chain, tmp_path: Path) -> None:
    config = replace(chain.recipe.teacher, folds=2, epochs=1)
    run = fit_teacher(config, chain.splits, CheckpointFolder(tmp_path, resume=False))
    assert str(run.thresholds.fitted_on) == "out-of-fold train, 64 examples"
    rows = read_json(tmp_path / "metrics.json", RunError)["quality"]
    assert [row["examples"] for row in rows] == [64, 64, 64, 64, 32]


def test_a_training_of_given_length_keeps_its_last_epoch_whatever_dev_says(chain: Chain, tmp_path: Path) -> None:
    """The same steps as a training that stops by dev, up to that epoch; dev does not choose among them."""
    config = replace(chain.recipe.teacher, epochs=9, patience=1, monitor="loss", learning_rate=1e-2)

    def train(folder: Path, epochs: int | None, resume: bool = False) -> tuple[np.ndarray, list[float], int]:
        classifier = classifier_of(chain)
        data = TrainingData(classifier.encode(chain.splits.train), classifier.encode(chain.splits.dev))
        log = train_model(classifier.network, config, data, focal(config), CheckpointFolder(folder, resume), epochs)
        return classifier.logits(data.dev), [epoch.loss for epoch in log.epochs], log.best_epoch

    outputs, losses, kept = train(tmp_path / "given", 3)
    assert kept == len(losses) == 3
    again, same, _ = train(tmp_path / "given", 3, resume=True)
    assert (again == outputs).all()
    assert same == losses
    last = max((tmp_path / "given").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(last)
    resumed, _, _ = train(tmp_path / "given", 3, resume=True)
    assert np.abs(resumed - outputs).max() < 1e-5
    shorter, _, _ = train(tmp_path / "shorter", 2)
    assert np.abs(shorter - outputs).max() > 1e-5


def test_training_in_bf16_rounds_products_and_not_weights(chain: Chain, tmp_path: Path) -> None:
    losses: dict[str, float] = {}
    for precision in ("fp32", "bf16", "fp32"):
        config = replace(chain.recipe.teacher, epochs=1, precision=precision)  # type: ignore[arg-type]
        classifier = classifier_of(chain)
        data = TrainingData(classifier.encode(chain.splits.train), classifier.encode(chain.splits.dev))
        checkpoints = CheckpointFolder(tmp_path / precision, resume=False)
        log = train_model(classifier.network, config, data, focal(config), checkpoints)
        assert losses.setdefault(precision, log.epochs[0].loss) == log.epochs[0].loss  # no trace of the one before
        assert {p.dtype for p in classifier.network.parameters()} == {torch.float32}
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_the_last_training_is_as_long_as_the_folds_found_best() -> None:
    nothing = ModalityProbabilities(*(np.zeros((0, 1), np.float32),) * 3)
    assert OutOfFold(nothing, Calibration((1.0,), (0.0,)), (8, 7, 5), ()).median_epoch() == 7
    assert OutOfFold(nothing, Calibration((1.0,), (0.0,)), (9, 4), ()).median_epoch() == 4


@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet18", 512), ("mobilenet_v2", 1280), ("mobilenet_v3_small", 576), ("efficientnet_b0", 1280)],
)
def test_torchvision_encoders_are_taken_by_name_without_their_classifier(name: str, width: int) -> None:
    loaded = load_image(ImageTower(name, "", 64, "squash", False), "teacher")
    assert loaded.encoder.width == width
    assert loaded.encoder.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, width)


def test_encoders_that_cannot_be_had_say_what_to_put_where(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Recipe.load().teacher.text
    with pytest.raises(
        BackboneError, match=r"teacher\.text\.model=albert-base-v2: no local copy.*--set teacher\.text\.model=DIR"
    ):
        load_text(text, "teacher", [])
    with pytest.raises(BackboneError, match="torchvision has no such model"):
        load_image(ImageTower("resnet5000", "", 64, "squash", False), "teacher")
    tiny = chain.recipe.student.text
    with pytest.raises(BackboneError, match=r"max_tokens=512: .* takes 64 at most"):
        load_text(replace(tiny, max_tokens=512), "student", [])


def test_dev_probabilities_are_not_constant(chain: Chain) -> None:
    """Two epochs do not make a good model, but they make one that looks at its input."""
    run = Checkpoint.load(chain.student)
    assert sigmoid(run.logits(chain.splits.dev)).std(0).min() > 1e-4


def test_lower_case_becomes_part_of_the_tokenizers_own_file(chain: Chain, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    cased = tmp_path / "cased"
    shutil.copytree(chain.recipe.student.text.model, cased)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(cased)
    tokenizer.backend_tokenizer.normalizer = BertNormalizer(lowercase=False)
    tokenizer.save_pretrained(cased)
    config = replace(chain.recipe.student.text, model=str(cased))
    loaded = {flag: load_text(replace(config, lowercase=flag), "student", []) for flag in (False, True)}
    ids = {
        flag: load_tokenizer(text.tokenizer_json, text.spec).encode("THE TRAIN").ids
        for flag, text in loaded.items()
    }
    small = load_tokenizer(loaded[False].tokenizer_json, loaded[False].spec).encode("the train").ids
    assert ids[True] == small
    assert len(ids[False]) != len(small) or ids[False] != small
