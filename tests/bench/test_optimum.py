"""The peer that optimum makes: `make optimum` runs these, in an environment of its own with transformers 4."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from chain import Chain, read, reference_logits

from bench.measure.interleave import Plan
from bench.peers.make import make
from bench.peers.run import run_with_peers
from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import evaluate
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import Variant
from distill.runtime.bundle import Bundle
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import micro_f1

pytestmark = pytest.mark.skipif(find_spec("optimum") is None, reason="optimum is not installed: make optimum")


@pytest.fixture(scope="module")
def optimum_int8(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """The peer, made once."""
    (peer,) = make(chain.int8, ["optimum-int8"], tmp_path_factory.mktemp("peers"), [], [])
    return peer


def test_optimum_int8_really_holds_integer_products(chain: Chain, optimum_int8: Variant) -> None:
    operators = [node.op_type for node in onnx.load(optimum_int8.folder / "model.onnx").graph.node]
    float_operators = [node.op_type for node in onnx.load(chain.fp32 / "model.onnx").graph.node]
    assert operators.count("MatMulInteger") > 0
    assert operators.count("ConvInteger") == float_operators.count("Conv")  # its defaults, not our choice
    assert "MatMulInteger" not in float_operators
    assert optimum_int8.size_bytes < Bundle.open(chain.fp32).size_bytes()


def test_optimum_int8_answers_with_the_fp32_bundles_thresholds_and_nearly_its_logits(
    chain: Chain, optimum_int8: Variant
) -> None:
    predictor = Predictor.load(optimum_int8.folder, 1)
    assert predictor.bundle.thresholds == Bundle.open(chain.fp32).thresholds
    batch = read(chain, 24)
    expected = reference_logits(chain, batch)
    # Its convolutions are int8 too, which costs a toy much; how much hangs on the threads that it was trained with.
    assert 0 < np.abs(predictor.logits(batch) - expected).mean() < 0.25 * np.abs(expected).max()


def test_a_peers_f1_is_that_of_its_own_answers_under_the_fp32_thresholds(
    chain: Chain, optimum_int8: Variant
) -> None:
    parent, eval_set = Bundle.open(chain.fp32), EvalSet.from_splits(chain.splits, "test")
    probabilities = Predictor.load(optimum_int8.folder).probabilities(eval_set.examples)
    expected = micro_f1(
        parent.labels.encode([example.labels for example in eval_set.examples]),
        parent.thresholds.apply(probabilities),
    )
    assert evaluate(open_variant(optimum_int8), eval_set).quality.micro_f1.value == pytest.approx(expected)


def test_the_report_holds_it_beside_the_rest(chain: Chain) -> None:
    eval_set, plan = EvalSet.from_splits(chain.splits, "test"), Plan((1,), (1,), 20, 1)
    report = run_with_peers(chain.int8, [], ["optimum-int8"], chain.splits.train, eval_set, plan)
    assert [row.runtime for row in report.rows] == ["onnxruntime", "optimum dynamic int8", "onnxruntime"]
    assert report.conditions.packages["optimum"]
    assert report.rows[1].timings[0].calls == 20
