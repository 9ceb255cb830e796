"""Texts changed a little for training: words replaced, added, swapped or deleted, tokens masked. Knows words' ids.

The four operations are those of Wei and Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance
on Text Classification Tasks". Their synonyms come from WordNet; here they are a word's nearest neighbours in the
encoder's own embedding table, which needs no other file and works in the languages that the encoder knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.core.errors import RecipeError
from distill.core.untrusted import replace_surrogates

Word = tuple[int, ...]  # the ids of one word
MASKS = ("[MASK]", "<mask>")
NEAR = 0.55  # cosine; below it "trump" is near "obama", above it "vote" is near "voted" and "ballots"
NEIGHBOURS = 3
CHUNK = 512


@dataclass(frozen=True)
class Words:
    """A text as its words' ids, between the special ids that the tokenizer puts before and after them."""

    first: Word
    words: tuple[Word, ...]
    last: Word


@dataclass(frozen=True)
class TextAugmenter:
    """Changes a share `words` of a text's words and masks a share `tokens` of its tokens, each in [0, 1).

    `near` has the ids that may stand for a word of one id; `mask` is the mask's id, None where there is none.
    """

    words: float
    tokens: float
    near: dict[int, tuple[int, ...]]
    mask: int | None
    max_tokens: int

    def ids(self, text: Words, generator: np.random.Generator) -> list[int]:
        """The ids of the text, changed: one of the operations, or in one draw of five or three none, then masks.
        Never longer than max_tokens, and never without a word where there was one."""
        words = list(text.words)
        if self.words > 0 and words:
            words = self._changed(words, generator)
        inner = [id_ for word in words for id_ in word]
        if self.tokens > 0 and self.mask is not None:
            drawn = generator.random(len(inner)) < self.tokens
            inner = [self.mask if hit else id_ for id_, hit in zip(inner, drawn, strict=True)]
        room = self.max_tokens - len(text.first) - len(text.last)
        return [*text.first, *inner[:room], *text.last]

    def _changed(self, words: list[Word], generator: np.random.Generator) -> list[Word]:
        count = max(1, round(self.words * len(words)))
        operations: list[Callable[[], list[Word]]] = [
            lambda: words,
            lambda: _swapped(words, count, generator),
            lambda: _thinned(words, self.words, generator),
        ]
        if self.near:
            operations += [
                lambda: self._replaced(words, count, generator),
                lambda: self._with_more(words, count, generator),
            ]
        return operations[generator.integers(len(operations))]()

    def _replaced(self, words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
        result = list(words)
        known = [place for place, word in enumerate(words) if len(word) == 1 and word[0] in self.near]
        for place in generator.permutation(known)[:count]:
            result[place] = self._neighbour(words[place], generator)
        return result

    def _with_more(self, words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
        result = list(words)
        known = [word for word in words if len(word) == 1 and word[0] in self.near]
        for _ in range(count if known else 0):
            new = self._neighbour(known[generator.integers(len(known))], generator)
            result.insert(generator.integers(len(result) + 1), new)
        return result

    def _neighbour(self, word: Word, generator: np.random.Generator) -> Word:
        near = self.near[word[0]]
        return (near[generator.integers(len(near))],)


def _swapped(words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
    result = list(words)
    for _ in range(count):
        one, other = generator.integers(len(result), size=2)
        result[one], result[other] = result[other], result[one]
    return result


def _thinned(words: list[Word], share: float, generator: np.random.Generator) -> list[Word]:
    kept = generator.random(len(words)) >= share
    kept[generator.integers(len(words))] = True
    return [word for word, keep in zip(words, kept, strict=True) if keep]


def to_words(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Words]:
    """Each text's ids, grouped as the tokenizer's own words."""
    return [
        _grouped(found.ids, found.word_ids)
        for found in tokenizer.encode_batch([replace_surrogates(text) for text in texts])
    ]


def _grouped(ids: list[int], word_ids: list[int | None]) -> Words:
    inner = [place for place, word in enumerate(word_ids) if word is not None]
    if not inner:
        return Words(tuple(ids), (), ())
    words: list[list[int]] = []
    for place in range(inner[0], inner[-1] + 1):
        if place == inner[0] or word_ids[place] != word_ids[place - 1]:
            words.append([])
        words[-1].append(ids[place])
    return Words(tuple(ids[: inner[0]]), tuple(map(tuple, words)), tuple(ids[inner[-1] + 1 :]))


def mask_id(tokenizer: Tokenizer, where: str) -> int:
    """The id of the tokenizer's mask. Raises RecipeError, naming the recipe's key `where`, when it has none."""
    for name in MASKS:
        found: int | None = tokenizer.token_to_id(name)
        if found is not None:
            return found
    raise RecipeError(f"{where}: this text encoder's vocabulary has no {' or '.join(MASKS)}; set it to 0")


def near_words(
    tokenizer: Tokenizer, embeddings: NDArray[np.float32], texts: Sequence[Words]
) -> dict[int, tuple[int, ...]]:
    """For each word of the texts that is one id: the ids of at most NEIGHBOURS other whole words whose embeddings
    (V, W) have a cosine of at least NEAR to its own. Words without such a neighbour are left out."""
    vocabulary = min(tokenizer.get_vocab_size(), len(embeddings))
    spelled = [tokenizer.decode([id_]).strip() for id_ in range(vocabulary)]
    tokens = tokenizer.encode_batch(spelled, add_special_tokens=False)
    whole = np.array([s.isalpha() and t.ids == [i] for i, (s, t) in enumerate(zip(spelled, tokens, strict=True))])
    candidates = np.flatnonzero(whole)
    used = sorted({word[0] for text in texts for word in text.words if len(word) == 1 and whole[word[0]]})
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(length, 1e-12)
    near = {}
    for start in range(0, len(used), CHUNK):
        chunk = used[start : start + CHUNK]
        cosines = unit[chunk] @ unit[candidates].T
        for id_, row in zip(chunk, cosines, strict=True):
            best = np.argpartition(-row, min(NEIGHBOURS, len(row) - 1))[: NEIGHBOURS + 1]  # itself among them
            ordered = best[np.argsort(-row[best], kind="stable")]
            close = tuple(int(candidates[k]) for k in ordered if candidates[k] != id_ and row[k] >= NEAR)
            if close:
                near[id_] = close[:NEIGHBOURS]
    return near
