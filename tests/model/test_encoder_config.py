"""A stranger's run or encoder fetches nothing and runs nothing: its config.json is read by allow-lists."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub.constants
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel
from transformers.integrations import hub_kernels

from distill.core.errors import BackboneError, DistillError, RecipeError, RunError
from distill.core.settings.model_config import ImageTower, TextTower
from distill.core.settings.recipe import Recipe, recipes_folder
from distill.model.demo_encoders import write_demo_encoders
from distill.model.encoders.config import IMAGE_TYPES, TEXT_TYPES, build_config, without_hub
from distill.model.encoders.image import load_image, rebuild_image
from distill.model.encoders.lstm import LstmConfig
from distill.model.encoders.text import load_text, rebuild_text

TEACHER = Recipe.load(recipes_folder() / "tiny.toml").teacher


class Reached(BaseException):
    """Something was fetched; nothing catches this."""


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_demo_encoders(tmp_path_factory.mktemp("encoders"), ["who did this", "vote"])


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a kernel could be fetched and the network is watched."""

    def reached(*_: Any, **__: Any) -> NoReturn:
        raise Reached

    monkeypatch.setattr(hub_kernels, "_kernels_available", True, raising=False)  # of transformers 4
    monkeypatch.setattr(hub_kernels, "is_kernels_available", lambda: True, raising=False)
    monkeypatch.setattr(hub_kernels, "get_kernel", reached, raising=False)  # of the package kernels
    monkeypatch.setattr(socket.socket, "connect", reached)
    monkeypatch.setattr(socket, "getaddrinfo", reached)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", reached)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def run(encoders: dict[str, Path], tmp_path: Path) -> Path:
    """The parts of a finished run that are read before its weights."""
    for name in ("text", "image"):
        (tmp_path / "run" / name).mkdir(parents=True)
        shutil.copyfile(encoders[f"teacher.{name}.model"] / "config.json", tmp_path / "run" / name / "config.json")
    (tmp_path / "run" / "model.safetensors").write_bytes(bytes(100_000))
    return tmp_path / "run"


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def text_tower(model: Path) -> TextTower:
    return replace(TEACHER.text, model=str(model), max_tokens=16)


def image_tower(model: Path | str) -> ImageTower:
    return replace(TEACHER.image, model=str(model), size=32)


FETCHES: list[tuple[str, Any]] = [
    ("attn_implementation", "someone/kernel"),
    ("_attn_implementation", "someone/kernel@main:forward"),
    ("_attn_implementation_internal", "paged|someone/kernel"),
    ("attn_implementation", {"": "someone/kernel"}),
    ("auto_map", {"AutoModel": "someone/model--modeling.Evil"}),
    ("backbone", "someone/backbone"),
    ("use_timm_backbone", True),
    ("backbone_config", {"model_type": "resnet"}),
    ("quantization_config", {"quant_method": "bitsandbytes"}),
    ("trust_remote_code", True),
    ("timm_model", "resnet18"),
]


@pytest.mark.parametrize(("key", "value"), FETCHES)
def test_a_key_that_would_fetch_or_run_something_is_refused(run: Path, key: str, value: Any) -> None:
    change(run / "text" / "config.json", **{key: value})
    with pytest.raises(RunError, match=rf"config\.json: {key}=.* would fetch or run"):
        rebuild_text(run / "text", TEACHER.text)


@pytest.mark.parametrize("kind", ["timm_wrapper", "timm_backbone", "vit_hybrid", "upernet", "x", None, 3, ["bert"]])
def test_only_the_architectures_that_are_listed_are_built(run: Path, kind: Any) -> None:
    change(run / "image" / "config.json", model_type=kind)
    with pytest.raises(RunError, match=r"model_type is .*; expected one of albert, "):
        rebuild_image(run / "image", image_tower("someone/encoder"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**400),
        ("hidden_act", "someone/activation"),
        ("hidden_act", {"a": 1}),
        ("layer_norm_eps", [[[[1]]]]),
    ],
)
def test_a_value_beyond_all_bounds_is_refused(run: Path, key: str, value: Any) -> None:
    change(run / "text" / "config.json", **{key: value})
    with pytest.raises(RunError, match=f"{key}=.* is no size, rate or word"):
        rebuild_text(run / "text", TEACHER.text)


def test_an_architecture_far_larger_than_the_weights_is_not_allocated(run: Path) -> None:
    change(run / "text" / "config.json", hidden_size=60_000, intermediate_size=240_000, num_attention_heads=4)
    with pytest.raises(RunError, match=r"bytes of weights, model\.safetensors is much smaller"):
        rebuild_text(run / "text", TEACHER.text)
    with pytest.raises(RecipeError, match="vocab_size must be 1 to"):
        LstmConfig(10**9)


def test_runs_as_distill_writes_them_are_rebuilt_as_before(run: Path) -> None:
    for name, rebuild in (
        ("text", lambda folder: rebuild_text(folder, TEACHER.text)),
        ("image", lambda folder: rebuild_image(folder, image_tower("someone/encoder"))),
    ):
        expected = AutoModel.from_config(AutoConfig.from_pretrained(run / name)).state_dict()
        rebuilt = rebuild(run / name).backbone.state_dict()
        shapes = {key: value.shape for key, value in expected.items() if not key.startswith("pooler.")}
        assert {key: rebuilt[key].shape for key in shapes} == shapes


Load = Callable[[Path], object]
LOADS: dict[str, Load] = {
    "teacher.text.model": lambda folder: load_text(text_tower(folder), "teacher", ["a"]),
    "teacher.image.model": lambda folder: load_image(image_tower(folder), "teacher"),
}


@pytest.mark.parametrize("key", LOADS)
def test_a_folder_of_an_encoder_is_loaded_and_asks_nobody(
    encoders: dict[str, Path], key: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(encoders[key], tmp_path / "encoder"))
    (folder / "evil.py").write_text("raise SystemExit('it was run')")
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        path = folder / name
        path.write_text(path.read_text() if path.is_file() else "{}")
        change(path, auto_map={"AutoTokenizer": ["evil.A", "evil.A"], "AutoImageProcessor": "someone/x--evil.A"})
    assert LOADS[key](folder)
    change(folder / "config.json", attn_implementation="someone/kernel")
    with pytest.raises(BackboneError, match="attn_implementation='someone/kernel' would fetch or run"):
        LOADS[key](folder)


def test_torchvisions_models_that_fetch_a_backbone_are_no_encoders() -> None:
    for name in ("fcn_resnet50", "fasterrcnn_resnet50_fpn", "raft_large"):
        with pytest.raises(BackboneError, match="torchvision has no such model"):
            rebuild_image(Path("none"), image_tower(name))


def test_there_is_no_hub_while_a_folder_is_read() -> None:
    with without_hub(), pytest.raises((OSError, DistillError)):
        AutoModel.from_pretrained("someone/model")
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


@pytest.mark.parametrize("kind", [*TEXT_TYPES, *IMAGE_TYPES])
def test_a_configuration_that_transformers_wrote_is_read_back_whole(kind: str) -> None:
    written = CONFIG_MAPPING[kind]()
    read = build_config(json.loads(json.dumps(written.to_dict() | {"dtype": "float16"})), "it", RunError)
    assert read.dtype is None  # weights are float32 here
    differing = {key for key, value in written.to_dict().items() if read.to_dict().get(key) != value}
    assert differing <= {"id2label", "label2id"}  # of classifiers, which this is not
