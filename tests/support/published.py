"""Small made-up datasets in the exact shapes in which real ones are published. Knows files, not distill."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

SIZES = {"train": 24, "dev": 6, "test": 4}
TECHNIQUES = ("Smears", "Loaded Language", "Slogans", "Transfer")


@dataclass(frozen=True)
class Form:
    """A form: `write` writes a dataset to a folder and returns what is given as --data. `labels` are those that it
    has, `splits` the sizes of its splits as published, "all" where it is not divided."""

    name: str
    write: Callable[[Path], Path]
    labels: tuple[str, ...]
    splits: dict[str, int]


def image(path: Path, number: int, kind: str = "JPEG") -> None:
    """A tiny image whose content depends on the number, whatever its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = bytes((number * 37 + x * x * (number + 1)) % 256 for x in range(12 * 12 * 3))
    Image.frombytes("RGB", (12, 12), pixels).save(path, kind)


def text(split: str, number: int) -> str:
    return f"A {split} meme, number {number},\nof {['soup', 'rain', 'trains'][number % 3]}"


def numbers(split: str) -> range:
    first = {"train": 0, "dev": 100, "test": 200}[split]
    return range(first, first + SIZES[split])


def json_file(path: Path, tree: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")


def json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def delimited(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator).writerows([header, *rows])
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")


def hateful_memes(folder: Path) -> Path:
    for split, name in (("train", "train"), ("dev", "dev_seen"), ("dev", "dev_unseen"), ("test", "test_seen")):
        rows = []
        for n in numbers(split):
            rows.append({"id": n, "img": f"img/{n:05d}.png", "label": n % 2, "text": text(split, n)})
            image(folder / rows[-1]["img"], n, "PNG")
            if split == "test":
                del rows[-1]["label"]
        json_lines(folder / f"{name}.jsonl", rows)
    return folder


def harmeme(folder: Path) -> Path:
    """MMF's folders: annotations beside images."""
    base = folder / "defaults"
    for split, name in (("train", "train"), ("dev", "val"), ("test", "test")):
        rows = []
        for n in numbers(split):
            labels = [["not harmful"], ["somewhat harmful", "individual"], ["very harmful", "society"]][n % 3]
            row = {"id": f"memes_{n}", "image": f"memes_{n}.png", "labels": labels, "text": text(split, n)}
            rows.append(row)
            image(base / "images" / f"memes_{n}.png", n, "PNG")
        json_lines(base / f"annotations/{name}.jsonl", rows)
    return folder


def mami(folder: Path) -> Path:
    kinds = ("shaming", "stereotype", "objectification", "violence")
    header = ("file_name", "misogynous", *kinds, "Text Transcription")
    rows = []
    for n in numbers("train"):
        rows.append((f"{n}.jpg", n % 2, *(int(n % 8 == 2 * k + 1) for k in range(4)), text("train", n)))
        image(folder / "TRAINING" / f"{n}.jpg", n)
    delimited(folder / "TRAINING/training.csv", header, rows, "\t")
    test, answers = [], []
    for n in numbers("test"):
        test.append((f"{n}.jpg", text("test", n)))
        answers.append("\t".join([f"{n}.jpg", str(n % 2), "0", "0", "0", str(n % 2)]))
        image(folder / "test" / f"{n}.jpg", n)
    delimited(folder / "test/Test.csv", ("file_name", "Text Transcription"), test, "\t")
    (folder / "test_labels.txt").write_text("\n".join(answers) + "\n")
    return folder


def memotion_7k(folder: Path) -> Path:
    header = ("", "image_name", "text_ocr", "text_corrected", "humour", "sarcasm", "offensive", "motivational")
    rows = []
    for n in numbers("train"):
        scales = (
            ("not_funny", "funny", "very_funny", "hilarious")[n % 4],
            ("not_sarcastic", "general", "twisted_meaning", "very_twisted")[n // 2 % 4],
            ("not_offensive", "slight", "very_offensive", "hateful_offensive")[n // 3 % 4],
            ("not_motivational", "motivational")[n % 2],
            ("very_negative", "negative", "neutral", "positive", "very_positive")[n % 5],
        )
        corrected = "" if n == 3 else text("train", n)
        rows.append((n, f"image_{n}.jpg", text("train", n).upper(), corrected, *scales))
        image(folder / "images" / f"image_{n}.jpg", n)
    delimited(folder / "labels.csv", (*header, "overall_sentiment"), rows)
    return folder


def memotion_2(folder: Path) -> Path:
    scales = ("humour", "sarcastic", "offensive", "motivational", "overall_sentiment")
    for split, name in (("train", "train"), ("dev", "val")):
        rows = []
        for n in numbers(split):
            levels = (
                ("not_funny", "funny", "very_funny", "hilarious")[n % 4],
                ("not_sarcastic", "little_sarcastic", "very_sarcastic", "extremely_sarcastic")[n // 2 % 4],
                ("not_offensive", "slight", "very_offensive", "hateful_offensive")[n // 3 % 4],
                ("not_motivational", "motivational")[n % 2],
                ("very_negative", "negative", "neutral", "positive", "very_positive")[n % 5],
            )
            rows.append((n, f"https://example.org/{n}.jpg", text(split, n), *levels, "image"))
            image(folder / f"{name}_images" / f"{n}.jpg", n)
        header = ("Id", "image_url", "ocr_text", *scales, "classification_based_on")
        delimited(folder / f"memotion_{name}.csv", header, rows)
    return folder


def mmhs150k(folder: Path) -> Path:
    names = ("NotHate", "Racist", "Sexist", "Homophobe", "Religion", "OtherHate")
    tweets = {}
    for split, short in (("train", "train"), ("dev", "val"), ("test", "test")):
        ids = [str(1_114_679_353_714_016_000 + n) for n in numbers(split)]
        for n, id_ in zip(numbers(split), ids, strict=True):
            votes = [n % 6, n % 6, (n + 1) % 6]
            tweets[id_] = {
                "img_url": f"http://example.org/media/{n}.jpg",
                "labels": votes,
                "tweet_url": f"https://example.org/user/status/{id_}",
                "tweet_text": text(split, n),
                "labels_str": [names[vote] for vote in votes],
            }
            image(folder / "img_resized" / f"{id_}.jpg", n)
            json_file(folder / "img_txt" / f"{id_}.json", {"img_text": "read off it"})
        (folder / "splits").mkdir(exist_ok=True)
        (folder / f"splits/{short}_ids.txt").write_text("\n".join(ids) + "\n")
    json_file(folder / "MMHS150K_GT.json", tweets)
    return folder


def semeval_2021(folder: Path) -> Path:
    """Subtask 3: JSON in .txt files, images beside it, and JPEG in files that are called .png."""
    for split, name in (
        ("train", "training_set_task3"),
        ("dev", "dev_set_task3_labeled"),
        ("test", "test_set_task3"),
    ):
        rows = []
        for n in numbers(split):
            labels = [TECHNIQUES[n % 4]] * (n % 5 != 4) + ["Doubt"] * (n % 3 == 1)
            rows.append({"id": str(n), "labels": labels, "text": text(split, n), "image": f"{n}_image.png"})
            image(folder / name / f"{n}_image.png", n)
        json_file(folder / name / f"{name}.txt", rows)
    (folder / "techniques_list_task3.txt").write_text("\n".join([*TECHNIQUES, "Doubt"]) + "\n")
    return folder


def semeval_2024(folder: Path, subtask: str = "subtask2a") -> Path:
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "dev_unlabeled")):
        rows = []
        for n in numbers(split):
            file = f"prop_meme_{n}.png"
            row = {"id": str(n), "text": text(split, n), "image": file, "link": f"https://example.org/{n}"}
            if subtask == "subtask2a":
                row["labels"] = [TECHNIQUES[n % 4]] * (n % 5 != 4) + ["Doubt"] * (n % 3 == 1)
            else:
                row["label"] = ("propagandistic", "non_propagandistic")[n % 2]
            if split == "test":
                row = {key: value for key, value in row.items() if not key.startswith("label")}
            rows.append(row)
            image(folder / f"{name.partition('_')[0]}_images" / file, n, "PNG")
        json_file(folder / "semeval2024_dev_release" / subtask / f"{name}.json", rows)
    return folder / "semeval2024_dev_release" / subtask


def coco(folder: Path) -> Path:
    categories = [
        {"supercategory": "food", "id": 1, "name": "soup"},
        {"supercategory": "vehicle", "id": 7, "name": "train"},
    ]
    for split, name in (("train", "train2017"), ("dev", "val2017")):
        images, boxes, captions = [], [], []
        for n in numbers(split):
            images.append({"license": 1, "file_name": f"{n:012d}.jpg", "height": 12, "width": 12, "id": n})
            image(folder / name / f"{n:012d}.jpg", n)
            for number in [(1,), (7, 7), (1, 7), ()][n % 4]:
                box = {"area": 4.0, "iscrowd": 0, "image_id": n, "bbox": [1, 1, 2, 2], "category_id": number}
                boxes.append({"segmentation": [], **box, "id": len(boxes)})
            for part in text(split, n).split("\n"):
                captions.append({"image_id": n, "id": len(captions), "caption": part})
        head = {"info": {"year": 2017}, "licenses": []}
        tree = {**head, "images": images, "annotations": boxes, "categories": categories}
        json_file(folder / f"annotations/instances_{name}.json", tree)
        json_file(folder / f"annotations/captions_{name}.json", {**head, "images": images, "annotations": captions})
    return folder


def label_studio(folder: Path) -> Path:
    tasks = []
    for n in numbers("train"):
        choices = [["soup"], ["rain", "joke"], ["joke"]][n % 3]
        votes = [choices, choices, ["rain"]] if n % 4 == 0 else [choices]
        annotations = [
            {
                "id": 10 * n + k,
                "completed_by": 1 + k,
                "was_cancelled": False,
                "lead_time": 4.2,
                "result": [
                    {
                        "value": {"choices": names},
                        "id": "aB3xY_9kLm",
                        "from_name": "topic",
                        "to_name": "meme",
                        "type": "choices",
                        "origin": "manual",
                    },
                    {
                        "value": {"text": ["why not"]},
                        "id": "cD4",
                        "from_name": "comment",
                        "to_name": "meme",
                        "type": "textarea",
                        "origin": "manual",
                    },
                ],
            }
            for k, names in enumerate(votes)
        ]
        data = {"image": f"/data/upload/3/{n:08x}-meme_{n}.jpg", "text": text("train", n)}
        task = {
            "id": 500 + n,
            "annotations": annotations,
            "predictions": [],
            "data": data,
            "meta": {},
            "project": 3,
        }
        tasks.append(task | {"file_upload": f"{n:08x}-meme_{n}.jpg", "total_annotations": len(votes)})
        image(folder / "images" / f"meme_{n}.jpg", n)
    json_file(folder / "project-3-at-2024-05-01-10-00-00000000.json", tasks)
    return folder / "project-3-at-2024-05-01-10-00-00000000.json"


def label_studio_min(folder: Path) -> Path:
    rows = []
    for n in numbers("train"):
        choice: Any = ["soup", {"choices": ["rain", "joke"]}, "joke"][n % 3]
        meta = {"annotator": 1, "annotation_id": n, "created_at": "2024-05-01T10:00:00Z", "lead_time": 4.2}
        image_url = f"/data/local-files/?d=memes/meme_{n}.jpg"
        rows.append({"image": image_url, "text": text("train", n), "id": 500 + n, "topic": choice, "stars": n % 5})
        rows[-1] |= meta
        image(folder / "memes" / f"meme_{n}.jpg", n)
    json_file(folder / "project-3-min.json", rows)
    return folder / "project-3-min.json"


def imagefolder(folder: Path, suffix: str = ".jsonl") -> Path:
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        rows = []
        for n in numbers(split):
            rows.append({"file_name": f"{n:04d}.jpg", "text": text(split, n), "label": ("soup", "rain")[n % 2]})
            image(folder / name / f"{n:04d}.jpg", n)
        if suffix == ".csv":
            delimited(folder / name / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
        else:
            json_lines(folder / name / "metadata.jsonl", rows)
    return folder


def imagefolder_one_file(folder: Path) -> Path:
    """One metadata.csv above the folders of the splits."""
    rows = []
    for split, name in (("train", "train"), ("dev", "validation")):
        for n in numbers(split):
            rows.append((f"{name}/{n:04d}.jpg", text(split, n), ("soup", "rain")[n % 2]))
            image(folder / rows[-1][0], n)
    delimited(folder / "metadata.csv", ("file_name", "text", "label"), rows)
    return folder


def class_folders(folder: Path) -> Path:
    for n in numbers("train"):
        image(folder / ("soup", "rain", "trains")[n % 3] / f"{n}.jpg", n)
    return folder


def class_folders_in_splits(folder: Path) -> Path:
    for split, name in (("train", "train"), ("dev", "val"), ("test", "test")):
        for n in numbers(split):
            image(folder / name / ("soup", "rain", "trains")[n % 3] / f"{n}.jpg", n)
    return folder


def parquet_shards(folder: Path) -> Path:
    """Shards with an Image struct and Sequence(ClassLabel), as `push_to_hub` writes them."""
    pa = __import__("pyarrow")
    parquet = __import__("pyarrow.parquet").parquet
    names = ["soup", "rain", "joke"]
    features = {
        "image": {"_type": "Image"},
        "text": {"dtype": "string", "_type": "Value"},
        "labels": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"},
    }
    schema = pa.schema(
        [
            pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            pa.field("text", pa.string()),
            pa.field("labels", pa.list_(pa.int64())),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    (folder / "data").mkdir(parents=True)
    for split, name, shards in (("train", "train", 2), ("dev", "validation", 1), ("test", "test", 1)):
        rows = []
        for n in numbers(split):
            image(folder / "one.jpg", n)
            content = (folder / "one.jpg").read_bytes()
            labels = [[0], [1, 2], []][n % 3]
            rows.append({"image": {"bytes": content, "path": f"{n}.jpg"}, "text": text(split, n), "labels": labels})
        for shard in range(shards):
            path = folder / f"data/{name}-{shard:05d}-of-{shards:05d}.parquet"
            parquet.write_table(pa.Table.from_pylist(rows[shard::shards], schema=schema), path)
    (folder / "one.jpg").unlink()
    return folder


ALL_SPLITS = dict(SIZES)
TRAIN_DEV = {"train": SIZES["train"], "dev": SIZES["dev"]}
UNDIVIDED = {"all": SIZES["train"]}
HARM = ("individual", "not harmful", "society", "somewhat harmful", "very harmful")
MAMI = ("misogynous", "objectification", "shaming", "stereotype", "violence")
MEMOTION = ("humour", "motivational", "negative", "neutral", "offensive", "positive", "sarcasm")
MMHS = ("Homophobe", "OtherHate", "Racist", "Religion", "Sexist")
FILLED = (
    "Ad Hominem",
    "Doubt",
    "Ethos",
    "Justification",
    "Loaded Language",
    "Logos",
    "Pathos",
    "Slogans",
    "Smears",
)
TOPICS = ("joke", "rain", "soup")
CLASSES = ("rain", "soup", "trains")
FORMS = (
    Form("Hateful Memes", hateful_memes, ("hateful",), ALL_SPLITS),
    Form("HarMeme", harmeme, HARM, ALL_SPLITS),
    Form("MAMI", mami, MAMI, {"train": SIZES["train"], "test": SIZES["test"]}),
    Form("Memotion 7k", memotion_7k, MEMOTION, UNDIVIDED),
    Form("Memotion 2", memotion_2, MEMOTION, TRAIN_DEV),
    Form("MMHS150K", mmhs150k, MMHS, ALL_SPLITS),
    Form("SemEval-2021 Task 6", semeval_2021, ("Doubt", *sorted(TECHNIQUES)), ALL_SPLITS),
    Form("SemEval-2024 Task 4, 2a", semeval_2024, (*FILLED, "Transfer"), TRAIN_DEV),
    Form("SemEval-2024 Task 4, 2b", lambda f: semeval_2024(f, "subtask2b"), ("propagandistic",), TRAIN_DEV),
    Form("COCO", coco, ("soup", "train"), TRAIN_DEV),
    Form("Label Studio", label_studio, TOPICS, UNDIVIDED),
    Form("Label Studio MIN", label_studio_min, TOPICS, UNDIVIDED),
    Form("imagefolder, JSON Lines", imagefolder, ("rain", "soup"), ALL_SPLITS),
    Form("imagefolder, CSV", lambda f: imagefolder(f, ".csv"), ("rain", "soup"), ALL_SPLITS),
    Form("imagefolder, one file", imagefolder_one_file, ("rain", "soup"), TRAIN_DEV),
    Form("class folders", class_folders, CLASSES, UNDIVIDED),
    Form("class folders in splits", class_folders_in_splits, CLASSES, ALL_SPLITS),
    Form("Parquet shards", parquet_shards, TOPICS, ALL_SPLITS),
)
