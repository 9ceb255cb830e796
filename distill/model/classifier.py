"""A network together with what it needs to read Examples. Knows one model, not how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.recipe import ModelConfig
from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.model import distributed as processes
from distill.model.augment.image import ImageAugmenter
from distill.model.augment.text import TextAugmenter, Words, mask_id, near_words, to_words
from distill.model.dataset import Augmentation, EncodedDataset
from distill.model.encoders import load_image, load_text
from distill.model.features import View, image_features
from distill.model.network import TwoTowerNetwork
from distill.model.outputs import Outputs
from distill.preprocess.images import normalise
from distill.preprocess.inputs import ModelInputs, PreprocessSpec
from distill.preprocess.text import has_text, load_tokenizer, tokenise
from distill.runtime.bundle import Kind

EVAL_BATCH = 32


def default_device() -> torch.device:
    """The accelerator when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Classifier:
    """Network, labels, tokenizer and preprocessing; `config` is what it was built from."""

    kind: Kind
    config: ModelConfig
    labels: LabelSet
    spec: PreprocessSpec
    tokenizer_json: str
    network: TwoTowerNetwork

    @classmethod
    def pretrained(cls, kind: Kind, config: ModelConfig, labels: LabelSet, texts: Sequence[str]) -> Classifier:
        """Pretrained encoders, and a random head and whatever else starts from nothing, which depend on the seed
        alone; a vocabulary that is pruned keeps the words of `texts`. Raises BackboneError."""
        torch.manual_seed(config.seed)
        text = load_text(config.text, kind, texts)
        image = load_image(config.image, kind, config.head.grid)
        torch.manual_seed(config.seed)
        network = TwoTowerNetwork(text.encoder, image.encoder, config.head, len(labels), config.image.trainable)
        spec = PreprocessSpec(image=image.spec, text=text.spec)
        return cls(kind, config, labels, spec, text.tokenizer_json, network)

    def encode_train(
        self,
        examples: Sequence[Example],
        teacher: Outputs[NDArray[np.float32]] | None = None,
        unlabelled: Sequence[Example] = (),
    ) -> EncodedDataset:
        """As `encode`, for training: augmented as `config.augment` says. Raises RecipeError for a mask that the
        tokenizer does not have."""
        encoded = self.encode(examples, teacher, unlabelled)
        return replace(encoded, augmentation=augmentation(self, [*examples, *unlabelled]))

    def encode(
        self,
        examples: Sequence[Example],
        teacher: Outputs[NDArray[np.float32]] | None = None,
        unlabelled: Sequence[Example] = (),
    ) -> EncodedDataset:
        """Everything that is computed once: token ids, targets and, with a frozen image tower, features.

        `unlabelled` examples follow the others; `teacher` holds a teacher's outputs for all of them.
        """
        labelled = np.arange(len(examples) + len(unlabelled)) < len(examples)
        examples = [*examples, *(replace(example, labels=()) for example in unlabelled)]
        features = None
        if self.network.modalities == "text":
            features = np.zeros((len(examples), *self.network.image.shape), dtype=np.float32)
        elif not self.network.image_trainable:
            device = default_device()
            features = image_features(self.network.image.to(device), self.spec.image, examples, device)
        return EncodedDataset(
            names=[example.id for example in examples],
            token_ids=tokenise(load_tokenizer(self.tokenizer_json, self.spec.text), [e.text for e in examples]),
            targets=self.labels.encode([example.labels for example in examples]),
            labelled=labelled,
            present=np.array([[has_text(e.text), e.image is not None] for e in examples], dtype=np.float32),
            images=[example.image for example in examples],
            image_spec=self.spec.image,
            pad_id=self.spec.text.pad_id,
            features=features,
            teacher=teacher,
        )

    def answer(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L) of a batch as a Bundle would be given it, on the CPU: what export is held to."""
        inputs = batch.feed() | {"pixels": normalise(batch.pixels, self.spec.image)}
        network = self.network.cpu().eval()
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(**{k: torch.from_numpy(v) for k, v in inputs.items()}).numpy()
        return logits

    def logits(self, encoded: EncodedDataset) -> NDArray[np.float32]:
        """float32 (N, L), in the order of the examples."""
        return self.outputs(encoded).logits

    def outputs(self, encoded: EncodedDataset) -> Outputs[NDArray[np.float32]]:
        """Logits and the encoders' outputs, in the order of the examples; batches are made of like lengths."""
        device = default_device()
        network = self.network.to(device).eval()
        order = np.argsort(encoded.lengths(), kind="stable")
        widths = Outputs(len(self.labels), network.text.width, network.image.width)
        result = widths.map(lambda width: np.zeros((len(encoded), width), dtype=np.float32))
        with torch.no_grad():
            step = EVAL_BATCH * processes.count()  # of several processes, each takes every so manieth batch
            for start in range(EVAL_BATCH * processes.rank(), len(order), step):
                rows = order[start : start + EVAL_BATCH]
                batch = encoded.collate([encoded[int(row)] for row in rows])
                inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
                part = network.outputs(**inputs).map(lambda tensor: tensor.float().cpu().numpy())
                result.logits[rows], result.text[rows], result.image[rows] = part.logits, part.text, part.image
        return result.map(processes.added)


def augmentation(classifier: Classifier, examples: Sequence[Example]) -> Augmentation | None:
    """How `classifier.config.augment` changes these examples in training; None where it changes nothing."""
    config, network = classifier.config, classifier.network
    augment, text = config.augment, None
    words: list[Words] = []
    if (augment.word_edit_rate > 0 or augment.token_mask_rate > 0) and network.modalities != "image":
        tokenizer = load_tokenizer(classifier.tokenizer_json, classifier.spec.text)
        words = to_words(tokenizer, [e.text for e in examples])
        mask = (
            mask_id(tokenizer, f"{classifier.kind}.augment.token_mask_rate")
            if augment.token_mask_rate > 0
            else None
        )
        table = network.text.embeddings()
        near = near_words(tokenizer, table, words) if augment.word_edit_rate > 0 and table is not None else {}
        text = TextAugmenter(
            augment.word_edit_rate, augment.token_mask_rate, near, mask, classifier.spec.text.max_tokens
        )
    images, views = None, None
    if augment.image_strength > 0 and network.modalities != "text":
        images = ImageAugmenter(augment.image_strength)
        if not network.image_trainable:
            device, spec = default_device(), classifier.spec.image
            numbered = [View(images, number) for number in range(1, augment.image_views + 1)]
            encoder = network.image.to(device)
            views = np.stack([image_features(encoder, spec, examples, device, view) for view in numbered], axis=1)
    if text is None and images is None:
        return None
    return Augmentation(config.seed, text, words, images, views)
