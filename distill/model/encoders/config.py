"""Builds an encoder's configuration from a config.json by allow-lists, so that no stranger's file fetches or runs
anything.

In a config.json, `attn_implementation` may name a kernel that transformers downloads and runs, `auto_map` a module
of Python, `backbone` another model, `quantization_config` a library. So a configuration is made of the model's
own parameters alone, for the architectures that are listed here, and while a local folder is read there is no hub.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill.core.errors import DistillError
from distill.core.untrusted import short_repr

CONFIG = "config.json"
TEXT_TYPES = (
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "mobilebert"),
    *("modernbert", "mpnet", "roberta", "squeezebert", "xlm-roberta", "xlm-roberta-xl"),
)
IMAGE_TYPES = (
    *("beit", "bit", "clip_vision_model", "convnext", "convnextv2", "deit", "dinov2", "dinov2_with_registers"),
    *("dinov3_convnext", "dinov3_vit", "efficientnet", "focalnet", "hiera", "ijepa", "levit", "mobilenet_v1"),
    *("mobilenet_v2", "mobilevit", "mobilevitv2", "poolformer", "pvt", "pvt_v2", "regnet", "resnet"),
    *("siglip_vision_model", "swiftformer", "swin", "swinv2", "vit", "vit_msn"),
)
# What the architectures read beside the parameters of their configurations, such as DeBERTa's.
MORE_KEYS = (
    *("attention_head_size", "chunk_size_feed_forward", "conv_act", "conv_groups", "conv_kernel_size"),
    *("norm_rel_ebd", "position_buckets", "share_att_key", "tie_word_embeddings"),
    *("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"),  # ModernBERT's, of transformers 4
)
TABLES = ("rope_parameters",)  # of transformers 5
# `reference_compile` has torch compile the model; the others say nothing of its weights but how they were kept.
NEVER = (
    *(
        "self",
        "kwargs",
        "reference_compile",
        "architectures",
        "dtype",
        "id2label",
        "is_encoder_decoder",
        "label2id",
    ),
    *("output_hidden_states", "problem_type", "return_dict", "transformers_version"),
)
# What would fetch or run something. Every other key that is not known has no effect, and is left out.
REFUSED = re.compile(
    r"auto_map|.*backbone.*|.*_implementation.*|quantization_config|trust_remote_code|custom_.*|timm.*"
)
OFF = (None, False)
OWN_ATTENTION = (*OFF, True, "eager", "sdpa")  # what transformers itself writes there
WORD = re.compile(r"[\w|.+-]{0,64}")  # of a text value: no name of a repository, which has a slash
MAX_NUMBER, MAX_COUNT = 1 << 22, 1024  # of a size, and of layers, heads and the like
COUNTS = re.compile(r"(num|n)_.*|.*depths?|.*layers")


def build_config(tree: Any, where: str, error: type[DistillError]) -> Any:
    """The transformers configuration of a parsed config.json. Raises `error` for another architecture, for a key
    that would fetch or run something, and for a value beyond all bounds."""
    from transformers import CONFIG_MAPPING

    kind = tree.get("model_type") if isinstance(tree, dict) else None
    if not isinstance(kind, str) or kind not in (*TEXT_TYPES, *IMAGE_TYPES) or kind not in CONFIG_MAPPING:
        known = ", ".join((*TEXT_TYPES, *IMAGE_TYPES))
        raise error(f"{where}: model_type is {short_repr(kind)}; expected one of {known}")
    for key, value in tree.items():
        if REFUSED.fullmatch(key) and value not in (OWN_ATTENTION if "attn_implementation" in key else OFF):
            raise error(
                f"{where}: {key}={short_repr(value)} would fetch or run what is not part of the model; remove it"
            )
    known_keys = {*inspect.signature(CONFIG_MAPPING[kind].__init__).parameters, *MORE_KEYS} - set(NEVER)
    kept = {key: value for key, value in tree.items() if key in known_keys}
    for key, value in kept.items():
        if not _is_plain(key, value):
            raise error(f"{where}: {key}={short_repr(value)} is no size, rate or word of a {kind} model")
    return CONFIG_MAPPING[kind](**kept)


def _is_plain(key: str, value: Any, nested: int = 2) -> bool:
    """Whether a value is a flag, a bounded number, a word, or a short list or known table of these."""
    if isinstance(value, dict) and key in TABLES:
        return nested > 0 and all(_is_plain(key, item, nested - 1) for item in (*value, *value.values()))
    if isinstance(value, list):
        return nested > 0 and len(value) <= MAX_COUNT and all(_is_plain(key, item, nested - 1) for item in value)
    if isinstance(value, str):
        return WORD.fullmatch(value) is not None
    if isinstance(value, int | float):
        return abs(value) <= (MAX_COUNT if COUNTS.fullmatch(key) else MAX_NUMBER)
    return value is None


@contextmanager
def without_hub() -> Iterator[None]:
    """As with HF_HUB_OFFLINE=1 in the block, whoever asks: nothing is fetched for what lies on this machine."""
    from huggingface_hub import constants, utils
    from transformers.utils import hub

    switches = [(constants, "HF_HUB_OFFLINE")]
    if hasattr(hub, "_is_offline_mode"):  # transformers 4; version 5 asks huggingface_hub
        switches.append((hub, "_is_offline_mode"))
    before = [(module, name, getattr(module, name)) for module, name in switches]
    forget = getattr(utils, "reset_sessions", lambda: None)  # open connections of huggingface_hub below 1.0
    for module, name in switches:
        setattr(module, name, True)
    forget()
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        forget()
