"""Augmentation: texts and images that training sees changed, and nobody else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from chain import Chain
from sklearn.metrics.pairwise import cosine_similarity

from distill.core.errors import RecipeError
from distill.core.settings.model_config import Augment, Head
from distill.model.augment.image import ImageAugmenter
from distill.model.augment.text import (
    MAX_NEIGHBOURS,
    MIN_COSINE,
    TextAugmenter,
    TokenizedText,
    mask_id,
    nearest_neighbours,
    tokenize_words,
)
from distill.model.classifier import Classifier
from distill.preprocess.images import image_to_uint8
from distill.preprocess.text import load_tokenizer

TEXT = TokenizedText(prefix=(1,), words=((10,), (11, 12), (13,), (14,)), suffix=(2,))
NEIGHBOURS_OF = {10: (20, 21), 13: (23,)}


def augmenter(words: float = 0.0, tokens: float = 0.0, max_tokens: int = 64) -> TextAugmenter:
    return TextAugmenter(words, tokens, NEIGHBOURS_OF, 99, max_tokens)


def draws(of: TextAugmenter, text: TokenizedText, count: int = 2000) -> list[list[int]]:
    return [of.augment(text, np.random.default_rng(seed)) for seed in range(count)]


def classifier_of(chain: Chain, augment: Augment, **image: bool) -> Classifier:
    config = chain.recipe.teacher
    config = replace(config, augment=augment, image=replace(config.image, **image))
    return Classifier.pretrained("teacher", config, chain.splits.labels, [e.text for e in chain.splits.train])


def test_every_operation_comes_about_as_often_and_does_what_its_name_says() -> None:
    seen: Counter[str] = Counter()
    for ids in draws(augmenter(words=0.25), TEXT):  # one word of four
        assert (ids[0], ids[-1]) == (1, 2)
        inner, fresh = ids[1:-1], {20, 21, 23} & set(ids)
        if inner == [10, 11, 12, 13, 14]:
            seen["as it is"] += 1
        elif fresh and len(inner) == 6:
            assert [i for i in inner if i not in fresh] == [10, 11, 12, 13, 14]
            seen["one more"] += 1
        elif fresh:
            assert inner in ([20, 11, 12, 13, 14], [21, 11, 12, 13, 14], [10, 11, 12, 23, 14])
            seen["replaced"] += 1
        elif len(inner) == 5:
            assert sorted(inner) == [10, 11, 12, 13, 14]
            assert inner.index(12) == inner.index(11) + 1  # a word stays whole
            seen["swapped"] += 1
        else:
            rest = iter([10, 11, 12, 13, 14])
            assert all(id_ in rest for id_ in inner)  # in their order
            assert inner
            seen["fewer"] += 1
    assert seen["replaced"] == pytest.approx(400, abs=60)
    assert seen["one more"] == pytest.approx(400, abs=60)
    assert seen["swapped"] == pytest.approx(400 * 3 / 4, abs=60)  # one swap of four is of a word with itself
    assert seen["fewer"] == pytest.approx(400 * (1 - 0.75**4), abs=60)


def test_masks_take_their_share_of_the_tokens_and_no_special_one() -> None:
    drawn = draws(augmenter(tokens=0.3), TEXT)
    assert {(ids[0], ids[-1], len(ids)) for ids in drawn} == {(1, 2, 7)}
    assert np.mean([[id_ == 99 for id_ in ids[1:-1]] for ids in drawn]) == pytest.approx(0.3, abs=0.02)


def test_a_changed_text_is_never_too_long_and_never_empty() -> None:
    assert max(len(ids) for ids in draws(augmenter(words=0.9, max_tokens=7), TEXT)) == 7
    assert min(len(ids) for ids in draws(augmenter(words=0.9), TEXT)) == 3
    assert augmenter(words=0.9, tokens=0.9).augment(TokenizedText((1, 2), (), ()), np.random.default_rng(0)) == [
        1,
        2,
    ]


def test_words_hold_every_id_of_the_tokenizer(chain: Chain) -> None:
    classifier = classifier_of(chain, Augment(0.0, 0.0, 0.0, 1))
    tokenizer = load_tokenizer(classifier.tokenizer_json, classifier.spec.text)
    texts = [*(e.text for e in chain.splits.train), "", "WHO?! did-this 🙂 \ud800", "unheard " * 100]
    for words, encoded in zip(tokenize_words(tokenizer, texts), texts, strict=True):
        ids = [*words.prefix, *(id_ for word in words.words for id_ in word), *words.suffix]
        assert ids == tokenizer.encode(encoded.encode("utf-8", "replace").decode()).ids


def test_near_words_are_those_of_the_largest_cosine(chain: Chain) -> None:
    classifier = classifier_of(chain, Augment(0.0, 0.0, 0.0, 1))
    tokenizer = load_tokenizer(classifier.tokenizer_json, classifier.spec.text)
    words = tokenize_words(tokenizer, [e.text for e in chain.splits.train])
    table = np.random.default_rng(3).normal(size=(tokenizer.get_vocab_size(), 4)).astype(np.float32)
    neighbours = nearest_neighbours(tokenizer, table, words)
    assert neighbours
    cosines = cosine_similarity(table)
    names = [tokenizer.decode([id_]) for id_ in range(len(table))]
    whole = [i for i, name in enumerate(names) if tokenizer.encode(name, add_special_tokens=False).ids == [i]]
    whole = [i for i in whole if names[i].isalpha()]
    for id_, nearest in neighbours.items():
        ranked = sorted((i for i in whole if i != id_), key=lambda i: -cosines[id_, i])[:MAX_NEIGHBOURS]
        assert list(nearest) == [i for i in ranked if cosines[id_, i] >= MIN_COSINE]


def test_an_image_changes_with_its_seed_alone_and_the_more_the_stronger(chain: Chain) -> None:
    spec = classifier_of(chain, Augment(0.0, 0.0, 0.0, 1)).spec.image
    images = [e.image for e in chain.splits.dev[:12] if e.image is not None]
    state = torch.random.get_rng_state()

    def moved(strength: float) -> float:
        augmenter = ImageAugmenter(strength)
        augmented = [augmenter.augment(image, spec, seed) for seed, image in enumerate(images)]
        assert {(part.shape, part.dtype) for part in augmented} == {((32, 32, 3), np.dtype(np.uint8))}
        assert all(
            (augmenter.augment(i, spec, s) == m).all()
            for s, (i, m) in enumerate(zip(images, augmented, strict=True))
        )
        plain = np.stack([image_to_uint8(image, spec) for image in images]).astype(float)
        return float(np.abs(np.stack(augmented) - plain).mean())

    assert 0 < moved(0.1) < moved(0.5) < moved(1.0)
    assert (torch.random.get_rng_state() == state).all()  # dropout does not depend on it


def test_an_epoch_draws_the_same_example_twice_and_another_epoch_another_one(chain: Chain) -> None:
    classifier = classifier_of(chain, Augment(0.2, 0.2, 0.5, 1), trainable=True)
    encoded = classifier.encode_train(chain.splits.train[:20])
    part = encoded.subset(np.arange(5, 15))
    first, again, later = (part.augmented(3, epoch) for epoch in (1, 1, 2))
    assert first.token_ids == again.token_ids
    assert first.pixels is not None
    assert (first.pixels == again.pixels).all()
    assert (first.pixels != later.pixels).any()
    drawn = [part.augmented(3, epoch).token_ids for epoch in range(30)]
    assert len({tuple(ids) for ids in drawn}) > 10
    assert set(part[3].token_ids) & set(drawn[0])  # of the same text
    assert part[3].pixels is not None
    assert (part[3].pixels == encoded[8].pixels).all()
    assert part[3].token_ids == encoded.token_ids[8]


def test_a_frozen_branch_caches_its_views_and_an_epoch_draws_one_of_them_or_the_image(
    chain: Chain, images_run: list[int]
) -> None:
    examples = chain.splits.train[:6]
    classifier = classifier_of(chain, Augment(0.0, 0.0, 0.5, 2), trainable=False)
    encoded = classifier.encode_train(examples)
    assert sum(images_run) == 3 * len(
        {e.image.read_bytes() for e in examples if e.image}
    )  # the images and two views
    classifier.encode_train(examples)
    classifier.encode(examples)
    assert sum(images_run) == 3 * len({e.image.read_bytes() for e in examples if e.image})
    assert encoded.augmentation is not None
    assert encoded.augmentation.views is not None
    assert encoded.features is not None
    choices = [encoded.features[2], *encoded.augmentation.views[2]]
    drawn = [encoded.augmented(2, epoch).features for epoch in range(60)]
    which = Counter(next(i for i, feature in enumerate(choices) if (feature == f).all()) for f in drawn)
    assert sorted(which) == [0, 1, 2]
    assert min(which.values()) > 10
    stronger = replace(classifier, config=replace(classifier.config, augment=Augment(0.0, 0.0, 0.9, 2)))
    stronger.encode_train(examples)
    assert sum(images_run) == 5 * len({e.image.read_bytes() for e in examples if e.image})


def test_what_a_teacher_does_not_use_is_not_changed(chain: Chain) -> None:
    for uses, text, views in (("text", True, False), ("image", False, True), ("both", True, True)):
        classifier = classifier_of(chain, Augment(0.2, 0.0, 0.5, 1), trainable=False)
        head = Head(**(vars(classifier.config.head) | {"modalities": uses}))
        classifier.network.modalities = head.modalities
        augmentation = classifier.encode_train(chain.splits.train[:4]).augmentation
        assert augmentation is not None
        assert (augmentation.text is not None, augmentation.views is not None) == (text, views)
    assert classifier_of(chain, Augment(0.0, 0.0, 0.0, 1)).encode_train(chain.splits.train[:4]).augmentation is None


def test_a_vocabulary_without_a_mask_is_named(chain: Chain) -> None:
    classifier = classifier_of(chain, Augment(0.0, 0.0, 0.0, 1))
    tokenizer = load_tokenizer(classifier.tokenizer_json.replace("[MASK]", "[OTHER]"), classifier.spec.text)
    with pytest.raises(
        RecipeError, match=r"teacher\.augment\.token_mask_rate: this text encoder's vocabulary has no \[MASK\]"
    ):
        mask_id(tokenizer, "teacher.augment.token_mask_rate")
