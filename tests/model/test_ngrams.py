"""N-grams as a part of a network's logits, against scikit-learn's TF-IDF."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from distill.model.ngrams import NgramLogits

TOKENS = 250_000  # as in multilingual vocabularies
GENERATOR = np.random.default_rng(5)
TEXTS = [[101, *GENERATOR.integers(1000, 1012, GENERATOR.integers(1, 30)), 102] for _ in range(40)]


def tokens_and_pairs(text: str) -> list[str]:
    tokens = text.split()
    return [*tokens, *(f"{first}+{second}" for first, second in itertools.pairwise(tokens))]


@pytest.fixture(scope="module")
def ngrams() -> NgramLogits:
    made = NgramLogits(labels=3, tokens=TOKENS)
    made.fit_idf(TEXTS)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(GENERATOR.normal(size=made.weight.shape)))
    return made


def test_features_are_scikit_learns_tf_idf(ngrams: NgramLogits) -> None:
    """Both give the same angles between texts, whatever number each gives a feature."""
    vectorizer = TfidfVectorizer(analyzer=tokens_and_pairs, sublinear_tf=True, min_df=2, max_df=len(TEXTS) - 1)
    expected = vectorizer.fit_transform([" ".join(map(str, text)) for text in TEXTS])
    features = ngrams.features(TEXTS)
    np.testing.assert_allclose((features @ features.T).toarray(), (expected @ expected.T).toarray(), atol=1e-6)


def test_logits_are_the_features_times_the_weights(ngrams: NgramLogits) -> None:
    """Also of texts that are padded, have one token, or nothing that training has seen."""
    texts = [*TEXTS, [101], [101, 5, 102], [7, 8, 9], [TOKENS - 1, TOKENS - 2]]
    longest = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    expected = ngrams.features(texts) @ ngrams.weight.detach().numpy()
    np.testing.assert_allclose(ngrams(ids, mask).detach().numpy(), expected, atol=1e-5)
    assert (ngrams(ids, mask)[-3:] == 0).all()


def test_the_exported_buckets_are_those_of_torch_in_every_runtime(ngrams: NgramLogits, tmp_path: Path) -> None:
    """Runtimes that compute whole numbers as floats, or in 32 bits, too, for the largest ids of a vocabulary."""
    openvino = pytest.importorskip("openvino")
    known = GENERATOR.integers(0, TOKENS, 60)
    known[:2] = TOKENS - 1, 0
    wide = NgramLogits(labels=3, tokens=TOKENS)
    wide.fit_idf([*([*known] for _ in range(3)), [1]])
    wide.load_state_dict(wide.state_dict() | {"weight": ngrams.weight.detach()})
    ids = torch.from_numpy(GENERATOR.choice(known, (4, 20)))
    mask = torch.ones_like(ids)
    wide.eval()
    file = tmp_path / "ngrams.onnx"
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(wide, (ids, mask), file, input_names=names, dynamo=True, verbose=False)
    feed = dict(zip(names, (ids.numpy(), mask.numpy()), strict=True))
    expected = wide(ids, mask).detach().numpy()
    assert np.abs(expected).min(axis=0).max() > 0
    (answer,) = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, feed)
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(feed)[0], expected, atol=1e-4)
