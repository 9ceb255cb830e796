"""The commands as a user types them: helpful, quick to help, and never a traceback for a user's mistake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chain import ROOT, TINY, Chain
from click.testing import CliRunner, Result
from PIL import Image

from distill.cli import main as cli
from distill.data.dataset import examples_to_json, read_splits
from distill.data.generated import LABELS

COMMANDS = sorted(cli.main.commands)


def distill(*words: object) -> Result:
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def one_line_error(result: Result) -> str:
    """The error's line, checked for form."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.output
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(command: str) -> None:
    result = distill(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\n +distill {command}", result.output)


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys\nfrom distill.cli.main import main\n"
        f"for command in {COMMANDS!r}:\n    main([command, '--help'], standalone_mode=False)\n"
        "slow = {'torch', 'transformers', 'onnxruntime', 'numpy', 'PIL', 'rich'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_of_commands_which_the_readme_links_names_every_one() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"distill {command}" not in page] == []
    assert "(docs/cli.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_four_commands_run_as_typed(chain: Chain, tmp_path: Path) -> None:
    """The same chain as the fixture's, through the command line: the same seeds give the same figures."""
    settings = [part for override in chain.overrides for part in ("--set", override)]
    recipe = ["--recipe", TINY, *settings]
    taught = distill("train-teacher", "--data", chain.data, "--out", tmp_path / "t", *recipe)
    assert taught.exit_code == 0, taught.output
    assert "constant (" in taught.output
    learned = distill(
        "train-student", "--data", chain.data, "--teacher", tmp_path / "t", "--out", tmp_path / "s", *recipe
    )
    assert learned.exit_code == 0, learned.output
    exported = distill("export", tmp_path / "s", "--data", chain.data, "--int8", "--out", tmp_path / "b", *recipe)
    assert exported.exit_code == 0, exported.output
    assert "torch and fp32 ONNX agree" in exported.output
    assert (tmp_path / "b" / "manifest.json").is_file()
    assert (tmp_path / "b-fp32" / "manifest.json").is_file()
    same = json.loads((tmp_path / "s" / "run.json").read_text())["thresholds"]["values"]
    assert same == pytest.approx(
        json.loads((chain.student / "run.json").read_text())["thresholds"]["values"], abs=1e-3
    )
    quick = ["--calls", 20, "--starts", 1, "--threads", 1]
    measured = distill("bench", tmp_path / "b", "--data", chain.data, "--against", tmp_path / "s", *quick)
    assert measured.exit_code == 0, measured.output
    assert "student int8 ONNX" in measured.output
    assert (tmp_path / "b-bench.json").is_file()
    again = distill("train-teacher", "--data", chain.data, "--out", tmp_path / "t", *recipe, "--resume")
    assert again.exit_code == 0
    assert "finished already" in again.output


def test_evaluate_prints_and_writes_the_same_figures(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    result = distill("evaluate", chain.int8, "--data", chain.data, "--split", "test", "--out", out)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert f"{figures['quality']['micro_f1']['value']:.3f}" in result.output
    assert all(label in result.output for label in LABELS)


def test_predict_one_image(chain: Chain) -> None:
    example = chain.splits.test[0]
    result = distill("predict", chain.int8, "--image", example.image, "--text", example.text)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer["probabilities"]) == set(LABELS)
    assert answer["id"] == example.image.name


def test_predict_a_file_answers_every_row_and_exits_1_when_one_is_bad(chain: Chain, tmp_path: Path) -> None:
    rows = [{"id": e.id, "text": e.text, "image": str(e.image)} for e in chain.splits.test[:3]]
    rows.insert(1, {"id": "gone", "text": "", "image": "nowhere.jpg"})
    source = tmp_path / "posts.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n")
    out = tmp_path / "predictions.jsonl"
    result = distill("predict", chain.int8, source, "--out", out)
    assert result.exit_code == 1
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [*(row["id"] for row in rows), "row 5"]
    assert "no such image" in answers[1]["error"]
    assert "not valid JSON" in answers[4]["error"]
    assert [index for index, answer in enumerate(answers) if "labels" in answer] == [0, 2, 3]
    assert "2 row(s) could not be read" in result.output


