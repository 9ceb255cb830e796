"""A network with the tokenizer, preprocessing and labels that turn Examples into its inputs and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.settings.model_config import ModelConfig
from distill.data.dataset import Example, Splits, encode_targets
from distill.data.labels import LabelSet
from distill.model import distributed
from distill.model.augment.image import ImageAugmenter
from distill.model.augment.text import TextAugmenter, TokenizedText, mask_id, nearest_neighbours, tokenize_words
from distill.model.compute import autocast, default_device
from distill.model.dataset import Augmentation, EncodedDataset
from distill.model.encoders.image import load_image
from distill.model.encoders.text import load_text
from distill.model.features import AugmentedView, FeatureExtractor
from distill.model.fusion import Concat
from distill.model.network import TwoTowerNetwork
from distill.model.outputs import Outputs
from distill.model.text_features import with_text_features
from distill.preprocess.images import normalise
from distill.preprocess.inputs import ModelInputs, Preprocessor, PreprocessSpec, warn_of_capitals, warn_of_cut_texts
from distill.preprocess.text import has_text, load_tokenizer, tokenise, vocabulary_size
from distill.runtime.bundle import Kind
from distill.scoring.probabilities import to_probabilities

EVAL_BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """Network, labels, tokenizer and preprocessing, built from `config`; trained or not."""

    kind: Kind
    config: ModelConfig
    labels: LabelSet
    spec: PreprocessSpec
    tokenizer_json: str
    network: TwoTowerNetwork

    @classmethod
    def pretrained(cls, kind: Kind, config: ModelConfig, labels: LabelSet, texts: Sequence[str]) -> Classifier:
        """Pretrained encoders and a randomly initialised head, before training. Random weights depend on the seed
        alone; a pruned vocabulary keeps the words of `texts`. Raises BackboneError."""
        torch.manual_seed(config.seed)
        text = load_text(config.text, kind, texts)
        image = load_image(config.image, kind, config.head.grid)
        torch.manual_seed(config.seed)
        tokenizer = load_tokenizer(text.tokenizer_json, text.spec)
        network = TwoTowerNetwork(text.encoder, image.encoder, config, len(labels), vocabulary_size(tokenizer))
        if network.ngrams is not None:
            network.ngrams.fit_idf(tokenise(tokenizer, list(texts)))
        spec = PreprocessSpec(image=image.spec, text=text.spec)
        return cls(kind, config, labels, spec, text.tokenizer_json, network)

    def warn_of_texts(self, splits: Splits) -> None:
        """Print how many texts of train and dev are longer than the model reads, and whether its tokenizer is one
        that capitals break."""
        if self.network.modalities == "image":
            return
        texts = [example.text for example in (*splits.train, *splits.dev)]
        preprocessor = Preprocessor(self.spec, self.tokenizer_json)
        warn_of_cut_texts("train and dev", preprocessor, texts)
        warn_of_capitals("train and dev", preprocessor, texts, f"{self.kind}.text.lowercase")

    def encode_train(
        self,
        examples: Sequence[Example],
        teacher: Outputs[NDArray[np.float32]] | None = None,
    ) -> EncodedDataset:
        """As `encode`, for training: with the augmentation of `config.augment`. Raises RecipeError for a share of
        masked tokens where the tokenizer has no mask."""
        encoded = self.encode(examples, teacher)
        augmentation = self._augmentation(examples)
        if augmentation is not None and augmentation.text is not None:
            encoded = replace(encoded, text_features=None)  # they would be those of the texts as they are
        return replace(encoded, augmentation=augmentation)

    def encode(
        self,
        examples: Sequence[Example],
        teacher: Outputs[NDArray[np.float32]] | None = None,
    ) -> EncodedDataset:
        """What is computed once for all epochs: token ids, targets and the features of frozen towers.

        `teacher` holds a teacher's outputs for the examples. Raises ImageError.
        """
        features = None
        if self.network.modalities == "text":
            features = np.zeros((len(examples), *self.network.image.shape), dtype=np.float32)
        elif not self.network.image_trainable:
            features = self._extractor().features(examples)
        encoded = EncodedDataset(
            ids=[example.id for example in examples],
            token_ids=tokenise(load_tokenizer(self.tokenizer_json, self.spec.text), [e.text for e in examples]),
            targets=encode_targets(examples, self.labels),
            groups=self.labels.group_columns,
            present=np.array([[has_text(e.text), e.image is not None] for e in examples], dtype=np.float32),
            images=[example.image for example in examples],
            image_spec=self.spec.image,
            pad_id=self.spec.text.pad_id,
            features=features,
            text_features=None,
            teacher=teacher,
        )
        return encoded if self.network.text_trainable else with_text_features(self.network, encoded)

    def _extractor(self, view: AugmentedView | None = None) -> FeatureExtractor:
        device = default_device()
        return FeatureExtractor(self.network.image.to(device), self.spec.image, device, view)

    def batch_logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L) of a Bundle's batch on the CPU: the reference that export must reproduce."""
        inputs = batch.feed() | {"pixels": normalise(batch.pixels, self.spec.image)}
        network = self.network.cpu().eval()
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(**{k: torch.from_numpy(v) for k, v in inputs.items()}).numpy()
        return logits

    def logits(self, encoded: EncodedDataset) -> NDArray[np.float32]:
        """Logits float32 (N, L), in the order of the examples."""
        return self.outputs(encoded).logits

    def probabilities(self, encoded: EncodedDataset) -> NDArray[np.float32]:
        """Probabilities float32 (N, L), in the order of the examples."""
        return to_probabilities(self.logits(encoded), self.labels.group_columns)

    def output_widths(self) -> Outputs[int]:
        """How many values of each output an example has."""
        return Outputs(len(self.labels), self.network.text.width, self.network.image.width)

    def outputs(self, encoded: EncodedDataset, as_trained: bool = False) -> Outputs[NDArray[np.float32]]:
        """Logits and the encoders' outputs, in the order of the examples; texts of similar length share a batch.

        The encoders run in the arithmetic of their training if `as_trained`, which only the process that trained
        them knows; else in fp32, in which they are shipped.
        """
        device = default_device()
        network = self.network.to(device).eval()
        arithmetic = autocast(network.trained_in if as_trained else "fp32")
        result = self.output_widths().map(lambda width: np.zeros((len(encoded), width), dtype=np.float32))
        batches = encoded.batches_by_length(EVAL_BATCH)
        with torch.no_grad():  # several processes take turns with the batches
            for rows in batches[distributed.rank() :: distributed.world_size()]:
                batch = encoded.collate([encoded[int(row)] for row in rows])
                inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
                with arithmetic:
                    inputs |= network.pooled(**inputs)
                part = network.outputs(**inputs).map(lambda tensor: tensor.float().cpu().numpy())
                result.logits[rows], result.text[rows], result.image[rows] = part.logits, part.text, part.image
        return result.map(distributed.all_reduce_sum)

    def with_pooled(self, encoded: EncodedDataset, outputs: Outputs[NDArray[np.float32]]) -> EncodedDataset:
        """These examples with what the encoders said of them, so that no encoder runs again; as they are where the
        fusion reads tokens and cells."""
        if not isinstance(self.network.fusion, Concat):
            return encoded
        return replace(encoded, text_features=outputs.text, features=outputs.image)

    def _augmentation(self, examples: Sequence[Example]) -> Augmentation | None:
        """What `config.augment` does to these examples in training; None where it does nothing."""
        augment, network = self.config.augment, self.network
        text, images, views = None, None, None
        tokenized: list[TokenizedText] = []
        if (augment.word_edit_rate > 0 or augment.token_mask_rate > 0) and network.modalities != "image":
            tokenizer = load_tokenizer(self.tokenizer_json, self.spec.text)
            tokenized = tokenize_words(tokenizer, [e.text for e in examples])
            mask = None
            if augment.token_mask_rate > 0:
                mask = mask_id(tokenizer, f"{self.kind}.augment.token_mask_rate")
            table = network.text.pretrained_embeddings() if augment.word_edit_rate > 0 else None
            neighbours = {} if table is None else nearest_neighbours(tokenizer, table, tokenized)
            text = TextAugmenter(
                augment.word_edit_rate, augment.token_mask_rate, neighbours, mask, self.spec.text.max_tokens
            )
        if augment.image_strength > 0 and network.modalities != "text":
            images = ImageAugmenter(augment.image_strength)
            if not network.image_trainable:
                numbered = [AugmentedView(images, number) for number in range(1, augment.image_views + 1)]
                views = np.stack([self._extractor(view).features(examples) for view in numbered], axis=1)
        if text is None and images is None:
            return None
        return Augmentation(self.config.seed, text, tokenized, images, views)
