"""Text augmentation: words replaced by near ones, inserted, swapped or deleted (EDA), and tokens masked.

The four word operations are those of Wei and Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting
Performance on Text Classification Tasks". Their synonyms come from WordNet; here they are a word's nearest
neighbours in the encoder's own embedding table, which needs no other file and works in the encoder's languages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.core.errors import RecipeError
from distill.core.untrusted import replace_surrogates

Word = tuple[int, ...]  # the token ids of one word
MASKS = ("[MASK]", "<mask>")
MIN_COSINE = 0.55  # below it "trump" is near "obama", above it "vote" is near "voted" and "ballots"
MAX_NEIGHBOURS = 3
CHUNK = 512


@dataclass(frozen=True)
class TokenizedText:
    """A text's token ids grouped into words, between the special tokens before (`prefix`) and after (`suffix`)."""

    prefix: tuple[int, ...]
    words: tuple[Word, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True)
class TextAugmenter:
    """Changes a share `words` of a text's words and masks a share `tokens` of its tokens, each in [0, 1).

    `neighbours` maps the id of a one-token word to the ids that may replace it; `mask` is the mask token's id, None
    where there is none.
    """

    words: float
    tokens: float
    neighbours: dict[int, tuple[int, ...]]
    mask: int | None
    max_tokens: int

    def augment(self, text: TokenizedText, generator: np.random.Generator) -> list[int]:
        """Token ids after one word operation, drawn from all that apply and from none at all, and after masking.
        At most max_tokens; a text with words keeps at least one."""
        words = list(text.words)
        if self.words > 0 and words:
            words = self._change_words(words, generator)
        inner = [id_ for word in words for id_ in word]
        if self.tokens > 0 and self.mask is not None:
            masked = generator.random(len(inner)) < self.tokens
            inner = [self.mask if hit else id_ for id_, hit in zip(inner, masked, strict=True)]
        room = self.max_tokens - len(text.prefix) - len(text.suffix)
        return [*text.prefix, *inner[:room], *text.suffix]

    def _change_words(self, words: list[Word], generator: np.random.Generator) -> list[Word]:
        count = max(1, round(self.words * len(words)))
        operations: list[Callable[[], list[Word]]] = [
            lambda: words,
            lambda: _swap(words, count, generator),
            lambda: _delete(words, self.words, generator),
        ]
        if self.neighbours:
            operations += [
                lambda: self._replace(words, count, generator),
                lambda: self._insert(words, count, generator),
            ]
        return operations[generator.integers(len(operations))]()

    def _replace(self, words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
        result = list(words)
        positions = [i for i, word in enumerate(words) if self._has_neighbour(word)]
        for i in generator.permutation(positions)[:count]:
            result[i] = self._neighbour(words[i], generator)
        return result

    def _insert(self, words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
        result = list(words)
        sources = [word for word in words if self._has_neighbour(word)]
        for _ in range(count if sources else 0):
            new = self._neighbour(sources[generator.integers(len(sources))], generator)
            result.insert(generator.integers(len(result) + 1), new)
        return result

    def _has_neighbour(self, word: Word) -> bool:
        return len(word) == 1 and word[0] in self.neighbours

    def _neighbour(self, word: Word, generator: np.random.Generator) -> Word:
        neighbours = self.neighbours[word[0]]
        return (neighbours[generator.integers(len(neighbours))],)


def _swap(words: list[Word], count: int, generator: np.random.Generator) -> list[Word]:
    result = list(words)
    for _ in range(count):
        i, j = generator.integers(len(result), size=2)
        result[i], result[j] = result[j], result[i]
    return result


def _delete(words: list[Word], share: float, generator: np.random.Generator) -> list[Word]:
    kept = generator.random(len(words)) >= share
    kept[generator.integers(len(words))] = True
    return [word for word, keep in zip(words, kept, strict=True) if keep]


def tokenize_words(tokenizer: Tokenizer, texts: Sequence[str]) -> list[TokenizedText]:
    """Each text's token ids, grouped by the tokenizer's own division into words."""
    encodings = tokenizer.encode_batch([replace_surrogates(text) for text in texts])
    return [_group_words(encoding.ids, encoding.word_ids) for encoding in encodings]


def _group_words(ids: list[int], word_ids: list[int | None]) -> TokenizedText:
    inner = [i for i, word in enumerate(word_ids) if word is not None]
    if not inner:
        return TokenizedText(tuple(ids), (), ())
    words: list[list[int]] = []
    for i in range(inner[0], inner[-1] + 1):
        if i == inner[0] or word_ids[i] != word_ids[i - 1]:
            words.append([])
        words[-1].append(ids[i])
    return TokenizedText(tuple(ids[: inner[0]]), tuple(map(tuple, words)), tuple(ids[inner[-1] + 1 :]))


def mask_id(tokenizer: Tokenizer, where: str) -> int:
    """The id of the tokenizer's mask token. Raises RecipeError, naming the recipe's key `where`, if it has none."""
    for name in MASKS:
        id_: int | None = tokenizer.token_to_id(name)
        if id_ is not None:
            return id_
    raise RecipeError(f"{where}: this text encoder's vocabulary has no {' or '.join(MASKS)}; set it to 0")


def nearest_neighbours(
    tokenizer: Tokenizer, embeddings: NDArray[np.float32], texts: Sequence[TokenizedText]
) -> dict[int, tuple[int, ...]]:
    """For each one-token word of the texts: the ids of at most MAX_NEIGHBOURS other whole words whose embeddings
    (V, E) have a cosine similarity of at least MIN_COSINE to its own. Words without a neighbour are left out."""
    vocabulary = min(tokenizer.get_vocab_size(), len(embeddings))
    spelled = [tokenizer.decode([id_]).strip() for id_ in range(vocabulary)]
    tokens = tokenizer.encode_batch(spelled, add_special_tokens=False)
    whole = np.array([s.isalpha() and t.ids == [i] for i, (s, t) in enumerate(zip(spelled, tokens, strict=True))])
    candidates = np.flatnonzero(whole)
    used = sorted({word[0] for text in texts for word in text.words if len(word) == 1 and whole[word[0]]})
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(length, 1e-12)
    neighbours = {}
    for start in range(0, len(used), CHUNK):
        chunk = used[start : start + CHUNK]
        cosines = unit[chunk] @ unit[candidates].T
        for id_, row in zip(chunk, cosines, strict=True):
            best = np.argpartition(-row, min(MAX_NEIGHBOURS, len(row) - 1))[: MAX_NEIGHBOURS + 1]  # with itself
            ordered = best[np.argsort(-row[best], kind="stable")]
            close = tuple(int(candidates[k]) for k in ordered if candidates[k] != id_ and row[k] >= MIN_COSINE)
            if close:
                neighbours[id_] = close[:MAX_NEIGHBOURS]
    return neighbours
