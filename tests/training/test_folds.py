"""Cross-validation holds out together what is the same to a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from photos import photo

from distill.model.dataset import EncodedDataset
from distill.preprocess.images import ImageSpec
from distill.training.folds import Folds
from distill.training.trainer import TrainingData


def test_copies_of_an_image_in_other_files_are_held_out_together(tmp_path: Path) -> None:
    images: list[Path | bytes | None] = []
    for number in range(24):  # pairs: equal files, and one in another quality
        images.append(tmp_path / f"{number}.jpg")
        photo(number // 2).save(tmp_path / f"{number}.jpg", quality=90 if number % 4 < 3 else 60)
    encoded = EncodedDataset(
        ids=[str(number) for number in range(24)],
        token_ids=[[number] for number in range(24)],
        targets=np.ones((24, 1), dtype=np.float32),
        present=np.ones((24, 2), dtype=np.float32),
        images=images,
        image_spec=ImageSpec(8, "squash", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        pad_id=0,
        features=None,
        text_features=None,
        teacher=None,
    )
    folds = Folds.stratified(TrainingData(encoded, encoded), 3, seed=1)
    pairs = [{int(row) // 2 for row in fold.held_out_rows} for fold in folds.parts]
    assert len(set.union(*pairs)) == sum(map(len, pairs)) == 12
