"""Which column may play which role: the names of roles, and the well-known names of their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal

from distill.core.settings.columns import NO_COLUMN as NO_COLUMN
from distill.core.settings.columns import Columns as Columns
from distill.core.untrusted import short_repr

Role = Literal["id", "text", "image", "labels"]
ROLES: tuple[Role, ...] = ("id", "text", "image", "labels")
OPTIONS: dict[Role, str] = {
    "id": "--id-column",
    "text": "--text-column",
    "image": "--image-column",
    "labels": "--label-columns",
}


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Compared without case, spaces, _ and -.
SYNONYMS: dict[Role, frozenset[str]] = {
    "id": _names(
        "id uid uuid guid index idstr rowid postid memeid tweetid itemid sampleid exampleid imageid imgid"
    ),
    "text": _names(
        "text texts caption captions sentence content tweet tweettext fulltext ocr ocrtext textocr memetext "
        "posttext texttranscription transcription transcript textcorrected correctedtext imagetext body message"
    ),
    "image": _names(
        "image images img imgs imagepath imgpath imagefile imgfile imagefilename imgfilename imagename imgname "
        "picture pictures photo pic"
    ),
    "labels": _names(
        "labels label labelnames tags tag categories category techniques technique persuasiontechniques classes "
        "class classname genres genre"
    ),
}
# These hold addresses of images, whatever they look like.
IMAGE_ADDRESSES = _names("imageurl imageurls imgurl pictureurl photourl mediaurl imagelink imgsrc")
# These hold images only if their values look like images.
FILE_NAMES = _names("file files filename filenames filepath path imagefiles")
PANDAS_INDEX = re.compile(r"|Unnamed: 0(\.\d+)?|__index_level_\d+__")
MAX_SHOWN = 8  # columns that a message names


def normal_name(name: str) -> str:
    """A column's name as it is compared with well-known ones."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def is_pandas_index(name: str) -> bool:
    """Whether pandas has written the column as the index of a table."""
    return PANDAS_INDEX.fullmatch(name) is not None


def list_columns(names: Iterable[object]) -> str:
    """Names of columns in a message, quoted."""
    shown = [short_repr(name) for name in islice(names, MAX_SHOWN + 1)]
    return ", ".join(shown[:MAX_SHOWN]) + ", ..." * (len(shown) > MAX_SHOWN) if shown else "none"
