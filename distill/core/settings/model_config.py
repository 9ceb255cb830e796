"""The settings that teacher and student share: the two towers, the head, and one training of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distill.core.errors import RecipeError
from distill.core.settings.limits import check_limits
from distill.core.settings.objective import Objective
from distill.core.untrusted import short_repr

Monitor = Literal["balanced_ap", "micro_ap", "macro_ap", "loss"]
Optimizer = Literal["nadam", "adamw"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]
MAX_NGRAM_TOKENS = 1_024  # a text's; beyond, comparing its n-grams takes gigabytes

LSTM, CNN = "lstm", "cnn"
# All names of encoders that start from nothing. What follows from that, such as their learning rate, asks
# `pretrained` of a tower.
TEXT_FROM_SCRATCH, IMAGE_FROM_SCRATCH = (LSTM,), (CNN,)
OTHER = {"text": "image", "image": "text"}  # the modality that a model of one does not read
STATIC = "static:"  # and the encoder whose tokens' vectors a static text encoder begins with


@dataclass(frozen=True)
class TextTower:
    """The text encoder: `model` is a Hugging Face id or a local directory, or one of TEXT_FROM_SCRATCH: "lstm", a
    small LSTM that starts from nothing, with a tokenizer learned from the training texts. "static:" and an id or a
    directory is no transformer: a text is the weighted mean of its tokens' vectors, `static_width` wide, made once
    of that encoder, whose tokenizer it has.

    `lowercase` lowers the text before tokenization, because a cased vocabulary splits captions in capitals into
    many tokens; it becomes part of tokenizer.json. `layers` > 0 keeps that many of the pretrained layers, evenly
    spaced; `vocab_size` > 0 keeps about that many entries of the vocabulary. These three are for pretrained
    encoders. `pooling` is the mean over tokens, or "cls", the first token. A tower that is not `trainable` is
    frozen: with fusion "concat", its features are computed once.

    `ngrams` "add" adds a linear layer on the TF-IDF of the tokens and their pairs to the network's logits (a wide
    part beside the deep one, Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems"); "only" puts it in
    place of the encoder, of which only the tokenizer remains.
    """

    model: str
    layers: int
    vocab_size: int
    lowercase: bool
    max_tokens: int
    pooling: Literal["mean", "cls"]
    trainable: bool
    ngrams: Literal["off", "add", "only"]
    static_width: int | None = None  # of runs that are older than the setting

    @property
    def pretrained(self) -> bool:
        """Whether encoders of this name have pretrained weights."""
        return self.model not in TEXT_FROM_SCRATCH

    @property
    def static(self) -> bool:
        """Whether it has vectors of tokens alone."""
        return self.model.startswith(STATIC)

    @property
    def source(self) -> str:
        """The id or directory that weights and tokenizer come from: `model`, or what "static:" stands before."""
        return self.model.removeprefix(STATIC)

    @property
    def fine_tuned(self) -> bool:
        """Whether training changes its weights by little, at `learning_rate`. Vectors of tokens, each of which is
        rarely seen, learn at `head_learning_rate`, as what starts from nothing does."""
        return self.pretrained and not self.static


@dataclass(frozen=True)
class ImageTower:
    """The image encoder: `model` is a torchvision name with its `weights`, a Hugging Face id or directory, or one
    of IMAGE_FROM_SCRATCH: "cnn", a small network that starts from nothing and so has to be `trainable`.

    `weights = ""` starts from random weights and is for torchvision names only. `size` is in pixels. `fit` makes an
    image square: "squash" scales the sides to the same length, "crop" cuts out the middle.
    """

    model: str
    weights: str
    size: int
    fit: Literal["squash", "crop"]
    trainable: bool

    @property
    def pretrained(self) -> bool:
        """Whether encoders of this name have pretrained weights."""
        return self.model not in IMAGE_FROM_SCRATCH


@dataclass(frozen=True)
class Head:
    """How features become logits.

    `fusion` joins the modalities: "concat" concatenates pooled features, "transformer" lets tokens and image cells
    attend to each other. `modalities` are those that the model uses. `modality_dropout` is the share of training
    examples that lose their text, and as many their image, so that the model can predict from either alone.
    `hidden_size` 0 is a linear head.
    """

    fusion: Literal["concat", "transformer"]
    modalities: Literal["both", "text", "image"]
    hidden_size: int
    dropout: float
    modality_dropout: float

    @property
    def grid(self) -> bool:
        """Whether the image tower gives features for each cell, not pooled ones."""
        return self.fusion == "transformer"


@dataclass(frozen=True)
class Focal:
    """Focal loss: focusing `gamma` >= 0 and weight `alpha` < 1 of the positives; alpha < 0 turns the weight off."""

    gamma: float
    alpha: float


@dataclass(frozen=True)
class Augment:
    """Augmentation of training examples, drawn anew in each epoch; 0 turns it off.

    `word_edit_rate` is the share of a text's words that are replaced, inserted, swapped or deleted,
    `token_mask_rate` the share of its tokens that are masked, `image_strength` in [0, 1] how strongly images are
    cropped, recoloured and compressed. With a frozen image tower, the features of `image_views` augmented views of
    each image are computed once and cached; each epoch draws one of them or the image itself.
    """

    word_edit_rate: float
    token_mask_rate: float
    image_strength: float
    image_views: int


@dataclass(frozen=True)
class ModelConfig:
    """The settings that teacher and student share: one model and its training.

    `head_start` "probe" begins with a linear head that is fitted to the features of the untrained encoders, by
    logistic regression; training may go on from there, or with `epochs` 0 stop (Kumar et al. 2022, "Fine-Tuning can
    Distort Pretrained Features and Underperform Out-of-Distribution").
    """

    text: TextTower
    image: ImageTower
    head: Head
    focal: Focal
    augment: Augment
    head_start: Literal["random", "probe"]
    epochs: int
    batch_size: int
    precision: TrainingPrecision
    optimizer: Optimizer
    learning_rate: float
    head_learning_rate: float
    warmup_epochs: float
    constant_epochs: int
    decay_per_epoch: float
    weight_decay: float
    patience: int
    monitor: Monitor
    threshold_objective: Objective
    seed: int

    @property
    def fine_tunes(self) -> bool:
        """Whether training changes an encoder's pretrained weights, which learn at `learning_rate`."""
        reads, text = self.head.modalities, self.text
        of_text = reads != "image" and text.fine_tuned and text.trainable and text.ngrams != "only"
        return of_text or (reads != "text" and self.image.pretrained and self.image.trainable)

    def check(self, where: str) -> None:
        """Raise RecipeError for a value out of range; `where` is "teacher" or "student"."""
        check_limits(self, where)
        if not self.image.pretrained and not self.image.trainable:
            raise RecipeError(
                f"{where}.image.model={self.image.model} has no pretrained weights; set "
                f"{where}.image.trainable=true"
            )
        self._check_static(where)
        self._check_head(where)

    def _check_static(self, where: str) -> None:
        text = self.text
        if text.model in (STATIC, STATIC.removesuffix(":")):
            raise RecipeError(
                f"{where}.text.model={text.model} names no encoder to make vectors of; write static:ID or "
                "static:FOLDER, such as static:sentence-transformers/all-mpnet-base-v2"
            )
        if text.static and text.static_width is None:
            raise RecipeError(f"{where}.text.static_width is missing; 256 is its default")
        if text.static and (text.layers or text.pooling == "cls"):
            raise RecipeError(
                f"{where}.text.model={short_repr(text.model)} has no layers and no first token that knows the "
                f"others; set {where}.text.layers=0 and {where}.text.pooling=mean"
            )

    def _check_head(self, where: str) -> None:
        if self.text.model == LSTM and (not self.text.trainable or self.text.ngrams != "off"):
            raise RecipeError(
                f"{where}.text.model={LSTM} starts from nothing; set {where}.text.trainable=true, "
                f"{where}.text.ngrams=off and {where}.head_start=random"
            )
        if self.head.modalities == "image" and self.text.ngrams != "off":
            raise RecipeError(
                f"{where}.text.ngrams={self.text.ngrams} reads texts; {where}.head.modalities=image does not: set "
                f"{where}.text.ngrams=off"
            )
        if self.text.ngrams != "off" and self.text.max_tokens > MAX_NGRAM_TOKENS:
            raise RecipeError(
                f"{where}.text.ngrams={self.text.ngrams} compares each n-gram of a text with each, which takes too "
                f"much memory for {where}.text.max_tokens={self.text.max_tokens}; set {where}.text.ngrams=off, or "
                f"max_tokens to {MAX_NGRAM_TOKENS:,} at most"
            )
        if self.text.ngrams == "only" and (self.text.layers or self.text.vocab_size):
            raise RecipeError(
                f"{where}.text.ngrams=only has no encoder to prune; set {where}.text.layers=0 and vocab_size=0"
            )
        if self.head.fusion != "concat" and (self.head.hidden_size == 0 or self.text.ngrams == "only"):
            raise RecipeError(
                f"{where}.head.fusion={self.head.fusion} needs an encoder of texts and a head that is no probe; "
                f"set {where}.head.hidden_size=256 and {where}.head_start=random, or {where}.head.fusion=concat"
            )
        if self.head_start == "probe" and (self.head.fusion != "concat" or self.head.hidden_size > 0):
            raise RecipeError(
                f"{where}.head_start=probe fits a linear head to features; set {where}.head.hidden_size=0 and "
                f"{where}.head.fusion=concat, or {where}.head_start=random"
            )
        if self.head_start == "probe" and not (self.text.pretrained and self.image.pretrained):
            raise RecipeError(
                f"{where}.head_start=probe needs pretrained encoders, not {LSTM} or {CNN}; set "
                f"{where}.head_start=random"
            )
        if self.epochs == 0 and self.head_start != "probe":
            raise RecipeError(f"{where}.epochs=0 trains nothing; set {where}.head_start=probe, or epochs above 0")
        augment = self.augment
        if self.epochs == 0 and (augment.word_edit_rate or augment.token_mask_rate or augment.image_strength):
            raise RecipeError(f"{where}.epochs=0 fits the head to unchanged examples; turn {where}.augment off")
