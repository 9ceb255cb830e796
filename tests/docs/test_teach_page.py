"""docs/teach-from-anything.md: its script makes files of answers of recorded ones, and its examples are read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chain import ROOT

from distill.data.answers import AnswersFile, TeacherAnswers
from distill.data.labels import LabelSet

PAGE = (ROOT / "docs" / "teach-from-anything.md").read_text(encoding="utf-8")
LABELS = LabelSet(("Doubt", "Smears"))
SAID = '{"Doubt": 0.9, "Smears": 0.2}'


def chat(content: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}],
    }


def batch(custom_id: str, content: Any) -> dict[str, Any]:
    """A line of a batch's results."""
    return {"id": "batch_req_1", "custom_id": custom_id, "response": {"status_code": 200, "body": chat(content)}}


# Made up, in the shapes in which such responses come.
RESPONSES = [
    batch("7", SAID),
    batch("7", f"Here it is:\n```json\n{SAID.replace('0.9', '0.7')}\n```"),
    {"custom_id": "8", **chat('{"Smears": 1, "Doubt": 0, "Irony": 0.5}')},
    {"id": 9, "content": SAID},
    batch("refused", "I'm sorry, I can't help with that."),
    batch("empty", None),
    batch("lacking", '{"Doubt": 0.9}'),
    {"custom_id": "failed", "response": None, "error": {"code": "batch_expired"}},
]


def made(kind: str, source: Path) -> tuple[TeacherAnswers, str]:
    """What distill reads of what the script makes, and what the script says."""
    labels = source.parent / "labels.txt"
    labels.write_text("\n".join(LABELS.names), encoding="utf-8")
    words = [sys.executable, ROOT / "recipes" / "answers.py", kind, labels, source]
    result = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 0, result.stderr
    out = source.parent / "answers.jsonl"
    out.write_text(result.stdout, encoding="utf-8")
    return AnswersFile.open(out).read(LABELS), result.stderr


def test_responses_of_an_api_become_answers(tmp_path: Path) -> None:
    source = tmp_path / "responses.jsonl"
    source.write_text("".join(json.dumps(response) + "\n" for response in RESPONSES), encoding="utf-8")
    answers, said = made("api", source)
    assert {id_: answers.values[row].tolist() for id_, row in answers.row_of.items()} == {
        "7": pytest.approx([0.8, 0.2]),
        "8": [0, 1],
        "9": [0.9, 0.2],
    }
    assert said == "4 responses hold no answer\n"
    assert answers.describe().endswith(
        "for 3 ids; 1 of them have 2 answers, and learn their mean; 4 more have none"
    )


def test_the_pages_votes_become_the_shares_that_it_says(tmp_path: Path) -> None:
    votes = re.search(r"```\n(id,annotator,labels\n.*?)```", PAGE, re.DOTALL)
    assert votes is not None
    source = tmp_path / "votes.csv"
    source.write_text(votes.group(1), encoding="utf-8")
    answers, _ = made("votes", source)
    assert "`Doubt` has 0.67 and `Smears` 0.33" in PAGE
    assert answers.values.round(2).tolist() == [[0.67, 0.33]]
    assert answers.votes.tolist() == [[3, 3]]


def test_every_form_of_the_page_is_read(tmp_path: Path) -> None:
    rows = re.findall(r"^\| .* \| `(\{.*\})` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    rows.append('{"id": "7", "label": "Smears", "value": 0.2}')
    for form in (rows[:1], rows[1:2], rows[2:]):
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(form), encoding="utf-8")
        assert AnswersFile.open(path).read(LABELS).values.tolist() == [[0.9, 0.2]]