def test_predict_a_folder(chain: Chain, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("great train")
    result = distill("predict", chain.int8, tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == "a.png"


def test_predict_one_image_by_its_name_alone(chain: Chain) -> None:
    example = chain.splits.test[0]
    (alone, with_text, both) = (
        distill("predict", chain.int8, *words)
        for words in (
            [example.image],
            [example.image, "--text", example.text],
            ["--image", example.image, "--text", example.text],
        )
    )
    assert json.loads(alone.stdout)["id"] == example.image.name
    assert json.loads(with_text.stdout) == json.loads(both.stdout) != json.loads(alone.stdout)


def test_predict_says_what_it_passes_over_and_answers_for_every_image(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png", "c.heic"):
        Image.new("RGB", (20, 20), "red").save(tmp_path / name, format="PNG")
    flat = distill("predict", chain.int8, tmp_path)
    assert "passed over: 1 folder(s) (sub; --recursive reads them too)" in flat.stderr
    assert len(flat.stdout.splitlines()) == 2
    whole = distill("predict", chain.int8, tmp_path, "--recursive")
    assert [json.loads(line)["id"] for line in whole.stdout.splitlines()] == ["a.png", "c.heic", "sub/b.png"]
    assert "passed over" not in whole.stderr
    wrong = distill("predict", chain.int8, tmp_path / "a.png", "--recursive")
    assert f"{tmp_path / 'a.png'} is no folder; leave out --recursive" in wrong.stderr
    part = distill("predict", chain.int8, chain.data, "--split", "test", "--recursive")
    assert f"--split names files of {chain.data}; leave out --recursive" in part.stderr


def test_what_is_not_there_is_said_to_be_not_there(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n")
    for words, said in (
        (
            ("predict", tmp_path / "bundel", tmp_path / "a.csv"),
            f"{tmp_path / 'bundel'}: no such folder; give a Bundle",
        ),
        (
            ("export", tmp_path / "rnu", "--data", chain.data, "-o", tmp_path / "x"),
            f"{tmp_path / 'rnu'}: no such folder",
        ),
        (
            ("predict", chain.int8, tmp_path / "a.csv", "--split", "dev"),
            "a.csv: is one file, and --split names a part",
        ),
        (
            ("predict", chain.int8, tmp_path / "b.csv", "--split", "dev"),
            "b.csv: no such file or folder, and --split",
        ),
    ):
        done = distill(*words)
        assert (done.exit_code, said in done.stderr.splitlines()[-1]) == (2, True), done.stderr


@pytest.mark.parametrize("is_ray", [False, True])
def test_overwriting_predictions_with_a_bundle_that_does_not_open_costs_none(tmp_path: Path, is_ray: bool) -> None:
    if is_ray:
        pytest.importorskip("ray")
    (tmp_path / "a.csv").write_text("id,text\n1,a\n")
    out = tmp_path / ("out" if is_ray else "p.jsonl")
    earlier = out / "predictions-000000-a.jsonl" if is_ray else tmp_path / "p.jsonl.part"
    earlier.parent.mkdir(exist_ok=True)
    earlier.write_text("{}\n")
    more = ("--engine", "ray") if is_ray else ()
    done = distill("predict", tmp_path / "bundel", tmp_path / "a.csv", "-o", out, "--overwrite", *more)
    assert done.exit_code == 2
    assert "no such folder" in done.stderr
    assert earlier.read_text() == "{}\n"


def test_overwrite_starts_over_where_a_run_was_interrupted(chain: Chain, tmp_path: Path) -> None:
    out, words = tmp_path / "p.jsonl", ("predict", chain.int8, "--text", "a b", "-o", tmp_path / "p.jsonl")
    assert distill(*words).exit_code == 0
    line = out.read_bytes()
    (tmp_path / "p.jsonl.part").write_bytes(line * 300)
    assert "pass --overwrite to replace it" in one_line_error(distill(*words))
    out.unlink()
    assert "go on with --resume, or pass --overwrite to start over" in one_line_error(distill(*words))
    assert distill(*words, "--overwrite").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]
    refused = distill("predict", chain.int8, chain.data / "test.json", "-o", out, "--overwrite", "--resume")
    assert "exclude each other" in refused.stderr


def test_split_makes_what_training_reads(chain: Chain, tmp_path: Path) -> None:
    everything = tmp_path / "all.json"
    everything.write_text(examples_to_json(chain.splits.train, tmp_path), encoding="utf-8")
    result = distill("split", everything, "--out", tmp_path / "memes", "--seed", 7)
    assert result.exit_code == 0, result.output
    splits = read_splits(tmp_path / "memes")
    assert len(splits.train) + len(splits.dev) + len(splits.test) == 64


def test_mistakes_are_one_line_with_exit_code_2(chain: Chain, tmp_path: Path) -> None:
    data, out = chain.data, tmp_path / "out"
    for words, message in (
        (["train-teacher", "--data", tmp_path / "x", "--out", out], "no such file or folder"),
        (["train-teacher", "--data", data, "--out", out, "--set", "teacher.epochs=no"], "must be of type int"),
        (["train-teacher", "--data", data, "--out", out, "--recipe", tmp_path / "r.toml"], "r.toml: no such file"),
        (["train-teacher", "--data", data, "--out", chain.teacher], "holds a finished run"),
        (["train-teacher", "--data", data, "--out", out, "--set", "teacher.text.model=no/such"], "no local copy"),
        (["train-student", "--data", data, "--teacher", tmp_path / "x", "--out", out], "no such folder"),
        (["export", tmp_path / "x", "--data", data, "--out", out], "no such folder"),
        (["bench", tmp_path / "x", "--data", data], "neither a finished run nor a Bundle"),
        (["evaluate", chain.int8, "--data", tmp_path / "x"], "no such file or folder"),
        (["predict", tmp_path / "x", "--image", tmp_path / "a.jpg"], "no such folder"),
        (["predict", chain.int8, tmp_path / "a.doc"], "give a folder of images or a file"),
        (["split", tmp_path / "a.json", "--out", tmp_path / "new"], "no such file"),
    ):
        assert message in one_line_error(distill(*words))


def test_the_directory_that_the_user_is_in_is_not_replaced(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "here" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for out in (".", "..", inside, "../inside"):
        for words in (
            ("inspect", chain.student, "--data", chain.data),
            ("split", chain.data / "train.json"),
            ("export", chain.student, "--data", chain.data),
        ):
            assert "the directory that you are in" in one_line_error(distill(*words, "--out", out))
    assert list(inside.iterdir()) == []


def test_threads_by_the_thousand_are_refused(chain: Chain) -> None:
    for words in (("predict", chain.int8, "--text", "x"), ("verify", chain.int8), ("serve", chain.int8)):
        result = distill(*words, "--threads", 100_000)
        assert result.exit_code == 2
        assert "100000 is not in the range" in result.stderr
    result = distill("bench", chain.int8, "--data", chain.data, "--threads", "1,100000")
    assert "from 1 to 1024" in one_line_error(result)


def test_an_unfinished_training_is_named_where_it_is_used(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.teacher, tmp_path / "teacher")
    (tmp_path / "teacher" / "run.json").unlink()
    said = one_line_error(distill("evaluate", tmp_path / "teacher", "--data", chain.data))
    assert "an unfinished run; continue it with --resume" in said


def test_a_folder_that_cannot_be_written_is_one_line(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = distill("split", chain.data / "train.json", "--out", tmp_path / "file" / "below")
    assert "File exists" in one_line_error(result)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = distill("--debug", "predict", tmp_path, "--image", "x.jpg")
    assert result.exception is not None
    assert type(result.exception).__name__ == "BundleError"


def test_every_command_that_reads_texts_says_how_many_are_cut(chain: Chain, tmp_path: Path) -> None:
    data = shutil.copytree(chain.data, tmp_path / "memes")
    for name in ("dev", "test"):
        rows = json.loads((data / f"{name}.json").read_text(encoding="utf-8"))
        rows[0]["text"] = "our team " * 40
        (data / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    said = "1 of {} text is cut at max_tokens=32: "
    result = distill("predict", chain.int8, data / "test.json", "--out", tmp_path / "out.jsonl")
    assert said.format(24) in result.stderr
    for model in (chain.int8, chain.student):
        result = distill("evaluate", model, "--data", data)
        assert result.stderr.count(said.format(24)) == 1
    assert "max_tokens" not in distill("evaluate", chain.int8, "--data", chain.data).stderr
