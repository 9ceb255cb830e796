"""Settings that were asked for and change nothing: of another command, or switched off by another setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from distill.core.settings.model_config import OTHER, ModelConfig

if TYPE_CHECKING:
    from distill.core.settings.recipe import ExportConfig, StudentConfig, TeacherConfig

SHARED = ("data", "labels", "tracking")  # the tables that every command reads
ONLY_TRAINING = (  # what a head that is fitted once does not read
    *("optimizer", "learning_rate", "head_learning_rate", "warmup_epochs", "constant_epochs", "decay_per_epoch"),
    *("weight_decay", "patience"),
)


def warn_of_unread(
    tables: Mapping[str, Any], asked: Iterable[str], in_file: Iterable[str] = (), file: object = ""
) -> None:
    """Warn of settings that change nothing: of each that was `asked` for by its name, in a table that is not among
    those that the command reads too, and of those that a recipe's `file` sets, in one line a table. Settings that
    are not known yet are None."""
    why = dict(_unread(tables))
    said: dict[str, str] = {}
    prefixes = set()
    for key in asked:
        if key.partition(".")[0] not in (*tables, *SHARED):
            read = " and ".join(f"{name}.*" for name in tables)
            said[key] = f"{key} changes nothing here: this command reads {read}"
        elif prefix := _prefix(key, why):
            said[key] = f"{key} changes nothing: {why[prefix]}"
            prefixes.add(prefix)
    for key in in_file:
        if (prefix := _prefix(key, why)) and prefix not in prefixes:
            name = key if key == prefix else f"[{prefix}]"
            said[prefix] = f"{file}: {name} changes nothing: {why[prefix]}"
    if said:
        # Imported here, as --help reads this module and needs none of rich.
        from distill.core.output.terminal import warn

        for line in said.values():
            warn(line)


def _prefix(key: str, prefixes: Iterable[str]) -> str:
    return next((prefix for prefix in prefixes if f"{key}.".startswith(f"{prefix}.")), "")


def _unread(tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys and tables that nothing reads, and the setting that makes it so."""
    for name, config in tables.items():
        if isinstance(config, ModelConfig):
            yield from ((f"{name}.{key}", f"{name}.{why}") for key, why in _of_model(config))
    for name, of in (("teacher", _of_teacher), ("student", _of_student), ("export", _of_export)):
        if tables.get(name) is not None:
            yield from ((f"{name}.{key}", f"{name}.{why}") for key, why in of(tables[name]))


def _of_model(config: ModelConfig) -> Iterator[tuple[str, str]]:
    text, augment, head = config.text, config.augment, config.head
    if other := OTHER.get(head.modalities):
        yield other, f"head.modalities={head.modalities} leaves that encoder out"
        yield "head.modality_dropout", f"head.modalities={head.modalities} leaves one modality"
    if not text.static:
        yield "text.static_width", "text.model is not static:"
    if text.ngrams == "only":
        yield "text.pooling", "text.ngrams=only has no encoder"
        yield "text.trainable", "text.ngrams=only has no encoder"
    if config.epochs == 0:
        yield from ((key, "epochs=0 fits the head once and trains nothing") for key in ONLY_TRAINING)
    elif not config.fine_tunes:
        yield "learning_rate", "head_learning_rate is that of all that is trained here"
    if augment.image_strength == 0:
        yield "augment.image_views", "augment.image_strength=0 changes no image"
    elif config.image.trainable:
        yield "augment.image_views", "image.trainable=true sees new views in each epoch"


def _of_teacher(config: TeacherConfig) -> Iterator[tuple[str, str]]:
    yield "focal" if config.loss == "asymmetric" else "asymmetric", f"loss={config.loss}"
    if config.epochs == 0:
        yield "focal", "epochs=0 fits the head by log loss"
    if config.class_weights == "focal_alpha":
        yield "focal.alpha", "class_weights=focal_alpha takes it from the labels' counts"


def _of_student(config: StudentConfig) -> Iterator[tuple[str, str]]:
    weights = config.distill
    if weights.soft_targets == 0:
        yield "distill.temperature", "distill.soft_targets=0"
        if weights.label_relations == 0:
            yield "distill.held_out", "distill.soft_targets=0 learns nothing of the teacher's logits"


def _of_export(config: ExportConfig) -> Iterator[tuple[str, str]]:
    if (config.matmuls, config.convolutions) == ("dynamic", "float"):
        yield "calibration", "matmuls=dynamic with convolutions=float calibrates nothing"
