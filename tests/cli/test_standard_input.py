"""- in place of a file: rows on standard input, answers on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chain import Chain
from click.testing import CliRunner, Result

from distill.cli.main import main
from distill.data.dataset import examples_to_json, read_splits


def piped(rows: bytes, *words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=rows)


@pytest.mark.parametrize(
    "rows",
    [
        b'{"id": "7", "text": "a b"}\n',
        b'[{"id": "7", "text": "a b"}]',
        b"id,text\n7,a b\n",
        b"\xef\xbb\xbfid\ttext\n7\ta b\n",
    ],
)
def test_predict_reads_rows_in_any_form_and_writes_answers(chain: Chain, rows: bytes) -> None:
    result = piped(rows, "predict", chain.int8, "-", "-o", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == "7"


def test_images_are_looked_for_in_the_working_directory(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = chain.splits.test[0]
    monkeypatch.chdir(chain.data)
    row = json.dumps({"id": "1", "image": f"images/{Path(str(example.image)).name}"}).encode()
    assert "labels" in json.loads(piped(row, "predict", chain.int8, "-").stdout)


def test_split_convert_check_and_evaluate_read_it_too(chain: Chain, tmp_path: Path) -> None:
    rows = examples_to_json([*chain.splits.train, *chain.splits.dev], Path("/")).encode()
    assert piped(rows, "split", "-", "-o", tmp_path / "s", "--images", "/").exit_code == 0
    assert len(read_splits(tmp_path / "s").train) > 50
    done = piped(rows, "data", "convert", "-", tmp_path / "c", "--to", "jsonl", "--images", "/")
    assert done.exit_code == 0, done.output
    checked = piped(rows, "data", "check", "-", "--json", "--images", "/")
    assert sum(part["rows"] for part in json.loads(checked.stdout)["splits"]) == 96
    measured = piped(rows, "evaluate", chain.int8, "--data", "-", "--json", "--images", "/")
    assert measured.exit_code == 0, measured.output


def test_an_empty_standard_input_is_one_line(chain: Chain) -> None:
    result = piped(b"\n", "predict", chain.int8, "-")
    assert result.exit_code == 2
    assert (
        result.stderr
        == "error: standard input: is empty; pipe rows into it, such as < rows.jsonl, or name a file\n"
    )


def test_what_is_no_text_does_not_go_to_standard_output(chain: Chain) -> None:
    for words in (("explain", chain.int8, "--text", "a"), ("bench", "pack", chain.int8, "--data", chain.data)):
        assert "cannot go to standard output; name a file" in piped(b"", *words, "-o", "-").stderr
    assert "name one" in piped(b"", "split", "x.json", "-o", "-").stderr
