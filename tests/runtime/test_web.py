"""The folder of a page: what stands in it, what is refused, and where its runtime comes from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain
from click.testing import CliRunner
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from distill.cli.main import main
from distill.core.errors import ExportError, OutputError
from distill.core.output.terminal import output
from distill.preprocess.text import TextSpec
from distill.runtime.bundle import Bundle
from distill.runtime.web import onnxruntime_web
from distill.runtime.web.onnxruntime_web import FILES, PACKAGE, load_runtime
from distill.runtime.web.page import STATIC, write_page
from distill.runtime.web.tokenizer import describe_tokenizer
from distill.scoring.metrics import logit
from distill.scoring.probabilities import to_probabilities
from distill.scoring.selective import answer_confidence
from distill.scoring.thresholds import FittedOn, Thresholds
from export import pipeline

RUNTIME = dict.fromkeys(FILES, b"a runtime")


def wordpiece(**changes: Any) -> str:
    """A tokenizer.json that the page can do, with some parts replaced."""
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return json.dumps(json.loads(tokenizer.to_str()) | changes)


def package(content: bytes = b"export default 1\n") -> bytes:
    """A .tgz as npm makes them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (*FILES, "ort.all.mjs"):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """A package that counts as the right one, and an empty cache."""
    content = package()
    monkeypatch.setattr(onnxruntime_web, "SHA512", base64.b64encode(hashlib.sha512(content).digest()).decode())
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    return content


def test_a_page_holds_the_bundle_the_runtime_and_no_other_address(chain: Chain, tmp_path: Path) -> None:
    write_page(chain.int8, tmp_path / "page", RUNTIME)
    page = tmp_path / "page"
    assert Bundle.open(page / "bundle").sha256 == Bundle.open(chain.int8).sha256
    assert (page / "ort" / FILES[0]).read_bytes() == b"a runtime"
    assert "Microsoft" in (page / "ort" / "LICENSE.txt").read_text()
    assert json.loads((page / "page.json").read_text(encoding="utf-8"))["text"]["max_tokens"] > 0
    for own in [*page.glob("*.js"), *page.glob("*.html"), *page.glob("*.css")]:
        found = own.read_text(encoding="utf-8").replace("http://localhost:8000", "")
        assert "http:" not in found, own
        assert "https:" not in found, own


def test_a_page_is_replaced_and_nothing_else_is(chain: Chain, tmp_path: Path) -> None:
    write_page(chain.int8, tmp_path / "page", RUNTIME)
    write_page(chain.fp32, tmp_path / "page", RUNTIME)
    assert Bundle.open(tmp_path / "page" / "bundle").precision == "fp32"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="not a page"):
        write_page(chain.int8, tmp_path / "other", RUNTIME)
    with pytest.raises(OutputError, match="not a page"):
        write_page(chain.int8, chain.int8, RUNTIME)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"normalizer": {"type": "NFKC"}}, "normalizer holds NFKC"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "StripAccents"}]}},
            "normalizer holds StripAccents",
        ),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer is Whitespace"),
        (
            {"post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}},
            "post-processor is ByteLevel",
        ),
        (
            {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]], "byte_fallback": False}},
            "Unigram, not WordPiece",
        ),
    ],
)
def test_a_tokenizer_that_the_page_cannot_do_is_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ExportError, match=what):
        describe_tokenizer(wordpiece(**changes), TextSpec(16, 0))


def test_added_tokens_that_take_blanks_with_them_are_refused() -> None:
    token = {"id": 2, "content": "[M]", "single_word": False, "lstrip": True, "rstrip": False}
    with pytest.raises(ExportError, match="added tokens"):
        describe_tokenizer(
            wordpiece(added_tokens=[token | {"normalized": False, "special": True}]), TextSpec(16, 0)
        )


def test_another_package_is_refused_and_does_not_stay_in_the_cache(packed: bytes, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(package(b"something else"))
    with pytest.raises(ExportError, match=f"npm pack {PACKAGE}"):
        load_runtime(wrong)
    cached = tmp_path / "cache" / "onnxruntime-web-1.30.0.tgz"
    cached.parent.mkdir()
    cached.write_bytes(wrong.read_bytes())
    with pytest.raises(ExportError, match="is not"):
        load_runtime(None)
    assert not cached.exists()


def test_without_npm_the_next_step_is_said(monkeypatch: pytest.MonkeyPatch, packed: bytes, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"no npm here; run `npm pack .*--ort-web"):
        load_runtime(None)


@pytest.mark.skipif(os.name != "posix", reason="npm is a shell script here")
def test_npm_is_asked_once(monkeypatch: pytest.MonkeyPatch, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "sent.tgz").write_bytes(packed)
    npm = tmp_path / "npm"
    npm.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        f"assert sys.argv[1:4] == ['pack', '{PACKAGE}', '--pack-destination']\n"
        f"shutil.copy('{tmp_path}/sent.tgz', sys.argv[4])\n"
    )
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sorted(load_runtime(None)) == sorted(FILES)
    npm.write_text("#!/bin/sh\necho 'E404 not here' >&2\nexit 1\n")
    assert sorted(load_runtime(None)) == sorted(FILES)
    (tmp_path / "cache" / "onnxruntime-web-1.30.0.tgz").unlink()
    with pytest.raises(ExportError, match=r"npm cannot fetch .*E404 not here.*--ort-web"):
        load_runtime(None)


