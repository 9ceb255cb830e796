"""Datasets in the forms in which they are published: each is read as it is, and as nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import published
import pytest
from published import FORMS, Form

from distill.core.errors import DataError
from distill.data.checks import check_splits
from distill.data.columns import Columns
from distill.data.dataset import Example, Splits, read_examples, read_splits
from distill.data.formats import class_folders
from distill.data.formats.folders import find_parts
from distill.data.formats.published import ROW_FORMS, TREE_FORMS
from distill.data.formats.splits import split_of
from distill.data.roles import Ask
from distill.data.sources import FailedRow, InMemoryExample, Source

PLAIN = {
    "HarMeme",
    "SemEval-2021 Task 6",
    "imagefolder",
    "Parquet shards",
}  # rows as distill's own or with synonyms


def every(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.dev, *splits.test]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_published_form_is_read_with_no_manual_step(form: Form, tmp_path: Path) -> None:
    splits = read_splits(form.write(tmp_path / "data"))
    assert splits.labels.names == tuple(sorted(form.labels))
    sizes = (len(splits.train), len(splits.dev), len(splits.test))
    if "dev" in form.splits:
        assert sizes == (form.splits["train"], form.splits["dev"], form.splits.get("test", 0))
    else:
        assert sum(sizes) == sum(form.splits.values())
        assert all(sizes)
    for example in every(splits):
        assert "class" in form.name or "meme, number" in example.text.lower()
        assert isinstance(example.image, bytes) or (example.image is not None and example.image.is_file())
    check_splits(splits.with_known_labels())  # images and ids


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_predict_reads_each_published_form_or_names_the_parts(form: Form, tmp_path: Path) -> None:
    data = form.write(tmp_path / "data")
    sources = [data]
    if data.is_dir() and not (data / "metadata.csv").is_file():
        with pytest.raises(DataError, match=r"holds a dataset; give .*one of its parts, such as") as refused:
            Source.open(data)
        assert str(tmp_path) in str(refused.value)
        assert "\n" not in str(refused.value)
        Source.open(Path(str(refused.value).rpartition("such as ")[2]))
        sources = [
            part.path for parts in find_parts(data).parts.values() for part in parts if not part.path.is_dir()
        ]
    for source in sources:
        items = list(Source.open(source).items())
        assert items
        for item in items:
            assert not isinstance(item, FailedRow), item.error
            assert "meme, number" in item.text.lower()
            assert isinstance(item, InMemoryExample) or isinstance(item.image, Path)


def first_rows(folder: Path) -> Iterator[tuple[str, Any]]:
    """(form, JSON value or first row) of every made-up file."""
    for form in FORMS:
        form.write(folder / form.name)
        for path in sorted((folder / form.name).rglob("*")):
            if path.suffix == ".json" and "img_txt" not in path.parts:
                tree = json.loads(path.read_text())
                yield form.name, tree
                yield form.name, tree[0] if isinstance(tree, list) else {}
            elif path.suffix in (".jsonl", ".txt") and path.read_text()[:1] in "[{":
                text = path.read_text()
                yield form.name, json.loads(text)[0] if text.startswith("[") else json.loads(text.split("\n")[0])
            elif path.suffix == ".csv":
                separator = "\t" if "\t" in path.read_text().split("\n")[0] else ","
                header, row = (line.split(separator) for line in path.read_text().split("\n")[:2])
                yield form.name, dict.fromkeys(header, "") | dict(zip(header, row, strict=False))


def test_no_form_takes_a_file_of_another(tmp_path: Path) -> None:
    taken: dict[str, set[str]] = {}
    for name, value in first_rows(tmp_path):
        fits = [form.name for form in TREE_FORMS if form.fits(value)]
        if isinstance(value, dict):
            fits += [form.name for form in ROW_FORMS if form.fits(value)]
        assert len(fits) <= 1
        taken.setdefault(name, set()).update(fits)
    assert taken.pop("Label Studio MIN") == {"Label Studio JSON-MIN"}
    assert taken.pop("Label Studio") == {"Label Studio JSON"}
    for name, forms in taken.items():
        expected = {form.name for form in (*TREE_FORMS, *ROW_FORMS) if name.startswith(form.name)}
        assert forms == (set() if any(name.startswith(plain) for plain in PLAIN) else expected), name
    for row in ({"id": 1, "img": "img/a.png", "label": 1, "text": "x"}, {"file_name": "a", "text": "b"}, {}):
        assert not any(form.fits(row) for form in ROW_FORMS)
    for tree in ([], {}, [1], {"a": 1}, {"images": 3, "annotations": []}, [{"id": 1}], None, "x"):
        assert not any(form.fits(tree) for form in TREE_FORMS)


def test_votes_of_several_annotators_need_more_than_half(tmp_path: Path) -> None:
    rows = {example.id: example for example in read_examples(published.label_studio(tmp_path / "ls"))}
    assert rows["504"].labels == ("rain", "joke")  # two of three
    assert rows["500"].labels == ("soup",)  # rain: one of three
    tweets = read_examples(published.mmhs150k(tmp_path / "mmhs") / "MMHS150K_GT.json")
    assert [tweet.labels for tweet in tweets[:3]] == [(), ("Racist",), ("Sexist",)]
    tied = json.loads((tmp_path / "mmhs/MMHS150K_GT.json").read_text())
    for tweet in tied.values():
        tweet["labels"] = [1, 2]
    (tmp_path / "mmhs/tied.json").write_text(json.dumps(tied))
    assert read_examples(tmp_path / "mmhs/tied.json")[0].unknown_labels == ("Racist", "Sexist")


def test_what_a_scale_says_becomes_labels(tmp_path: Path) -> None:
    rows = read_examples(published.memotion_7k(tmp_path) / "labels.csv")
    assert rows[0].labels == (
        "negative",
    )  # not_funny, not_sarcastic, not_offensive, not_motivational, very_negative
    assert rows[7].labels == ("humour", "sarcasm", "offensive", "motivational", "neutral")
    assert rows[3].text == published.text("train", 3).upper()  # nothing corrected: as it was read off
    path = tmp_path / "labels.csv"
    path.write_text(path.read_text().replace("hilarious", "funniest"))
    with pytest.raises(DataError, match=r"row 4: humour must be one of not_funny, .* got 'funniest'"):
        read_examples(path)


def test_labels_above_a_technique_are_filled_in_for_2024_and_not_for_2021(tmp_path: Path) -> None:
    new = read_splits(published.semeval_2024(tmp_path / "new"))
    assert set(new.train[0].labels or ()) == {"Smears", "Ad Hominem", "Ethos"}
    old = read_splits(published.semeval_2021(tmp_path / "old"))
    assert old.train[0].labels == ("Smears",)
    both = read_splits(published.semeval_2024(tmp_path / "both", "subtask2b"))
    assert [row.labels for row in both.train[:2]] == [("propagandistic",), ()]


def test_test_labels_of_mami_come_from_their_own_file(tmp_path: Path) -> None:
    folder = published.mami(tmp_path)
    assert read_splits(folder).test[1].labels == ("misogynous", "violence")
    (folder / "test_labels.txt").write_text("200.jpg\t1\t0\n")
    with pytest.raises(DataError, match=r"test_labels\.txt: expected an image and 5 labels of 0 or 1 a line"):
        read_examples(folder / "test/Test.csv")
    (folder / "test_labels.txt").unlink()
    assert read_examples(folder / "test/Test.csv")[0].labels is None


def test_of_two_files_of_a_split_the_labelled_and_the_first_round_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_splits(published.hateful_memes(tmp_path / "hm"))
    assert "dev_unseen.jsonl" in "".join(capsys.readouterr().err.split())
    read_splits(published.semeval_2024(tmp_path / "se"))
    assert "dev_unlabeled.json" in "".join(capsys.readouterr().err.split())
    folder = published.hateful_memes(tmp_path / "other")
    (folder / "dev_old.jsonl").write_text((folder / "dev_seen.jsonl").read_text())
    (folder / "dev_seen.jsonl").rename(folder / "dev_new.jsonl")
    with pytest.raises(DataError, match=r"both dev_new\.jsonl and dev_old\.jsonl could be the dev split; keep one"):
        read_splits(folder)


def test_a_release_with_several_tasks_asks_for_one(tmp_path: Path) -> None:
    published.semeval_2024(tmp_path)
    published.semeval_2024(tmp_path, "subtask2b")
    with pytest.raises(DataError, match="could be the train split; keep one, or give the folder of one"):
        read_splits(tmp_path / "semeval2024_dev_release")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("TRAINING", "train"),
        ("train-00000-of-00002", "train"),
        ("val2017", "dev"),
        ("memotion_val", "dev"),
        ("dev_set_task3_labeled", "dev"),
        ("test_seen", "test"),
        ("evaluation", "test"),
        ("trains", None),
        ("constraint", None),
        ("train_and_test", None),
        ("latest", None),
    ],
)
def test_a_split_is_known_by_a_whole_word(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_other_places_of_the_same_files_are_known(tmp_path: Path) -> None:
    """Roboflow's COCO, whose ids begin anew in each split, and the hub's own Parquet."""
    coco = published.coco(tmp_path / "coco")
    for name, split in (("train2017", "train"), ("val2017", "valid")):
        (coco / name).rename(coco / split)
        (coco / f"annotations/instances_{name}.json").rename(coco / split / "_annotations.coco.json")
    for captions in (coco / "annotations").iterdir():
        captions.unlink()
    splits = read_splits(coco)
    assert (len(splits.train), len(splits.dev)) == (published.SIZES["train"], published.SIZES["dev"])
    assert all(isinstance(row.image, Path) and row.image.is_file() and not row.text for row in every(splits))
    hub = published.parquet_shards(tmp_path / "hub")
    for path in sorted((hub / "data").iterdir()):
        split, number = path.stem.split("-")[:2]
        (hub / "default" / split).mkdir(parents=True, exist_ok=True)
        path.rename(hub / "default" / split / f"{number[1:]}.parquet")
    assert len(read_splits(hub).train) == published.SIZES["train"]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for n in range(12):
        published.image(tmp_path / ("car", "train", "bus")[n % 3] / f"{n}.jpg", n)
    assert read_splits(tmp_path).labels.names == ("bus", "car", "train")
    (tmp_path / "car" / "0.txt").write_text("a red one")
    assert next(row for _, row in class_folders.open_classes(tmp_path).rows if row["id"] == "car/0.jpg")["text"]


def test_a_folder_without_a_dataset_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match=r"no train\.json"):
        read_splits(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,text,labels\n1,x,y\n")
    with pytest.raises(DataError, match=r"a\.csv, b\.csv could all be its rows; give the one"):
        read_splits(tmp_path)


ODD = [None, 7, -0.5, "", "x" * 300, [], {}, [[]], {"a": [1]}, True, [None], {"id": {}}, "\ud800"]


def spoil(value: Any, generator: random.Random) -> Any:
    """The value with one of its parts replaced, left out, or moved a level up."""
    if isinstance(value, dict) and value and generator.random() < 0.85:
        key = generator.choice(sorted(value))
        if generator.random() < 0.15:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: spoil(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.85:
        index = generator.randrange(min(3, len(value)))
        return [*value[:index], spoil(value[index], generator), *value[index + 1 :]]
    return generator.choice(ODD)


@pytest.mark.parametrize(
    "name", ["COCO", "MMHS150K", "Label Studio", "Label Studio MIN", "SemEval-2024 Task 4, 2a"]
)
def test_spoilt_files_are_read_or_refused_in_our_words(name: str, tmp_path: Path) -> None:
    form = next(form for form in FORMS if form.name == name)
    data = form.write(tmp_path / "data")
    path = data if data.is_file() else next(part.path for part in find_parts(data).parts["train"])
    tree, generator = json.loads(path.read_text()), random.Random(13)
    tree = tree[:5] if isinstance(tree, list) else tree
    spoilt = path.with_name(f"spoilt_{path.name}")
    refused = []
    for _ in range(150):
        spoilt.write_text(json.dumps(spoil(tree, generator)))
        try:
            read_examples(spoilt)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in message or len(message) > 1000 for message in refused)


def test_who_names_columns_means_those_of_the_file(tmp_path: Path) -> None:
    path = published.mami(tmp_path) / "TRAINING/training.csv"
    named = Columns(labels=("misogynous", "violence"))
    for ask in (Ask(named), Ask(remembered=named)):
        rows = read_examples(path, ask)
        assert rows[7].labels == ("misogynous", "violence")
        assert {label for row in rows for label in row.labels or ()} == {"misogynous", "violence"}
    elsewhere = Ask(remembered=Columns(text="caption", labels=("mood",)))
    assert read_examples(path, elsewhere)[1].labels == ("misogynous", "shaming")


def test_rows_of_a_published_form_that_are_broken_are_named(tmp_path: Path) -> None:
    coco = published.coco(tmp_path) / "annotations/instances_train2017.json"
    tree = json.loads(coco.read_text())
    tree["annotations"][0]["category_id"] = 99
    coco.write_text(json.dumps(tree))
    with pytest.raises(DataError, match="an annotation is of category 99, which is not listed"):
        read_examples(coco)
    mami = tmp_path / "mami.csv"
    mami.write_text("file_name\tmisogynous\tText Transcription\na.jpg\t2\tx\n")
    with pytest.raises(DataError, match="row 1: expected 0 or 1; got '2'"):
        read_examples(mami)


def test_files_of_two_tasks_are_no_shards_of_one_split(tmp_path: Path) -> None:
    for task in (1, 3):
        published.json_file(
            tmp_path / f"training_set_task{task}.txt", [{"id": f"{task}", "text": "a", "labels": ["b"]}]
        )
    with pytest.raises(
        DataError, match=r"both training_set_task1\.txt and training_set_task3\.txt could be the train"
    ):
        read_splits(tmp_path)


def test_memotion_is_read_with_all_files_of_its_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published.memotion_7k(tmp_path)
    published.delimited(
        tmp_path / "reference.csv", ("", "image_name", "image_url"), [(0, "a.jpg", "http://e.org/a")]
    )
    assert "humour" in read_splits(tmp_path).labels.names
    assert "not read: reference.csv" in capsys.readouterr().err


def test_images_beside_rows_are_not_predicted_without_their_texts(tmp_path: Path) -> None:
    published.delimited(tmp_path / "train.csv", ("img", "text", "label"), [("1.jpg", "word", "a")])
    published.image(tmp_path / "1.jpg", 1)
    with pytest.raises(
        DataError,
        match=r"holds a dataset; give --split with one of train, or one of its parts, such as .*train\.csv",
    ):
        Source.open(tmp_path)
    (tmp_path / "train.csv").rename(tmp_path / "posts.csv")
    published.image(tmp_path / "more" / "2.jpg", 2)
    source = Source.open(tmp_path)
    assert source.count() == 1
    assert source.passed_over == (
        "passed over: 1 file(s) that are no images (1 .csv) and 1 folder(s) (more; --recursive reads them too)"
    )


def test_techniques_of_fragments_become_labels_of_their_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fragment(technique: str, start: int) -> dict[str, Any]:
        return {"start": start, "end": start + 3, "technique": technique, "text_fragment": "abc"}

    rows = [{"id": str(n), "text": f"abc words {n}", "labels": []} for n in range(8)]
    rows[5] |= {"labels": [fragment("Smears", 0), fragment("Doubt", 4), fragment("Smears", 8)]}
    for split in ("training", "dev"):
        published.json_file(
            tmp_path / f"{split}_set_task2.txt", [{**row, "id": f"{split} {row['id']}"} for row in rows]
        )
    splits = read_splits(tmp_path)
    assert [example.labels for example in splits.train] == [()] * 5 + [("Smears", "Doubt")] + [()] * 2
    assert splits.labels.names == ("Doubt", "Smears")
    assert "read as SemEval-2021 Task 6, subtask 2 (JSON)" in capsys.readouterr().err
    published.json_file(tmp_path / "training_set_task2.txt", [rows[5], {**rows[6], "labels": ["Smears"]}])
    with pytest.raises(DataError, match="row 2: a fragment needs start, end and technique; got 'Smears'"):
        read_splits(tmp_path)


def min_export(path: Path, **controls: list[Any]) -> Path:
    """A JSON-MIN export of as many rows as the controls have values."""
    count = len(next(iter(controls.values())))
    meta = {"annotator": 1, "annotation_id": 1, "lead_time": 1.0}
    rows = [
        {"text": f"post number {n}", "id": n} | {name: column[n] for name, column in controls.items()} | meta
        for n in range(count)
    ]
    path.write_text(json.dumps(rows))
    return path


def test_what_is_typed_into_label_studio_is_no_label_however_few_its_values_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, words = ["ok", "hm", None] * 10, [f"word {n // 2 * 2 if n < 8 else n}" for n in range(30)]
    path = min_export(tmp_path / "ls.json", kind=["sad", "glad", "sad"] * 10, my_notes=notes, words=words)
    assert {label for row in read_examples(path) for label in row.labels or ()} == {"sad", "glad"}
    assert "Label Studio JSON-MIN without 'my_notes', 'words', which holds no choices" in capsys.readouterr().err


def test_several_controls_that_choose_in_label_studio_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds: list[Any] = ["sad", "glad", {"choices": ["sad", "glad"]}]
    path = min_export(tmp_path / "ls.json", kind=kinds, comment=[{"choices": ["a", "b"]}, "a", "b"])
    assert read_examples(path)[0].labels == ("kind: sad", "comment: a", "comment: b")
    assert "Label Studio JSON-MIN with the choices of 'kind', 'comment'" in capsys.readouterr().err


def changed_coco(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = published.coco(folder) / "annotations/instances_train2017.json"
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return path


def test_ids_of_coco_are_the_same_as_numbers_and_as_texts(tmp_path: Path) -> None:
    def as_texts(tree: dict[str, Any]) -> None:
        for annotation in tree["annotations"]:
            annotation["image_id"] = str(annotation["image_id"])
            annotation["category_id"] = str(annotation["category_id"])

    plain = read_examples(published.coco(tmp_path / "plain") / "annotations/instances_train2017.json")
    texts = read_examples(changed_coco(tmp_path / "texts", as_texts))
    assert [(row.text, row.labels) for row in texts] == [(row.text, row.labels) for row in plain]


def test_annotations_of_images_that_coco_does_not_list_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed_coco(tmp_path, lambda tree: tree["annotations"][0].update(image_id=99))
    read_examples(path)
    assert "COCO without 1 annotations of images that are not listed, such as 99" in capsys.readouterr().err


def test_coco_whose_annotations_are_all_of_other_images_or_of_no_kind_is_refused(tmp_path: Path) -> None:
    def to_names(tree: dict[str, Any]) -> None:
        for annotation in tree["annotations"]:
            annotation["image_id"] = f"{annotation['image_id']:012d}.jpg"

    with pytest.raises(DataError, match=r"no annotation is of a listed image: 'image_id' is '0.*jpg' and so on"):
        read_examples(changed_coco(tmp_path / "a", to_names))
    path = changed_coco(tmp_path / "b", lambda tree: tree["annotations"][0].pop("category_id"))
    with pytest.raises(DataError, match="an annotation needs 'category_id' or 'caption'"):
        read_examples(path)
    path = changed_coco(tmp_path / "c", lambda tree: tree["images"][0].update(id=tree["images"][1]["id"]))
    with pytest.raises(DataError, match="two images have the id '1'; give each its own"):
        read_examples(path)


def test_a_label_of_ones_own_beside_a_link_is_no_semeval(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("id,text,label,link\n1,a,sad,http://x\n2,b,glad,http://y\n")
    assert [row.labels for row in read_examples(path)] == [("sad",), ("glad",)]


def test_a_row_that_a_published_form_has_not_names_the_form_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("id,text,label,link\n1,a,propagandistic,http://x\n2,b,glad,http://y\n")
    message = "got 'glad'; the file was taken for SemEval-2024 Task 4; to read its columns as they stand, name some"
    with pytest.raises(DataError, match=message):
        read_examples(path)
    assert read_examples(path, Ask(Columns(labels=("label",))))[1].labels == ("glad",)
