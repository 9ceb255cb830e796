"""Says what a file is that holds no rows, whatever its name ends in: a workbook, an archive, a web page."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import is_file
from distill.data.formats.text import UTF_16, head

STEPS = {  # what to do with a file, by its suffix
    "save the sheet as CSV in UTF-8": (".xlsx", ".xlsm", ".xls", ".ods"),
    "unpack it": (".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".rar"),
    "save it as Parquet or CSV": (".feather", ".arrow", ".pkl", ".pickle"),
}
OTHER_SUFFIXES = {suffix: step for step, suffixes in STEPS.items() for suffix in suffixes}
HEAD = 1024  # bytes
UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # the first begins as UTF-16 does
# How a file begins, what it is then, and what to do with it.
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x03\x04", "a workbook of Excel, or a zip archive", "save the sheet as CSV in UTF-8, or unpack it"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of an old Excel", "save the sheet as CSV in UTF-8"),
    (rb"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
    (rb"BZh\d1AY&SY", "compressed with bzip2", "unpack it with bunzip2"),
    (rb"\xfd7zXZ\x00", "compressed with xz", "unpack it with unxz"),
    (rb"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it with unzstd"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "an archive", "unpack it"),
    (rb"ARROW1|FEA1", "Arrow or Feather", "save it as Parquet"),
    (rb"SQLite format 3\x00", "an SQLite database", "save the table as CSV"),
    (rb"\x80[\x02-\x05]", "a pickle, which could run anything", "save it as Parquet or CSV where you trust it"),
    (rb"version https://git-lfs", "a pointer of Git LFS in place of the file", "fetch the file with git lfs pull"),
    (rb"\s*<(!doctype\s+)?html\b", "a web page", "download the file itself"),
)


def refuse_other_content(path: Path) -> None:
    """Raise DataError for a plain file that holds something else than rows, with what to do."""
    if not is_file(path):
        return
    begin = head(path, HEAD)
    text = begin.removeprefix(codecs.BOM_UTF8)
    for pattern, what, then in BEGINNINGS:
        if re.match(pattern, text, re.IGNORECASE):
            raise DataError(f"{path}: is {what}; {then}")
    if begin.startswith(b"PAR1") and path.suffix.lower() != ".parquet":
        raise DataError(f"{path}: is Parquet; call it {path.stem}.parquet")
    is_encoded = begin[:2] in UTF_16 and begin[:4] not in UTF_32
    line = begin.partition(b"\n")[0]
    if 8 * line.count(0) > len(line) and not is_encoded and not begin.startswith(b"PAR1"):
        raise DataError(f"{path}: is no text, or in UTF-16 without a byte order mark or UTF-32; save it as UTF-8")