def test_export_writes_a_page_beside_a_new_bundle_and_of_an_old_one(
    monkeypatch: pytest.MonkeyPatch, chain: Chain, tmp_path: Path
) -> None:
    class Late:  # shows what is there when it is printed, not before
        def __str__(self) -> str:
            return f"page: {(tmp_path / 'made-web' / 'index.html').is_file()}"

    def copied(_: Any, __: Any, ___: Any, request: pipeline.ExportRequest, *____: Any) -> list[Bundle]:
        output.print(Late())
        return [Bundle.open(Path(shutil.copytree(chain.int8, request.out)))]

    monkeypatch.setattr(onnxruntime_web, "load_runtime", lambda given: RUNTIME)
    monkeypatch.setattr(pipeline, "export_run", copied)  # exporting takes seconds, and test_export does it
    out = tmp_path / "made"
    words = ["export", str(chain.student), "--data", str(chain.data), "--int8", "--web", "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == "page: True\n"  # what is printed comes after all that is written
    assert Bundle.open(tmp_path / "made-web" / "bundle").sha256 == Bundle.open(out).sha256
    again = CliRunner().invoke(main, ["export", str(out), "--web", "--out", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "index.html").is_file()
    assert "http.server --directory" in again.stderr


def test_export_with_a_page_says_in_one_line_that_a_run_is_damaged(chain: Chain, tmp_path: Path) -> None:
    run = Path(shutil.copytree(chain.student, tmp_path / "run"))
    (run / "tokenizer.json").write_text("{}")
    words = ["export", str(run), "--data", str(chain.data), "--web", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {run}: damaged, or written by another version")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["BUNDLE"], "with --web"),
        (["BUNDLE", "--web", "--int8"], "with --web"),
        (["BUNDLE", "--web", "--data", "memes"], "with --web"),
        (["STUDENT"], "give its --data"),
        (["BUNDLE", "--ort-web", "x.tgz"], "give both"),
    ],
)
def test_export_is_told_what_to_make(words: list[str], what: str, chain: Chain, tmp_path: Path) -> None:
    names = {"BUNDLE": str(chain.int8), "STUDENT": str(chain.student)}
    done = CliRunner().invoke(
        main, ["export", *(names.get(word, word) for word in words), "--out", str(tmp_path / "x")]
    )
    assert done.exit_code == 2
    assert what in done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("groups", [{}, {"degree": (0, 3, 1)}])
def test_the_page_decides_as_the_predictor_does(groups: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    inside = [place for columns in groups.values() for place in columns]
    rule = Thresholds(tuple(None if i in inside else 0.4 for i in range(5)), "micro", FittedOn("dev", 9), groups)
    logits = np.random.default_rng(2).normal(0, 4, (40, 5)).astype(np.float32)
    logits[0], logits[1] = 0, 900  # equal ones, and those of which exp is infinite
    shutil.copy(STATIC / "bundle.js", tmp_path / "bundle.mjs")
    script = """
import { answerConfidence, decide, groupOf, logOdds, toProbabilities } from './bundle.mjs'
const [logits, rule] = JSON.parse(process.argv[2])
console.log(JSON.stringify(logits.map((row) => {
  const p = toProbabilities(row, rule.groups)
  const odds = row.map((_, label) => logOdds(row, label, rule.groups?.[groupOf(label, rule.groups)]))
  return [p, decide(p, rule), odds, answerConfidence(p, decide(p, rule))]
})))
"""
    (tmp_path / "ask.mjs").write_text(script)
    question = json.dumps([logits.tolist(), rule.to_json()])
    answer = subprocess.run(
        ["node", tmp_path / "ask.mjs", question], capture_output=True, text=True, check=True, timeout=60
    )
    probabilities, decisions, odds, confidences = zip(*json.loads(answer.stdout), strict=True)
    expected = to_probabilities(logits, groups)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(decisions, rule.apply(expected))
    np.testing.assert_allclose(confidences, answer_confidence(expected, rule.apply(expected)), rtol=1e-5, atol=1e-9)
    shown = np.abs(np.array(odds)) < 12
    np.testing.assert_allclose(np.array(odds)[shown], logit(expected)[shown], rtol=1e-2, atol=1e-4)
