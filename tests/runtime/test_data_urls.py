"""An image in its row, as a data: URL, is the image of a file to everything that reads rows."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from chain import Chain
from click.testing import CliRunner, Result

from bench.measure.interleave import _file
from bench.quality.eval_set import EvalSet
from distill.cli.main import main
from distill.data.checks import check_splits, content_hash
from distill.data.dataset import Example, examples_to_json, read_splits
from distill.data.image_names import to_data_url
from distill.model.checkpoint import Checkpoint
from distill.runtime.serve.request import parse_request


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def inline(example: Example) -> Example:
    assert isinstance(example.image, Path)
    return replace(example, image=example.image.read_bytes())


def test_rows_with_data_urls_are_predicted_and_measured_as_those_with_files(chain: Chain, tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        examples = [inline(example) for example in getattr(chain.splits, name)]
        (tmp_path / f"{name}.json").write_text(examples_to_json(examples, tmp_path), encoding="utf-8")
    splits = read_splits(tmp_path)
    assert check_splits(splits) == []
    assert list(map(content_hash, splits.train)) == list(map(content_hash, chain.splits.train))
    answers = [distill("predict", chain.fp32, folder / "test.json") for folder in (tmp_path, chain.data)]
    assert answers[0].exit_code == 0
    assert answers[0].stdout == answers[1].stdout
    tables = [
        distill("evaluate", chain.fp32, "--data", folder, "--split", "test") for folder in (tmp_path, chain.data)
    ]
    assert tables[0].exit_code == 0
    assert tables[0].stdout == tables[1].stdout


def test_a_network_and_a_benchmark_see_the_same_image(chain: Chain, tmp_path: Path) -> None:
    files = chain.splits.dev[:4]
    inlined = [inline(example) for example in files]
    classifier = Checkpoint.load(chain.student).classifier
    ours, theirs = (classifier.encode(examples) for examples in (inlined, files))
    assert (classifier.logits(ours) == classifier.logits(theirs)).all()
    pixels = [encoded.augmented(0, 1).pixels for encoded in (ours, theirs)]
    assert np.array_equal(pixels[0], pixels[1])
    eval_set = EvalSet.from_splits(chain.splits, "dev")
    packed = replace(eval_set, examples=tuple(map(inline, eval_set.examples)))
    packed.save(tmp_path / "packed")
    assert packed.sha256() == EvalSet.load(tmp_path / "packed").sha256() == eval_set.sha256()
    assert isinstance(inlined[0].image, bytes)
    assert Path(_file(inlined[0].image, tmp_path) or "").read_bytes() == inlined[0].image


def test_one_image_on_the_command_line_and_over_http(chain: Chain) -> None:
    image = chain.splits.test[0].image
    assert isinstance(image, Path)
    url = to_data_url(image.read_bytes())
    answers = [json.loads(distill("predict", chain.fp32, "--image", each).stdout) for each in (url, image)]
    assert answers[0]["probabilities"] == answers[1]["probabilities"]
    bare = base64.b64encode(image.read_bytes()).decode()
    failed = distill("predict", chain.fp32, "--image", bare)
    assert failed.exit_code == 2
    assert "which names no file; give an image in base64 as data:image/png;base64" in failed.stderr
    assert len(failed.stderr) < 500
    for content in (url, bare):
        post = parse_request("application/json", json.dumps({"image": content}).encode())
        assert post.image == image.read_bytes()
