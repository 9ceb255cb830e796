"""Predicts for every row of a source and writes a line of JSON for each, to a file or to standard output, or a row
of a table."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from distill.core.errors import ImageError
from distill.core.output.printable import printable
from distill.core.output.terminal import note, track, warn
from distill.core.untrusted import replace_surrogates
from distill.data.sources import FailedRow, Item, Source
from distill.preprocess.text import has_text
from distill.runtime.ocr.cache import Ocr, OcrCache, cache_path
from distill.runtime.partial_file import PartialFile, Progress, run_identity, write_chunks
from distill.runtime.prediction_table import check_table, count_failed, is_table, write_table
from distill.runtime.predictor import Prediction, Predictor


def predict_source(
    predictor: Predictor, source: Source, out: Path | None, resume: bool, ocr: Ocr | None = None
) -> int:
    """Write a line for every item of `source`, in order, with a progress bar, and return the number of failed rows.

    Without `out`, the lines go to standard output. With it, a killed run leaves its lines in OUT.part, and `resume`
    continues there. `ocr` reads missing texts off the images. Raises DataError, and OutputError when another
    process writes OUT, or OUT.part holds predictions and `resume` is False, or those of another source or Bundle.
    """
    failed_rows = _predict(predictor, source, out, resume, ocr)
    if line := predictor.preprocessor.describe_cut():
        warn(f"{source.path}: {line}")
    return failed_rows


def _predict(predictor: Predictor, source: Source, out: Path | None, resume: bool, ocr: Ocr | None) -> int:
    if out is None:
        lines = _Lines(predictor, _items(source, 0), ocr)
        try:
            _print(lines)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("with --out FILE an interrupted run can be resumed") from None
        return lines.failed_rows
    finish = None
    if is_table(out):
        names = predictor.bundle.labels.names
        more = (*(["ask"] * (predictor.options.abstain is not None)), *(["ocr_text"] * (ocr is not None)))
        check_table(out, names, more)
        finish = partial(write_table, out=out, labels=names, more=more)
    identity = run_identity(source, predictor.bundle, None if ocr is None else ocr.name, predictor.options)
    part = PartialFile(out, identity, finish)
    with part.locked():
        start = part.resume_point(resume)
        if start is None:
            return _finish(part)
        if start.lines:
            note(f"{part.path}: {start.lines:,} predictions are there already")
        try:
            return _write(predictor, source, part, start, ocr)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_next_step(part)) from None


def json_line(prediction: Prediction | FailedRow, ocr_text: str | None = None) -> bytes:
    """One line of a file of predictions. `ocr_text` is what was read off the image, None where nothing was."""
    table = prediction.to_json() if isinstance(prediction, Prediction) else asdict(prediction)
    table |= {} if ocr_text is None else {"ocr_text": ocr_text}
    # Half a surrogate pair has no UTF-8: one such id must not cost the predictions for all other rows.
    line = replace_surrogates(json.dumps(table, ensure_ascii=False))
    return f"{printable(line)}\n".encode()  # JSON's own escapes: the values stay what they are


def read_missing_texts(
    items: Iterable[Item], read: Callable[[Path | bytes], str]
) -> Iterator[tuple[Item, str | None]]:
    """Yield every item, with the text on its image where it has an image alone, and that text: "" for an image
    without text, None where nothing was read."""
    for item in items:
        text = None
        if not (isinstance(item, FailedRow) or has_text(item.text)) and isinstance(item.image, Path | bytes):
            with suppress(ImageError):  # the Predictor reports the image, where it cannot open it either
                text = read(item.image)
        yield replace(item, text=text) if text and not isinstance(item, FailedRow) else item, text


class _Lines:
    """The lines for all items; `failed_rows` counts those that are FailedRows."""

    def __init__(self, predictor: Predictor, items: Iterable[Item], ocr: Ocr | None, failed_rows: int = 0) -> None:
        self.predictor, self.items, self.ocr = predictor, items, ocr
        self.failed_rows = failed_rows

    def __iter__(self) -> Iterator[bytes]:
        if self.ocr is None:
            lines = map(json_line, self._count(self.predictor.stream(self.items)))
        else:
            pairs, copies = itertools.tee(read_missing_texts(self.items, self.ocr.read))
            predictions = self.predictor.stream(item for item, _ in pairs)
            lines = map(json_line, self._count(predictions), (text for _, text in copies))
        return lines

    def _count(self, predictions: Iterable[Prediction | FailedRow]) -> Iterator[Prediction | FailedRow]:
        for prediction in predictions:
            self.failed_rows += isinstance(prediction, FailedRow)
            yield prediction


def _write(predictor: Predictor, source: Source, part: PartialFile, start: Progress, ocr: Ocr | None) -> int:
    """Write the lines after `start`, and return the number of failed rows among all lines."""
    with nullcontext() if ocr is None else OcrCache(cache_path(part.out), ocr) as cache:
        lines = _Lines(predictor, _items(source, start.lines), cache, start.failed_rows)
        part.write(lines, start)
        if cache is not None:
            cache.discard()
    return lines.failed_rows


def _items(source: Source, skip: int) -> Iterator[Item]:
    """The items after the first `skip`, under a progress bar."""
    total = source.count()
    items = itertools.islice(source.items(), skip, None)
    return track(items, "predicting", None if total is None else total - skip)


def _print(lines: Iterable[bytes]) -> None:
    sys.stdout.flush()
    try:
        write_chunks(lines, sys.stdout.buffer, lambda: None)
    except OSError as error:
        if error.filename is None:
            error.filename = "standard output"
        raise


def _finish(part: PartialFile) -> int:
    part.identity_path.unlink()
    note(f"{part.out}: all rows are predicted already")
    return count_failed(part.out)


def _next_step(part: PartialFile) -> str:
    lines = part.progress().lines
    if not lines:
        return "no chunk of predictions was finished: give the same command again"
    return f"{lines:,} predictions are in {part.path}; the same command with --resume goes on there"
