"""Hashed n-grams of tokens with TF-IDF weights and a linear layer on them, as a part of a network's logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

BUCKETS = 65_521  # a prime; n-grams of one bucket share their weights
FIRST, SECOND = 40_503, 60_493  # multipliers of an n-gram's first and second token
MIN_DOCUMENTS = 2  # an n-gram in fewer texts has no weight


class NgramLogits(nn.Module):
    """The TF-IDF of a text's single tokens and pairs of neighbours, times a weight for each label.

    tf = 1 + ln(count), idf = 1 + ln((1 + N) / (1 + df)) over the N training texts, each text's vector of length 1,
    as scikit-learn's TfidfTransformer with sublinear_tf; features are hashed into BUCKETS (Weinberger et al. 2009,
    "Feature Hashing for Large Scale Multitask Learning"). An n-gram of fewer than MIN_DOCUMENTS texts, or of all of
    them, such as the tokens that frame a text, has idf 0.
    """

    idf: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, labels: int, tokens: int) -> None:
        """`tokens` is the size of the vocabulary."""
        super().__init__()
        # What a token adds to its bucket, alone or first in a pair, and second in one. Looked up, not computed:
        # OpenVINO and LiteRT multiply and divide integers in less than 64 bits.
        ids = torch.arange(tokens)
        self.register_buffer("first", (ids * FIRST % BUCKETS).int(), persistent=False)
        self.register_buffer("second", ((ids + 1) * SECOND % BUCKETS).int(), persistent=False)
        self.weight = nn.Parameter(torch.zeros(BUCKETS, labels))
        self.register_buffer("idf", torch.zeros(BUCKETS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits float (B, L) from ids and mask int64 (B, T), where padding is at the end."""
        single, added = self.first[input_ids], self.second[input_ids[:, 1:]]
        pairs = single[:, :-1] + added
        pairs = pairs - BUCKETS * (pairs >= BUCKETS).int()
        buckets = torch.cat([single, pairs], dim=1).long()
        idf = self.idf[buckets] * torch.cat([attention_mask, attention_mask[:, 1:]], dim=1)
        present = (idf > 0).to(idf.dtype)
        # Each n-gram stands at `count` places, which share its weight.
        count = ((buckets[:, :, None] == buckets[:, None, :]).to(idf.dtype) * present[:, None, :]).sum(-1)
        count = count.clamp(min=1.0)
        weight = idf * (1 + torch.log(count))
        norm = (weight**2 / count).sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        logits: Tensor = ((weight / count / norm)[:, :, None] * F.embedding(buckets, self.weight)).sum(1)
        return logits

    def fit_idf(self, token_ids: Sequence[Sequence[int]]) -> None:
        """Set the idf from the training texts."""
        counts = _counts(token_ids)
        texts, documents = counts.shape[0], np.bincount(counts.indices, minlength=BUCKETS)
        idf = 1 + np.log((1 + texts) / (1 + documents))
        idf[(documents < MIN_DOCUMENTS) | (documents == texts)] = 0
        self.idf.copy_(torch.from_numpy(idf.astype(np.float32)))

    def features(self, token_ids: Sequence[Sequence[int]]) -> csr_matrix:
        """The TF-IDF vectors of N texts, sparse float64 (N, BUCKETS): `forward` is their product with `weight`."""
        counts = _counts(token_ids)
        values = (1 + np.log(counts.data)) * self.idf.cpu().numpy().astype(np.float64)[counts.indices]
        tfidf = csr_matrix((values, counts.indices, counts.indptr), counts.shape)
        norms = np.sqrt(np.asarray(tfidf.multiply(tfidf).sum(1)).ravel())
        tfidf.data /= np.repeat(np.maximum(norms, 1e-12), np.diff(tfidf.indptr))
        return tfidf


def _counts(token_ids: Sequence[Sequence[int]]) -> csr_matrix:
    """How often each bucket occurs in each text, float64 (N, BUCKETS)."""
    buckets, ends = [], [0]
    for row in token_ids:
        ids = np.asarray(row, dtype=np.int64)
        pairs = (ids[:-1] * FIRST + (ids[1:] + 1) * SECOND) % BUCKETS
        buckets += [ids * FIRST % BUCKETS, pairs]
        ends.append(ends[-1] + len(ids) + len(pairs))
    columns = np.concatenate(buckets) if buckets else np.zeros(0, dtype=np.int64)
    counts = csr_matrix((np.ones(len(columns)), columns, ends), (len(token_ids), BUCKETS))
    counts.sum_duplicates()
    return counts
