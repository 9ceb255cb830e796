"""Makes a file for `distill train-student --teacher-answers` of what a large model's API or annotators said.

    python answers.py api labels.txt responses.jsonl > answers.jsonl
    python answers.py votes labels.txt votes.csv > answers.jsonl

It needs Python alone. Several rows of one id are votes, and distill takes their mean. docs/teach-from-anything.md.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def from_api(labels: list[str], path: Path) -> Iterator[Row]:
    """Of each recorded response, JSON Lines with an id, the JSON object in its text: a number for each label.

    An id is `custom_id`, as in files of batches, or else `id`. The text is `content`, or that of a chat completion.
    A response that is no such object, such as a refusal, becomes a row with an error, which teaches nothing.
    """
    with path.open(encoding="utf-8") as handle:
        responses = [json.loads(line) for line in handle if line.strip()]
    for response in responses:
        id_ = response.get("custom_id", response.get("id"))
        try:
            said = content_of(response)
            answers = json.loads(said[said.index("{") : said.rindex("}") + 1])  # without the fence of a code block
            yield {"id": id_, "probabilities": {label: float(answers[label]) for label in labels}}
        except (ValueError, KeyError, TypeError) as error:
            yield {"id": id_, "error": f"{type(error).__name__}: {error}"}


def content_of(response: Row) -> str:
    """The text of a response: `content`, or the message of a chat completion, perhaps in a batch's `response`."""
    if "content" in response:
        return str(response["content"])
    completion = (response.get("response") or {}).get("body") or response
    return str(completion["choices"][0]["message"]["content"])


def from_votes(labels: list[str], path: Path) -> Iterator[Row]:
    """Of each annotator's row, CSV with id, annotator and labels, names joined with |: 1 for a label that is named,
    else 0."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        for row in csv.DictReader(handle):
            named = {name.strip() for name in row["labels"].split("|")} - {""}
            if unknown := sorted(named - set(labels)):
                sys.exit(f"{path}: id {row['id']}: {unknown[0]!r} is not in the file of labels")
            votes = {label: int(label in named) for label in labels}
            yield {"id": row["id"], "annotator": row["annotator"], "probabilities": votes}


def main(kind: str, labels_file: str, source: str) -> None:
    """Write a line of JSON for each row to standard output, and how many failed to standard error."""
    lines = Path(labels_file).read_text(encoding="utf-8").splitlines()
    labels = [line.strip() for line in lines if line.strip()]
    failed = 0
    for row in {"api": from_api, "votes": from_votes}[kind](labels, Path(source)):
        failed += "error" in row
        print(json.dumps(row))
    if failed:
        print(f"{failed} responses hold no answer", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("api", "votes"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
