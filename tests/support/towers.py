"""Compares the parts of a model with the whole, on posts that have both halves or lack one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from chain import random_batch

from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.onnx.tower_sessions import open_towers


def assert_parts_answer_as_the_whole(model: Path, rounding: float = 0.0) -> None:
    """Posts in batches, and one alone with both halves and without each; a second time from what was kept."""
    whole, towers = open_session(model, 1), open_towers(model)
    assert towers is not None
    for rows, tokens in ((1, 5), (3, 7), (2, 16)):
        batch = random_batch(rows, tokens)
        alone = [_post(batch, text, image) for text, image in ((1, 1), (1, 0), (0, 1), (1, 0), (0, 1))]
        for asked in (batch, *alone):
            difference = np.abs(towers.run(asked) - run_session(whole, asked)).max()
            assert difference <= rounding


def _post(batch: ModelInputs, text: int, image: int) -> ModelInputs:
    """The first row, with special tokens alone in the place of a missing text, and black in that of an image."""
    tokens = batch.input_ids.shape[1] if text else 2
    return ModelInputs(
        batch.input_ids[:1, :tokens],
        batch.attention_mask[:1, :tokens],
        batch.pixels[:1] * np.uint8(image),
        np.array([[text, image]], dtype=np.float32),
    )
