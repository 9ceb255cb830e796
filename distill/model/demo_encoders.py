"""Tiny random encoders with a tokenizer trained on given texts, as Hugging Face directories: for demo and tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertModel,
    DistilBertConfig,
    DistilBertModel,
    MobileNetV2Config,
    MobileNetV2Model,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
)

from distill.model.encoders.weights import without_bars

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
MAX_POSITIONS = 64


def write_demo_encoders(folder: Path, texts: Iterable[str], seed: int = 13) -> dict[str, Path]:
    """Write four Hugging Face directories into `folder` and return them by the recipe key that each is for: a small
    ResNet and ALBERT for the teacher, a smaller MobileNetV2 and DistilBERT for the student."""
    generator = torch.Generator().manual_seed(seed)
    tokenizer = _tokenizer(texts)
    size = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    albert = AlbertConfig(
        **size,
        embedding_size=32,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=MAX_POSITIONS,
    )
    distilbert = DistilBertConfig(
        **size, dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=MAX_POSITIONS
    )
    resnet = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 1, 1], layer_type="basic"
    )
    mobilenet = MobileNetV2Config(depth_multiplier=0.35, min_depth=8, depth_divisible_by=8)
    encoders: dict[str, PreTrainedModel] = {
        "teacher.text.model": AlbertModel(albert),
        "teacher.image.model": ResNetModel(resnet),
        "student.text.model": DistilBertModel(distilbert),
        "student.image.model": MobileNetV2Model(mobilenet),
    }
    paths = {}
    for key, model in encoders.items():
        _draw_weights(model, generator)
        paths[key] = folder / key.replace(".model", "").replace(".", "-")
        with without_bars():
            model.save_pretrained(paths[key])
        if ".text." in key:
            tokenizer.save_pretrained(paths[key])
    return paths


def _draw_weights(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Draw the matrices in the order of their names, as versions of transformers differ in theirs."""
    for _, value in sorted(model.named_parameters(), key=lambda named: named[0]):
        if value.ndim > 1:
            fan_out = value[0, 0].numel() * len(value)
            is_kernel = value.ndim > 2 and isinstance(model, ResNetModel)
            torch.nn.init.normal_(value, std=(2 / fan_out) ** 0.5 if is_kernel else 0.02, generator=generator)


def _tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=list(SPECIAL.values()), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_POSITIONS, **SPECIAL)
