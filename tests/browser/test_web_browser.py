"""The page in a real browser: its tokens and pixels against Python's, its answers, and whether people can use it.

What needs no model runs with a runtime made here, whose answers are known. The real one comes from npm: give its
package in DISTILL_ORT_WEB, and the Bundles' golden questions are asked too.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain
from chromium import BROWSER, Tab, browse, served
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from distill.preprocess.images import ImageSpec, image_to_uint8
from distill.preprocess.text import TextSpec, load_tokenizer, tokenise
from distill.runtime.bundle import Bundle
from distill.runtime.web.onnxruntime_web import FILES, load_runtime
from distill.runtime.web.onnxruntime_web import PACKAGE as RUNTIME_PACKAGE
from distill.runtime.web.page import resizes_height_first, write_page
from distill.runtime.web.tokenizer import describe_tokenizer
from distill.scoring.probabilities import to_probabilities
from distill.scoring.selective import AnswerCut, answer_confidence
from distill.scoring.thresholds import Thresholds

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome here; apt install chromium")

PACKAGE = os.environ.get("DISTILL_ORT_WEB")
# Label 0 hears of a word, label 1 sees how bright the first region is, and all others say no.
KNOWN = """
export const env = { wasm: {} }
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }) } }
export const InferenceSession = { async create() { return { async run({ input_ids, pixels, present }) {
  await new Promise((done) => setTimeout(done, 10))
  const logits = new Float32Array(LABELS).fill(-4)
  const [, size] = pixels.dims
  let light = 0
  for (let y = 0; y < 6; y++) for (let x = 0; x < 6; x++) light += pixels.data[(y * size + x) * 3] / 36
  if (present.data[0]) logits[0] = input_ids.data.includes(WORDn) ? 3 : -3
  if (present.data[1]) logits[1] = light / 64 - 2
  return { logits: { data: logits } }
} } } }
"""
# Of these, the known model holds 0.8 where it hears of a word: its label 0 has 0.953 then.
CUTS = (AnswerCut(0.8, 0.95, 0.5), AnswerCut(0.9, 0.96, 0.1), AnswerCut(0.95, None, 0.0))
NASTY = [
    "",
    " \t\n\u2003",
    "\x1c",
    "WHO did THIS?!",
    "don't, o'clock ... \u201cquotes\u201d \u2014 dash",
    "naïve café Ångström e\u0301\u0327 a\u0308\u0323",
    "\u0130stanbul ΟΔΟΣ ΣΑΣ straße ﬁ ǅ",
    "政治 漢字かな カタカナ 한국어 \uac00\u1100\u1161",
    "\U0001f525\U0001f970\U0001fae0 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ec\U0001f1e7",
    "zero\u200bwidth\ufeffjoin\u00adsoft \u202eright\u202c",
    "[CLS] [MASK][SEP] [mask] [UNK]",
    "a\x00b\x07c\ufffd d\x85e\u2028f",
    "\ud800 half \udc00\ud83d",
    "x" * 101 + " " + "y" * 100,
    "العربية עִבְרִית हिन्दी ไทย",
    "$^`|~+<=> §¶¿¡«»‽ €₹ ½ ²",
    "\U0002f800\U00020000\u3007\uf900 豈",
    "word " * 200,
]


def tokenizer(cased: bool) -> str:
    """A WordPiece tokenizer with most of the characters above, and some words, in its vocabulary."""
    letters = sorted({letter for text in NASTY for letter in (text + text.lower()) if letter.isprintable()})
    kept = [letter for letter in letters if ord(letter) % 11]  # some are unknown
    names = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *kept,
        *(f"##{letter}" for letter in kept),
        "word",
        "who",
    ]
    vocabulary = {name: place for place, name in enumerate(dict.fromkeys([*names, "##is", "th", "a" * 9]))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    plain = normalizers.BertNormalizer(lowercase=not cased)
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), plain]) if cased else plain
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(names[:5])
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return str(made.to_str())


def texts() -> list[str]:
    """The nasty ones, and many of random characters from everywhere."""
    chance = random.Random(13)
    planes = [(0x20, 0x7F), (0x80, 0x250), (0x250, 0x3000), (0x3000, 0xD7FF), (0xE000, 0x20000), (0, 0x10FFFF)]
    made = list(NASTY)
    for _ in range(600):
        codes = [chance.randint(*chance.choice(planes)) for _ in range(chance.randint(1, 30))]
        made.append("".join(chr(code) if not 0xD800 <= code < 0xE000 else " " for code in codes))
    return made


def images(folder: Path) -> list[str]:
    """Files of many shapes and kinds, by name."""
    generator = np.random.default_rng(13)
    folder.mkdir()

    def noise(width: int, height: int, channels: int = 3) -> Image.Image:
        coarse = generator.integers(0, 256, (max(1, height // 3), max(1, width // 3), channels), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    shapes = [(1, 1), (3, 200), (200, 3), (32, 32), (32, 90), (90, 32), (61, 47), (47, 61), (224, 300), (640, 423)]
    for width, height in [*shapes, (224, 224), (300, 900)]:
        noise(width, height).save(folder / f"{width}x{height}.png")
    noise(2100, 2000).save(folder / "bands.bmp")
    noise(60, 90).convert("L").save(folder / "grey.png")
    noise(60, 90).quantize(16).save(folder / "palette.gif")
    noise(60, 90).save(folder / "lossless.webp", lossless=True)
    cut = noise(60, 90, 4)
    cut.putalpha(cut.getchannel("A").point(lambda value: 255 if value > 127 else 0))
    cut.save(folder / "cut.png")
    noise(60, 90).save(folder / "small.jpg", quality=85)
    noise(61, 90).save(folder / "progressive.jpg", quality=70, progressive=True)
    for turn in (3, 6, 7):
        exif = Image.Exif()
        exif[0x0112] = turn
        noise(60, 90).save(folder / f"turned{turn}.jpg", exif=exif)
    noise(60, 90, 4).save(folder / "veil.png")
    noise(900, 700).convert("L").convert("RGB").save(folder / "draft.jpg", quality=90)
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def site(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of a known model, images, and where there is a runtime, pages of real ones."""
    root = tmp_path_factory.mktemp("site")
    bundle = Bundle.open(chain.int8)
    word = load_tokenizer(bundle.tokenizer_json, bundle.preprocess.text).encode("vote").ids[1]
    known = KNOWN.replace("LABELS", str(len(bundle.labels))).replace("WORD", str(word))
    write_page(chain.int8, root / "known", dict.fromkeys(FILES, known.encode()))
    thresholds = root / "known" / "bundle" / "thresholds.json"
    tree = json.loads(thresholds.read_text())
    own = {"values": [0.5] * len(tree["values"]), "answer_cuts": [asdict(cut) for cut in CUTS]}
    thresholds.write_text(json.dumps(tree | own))
    golden = thresholds.with_name("golden.json")
    golden.write_text(
        json.dumps(json.loads(golden.read_text()) | {"tolerance": 0.01})
    )  # else int8's, as it comes out
    if PACKAGE is not None:
        runtime = load_runtime(Path(PACKAGE))
        write_page(chain.int8, root / "int8", runtime)
        write_page(chain.fp32, root / "fp32", runtime)
    images(root / "images")
    return root


@pytest.fixture(scope="module")
def browser(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tab, str]]:
    """One browser for all of them, and the address of the site."""
    with served(site) as url, browse(tmp_path_factory.mktemp("profile")) as tab:
        yield tab, url


def test_a_model_of_texts_alone_offers_no_place_for_an_image(browser: tuple[Tab, str], site: Path) -> None:
    tab, url = browser
    shutil.copytree(site / "known", site / "texts")
    manifest = site / "texts" / "bundle" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"modalities": "text"}))
    tab.open(f"{url}/texts/index.html")
    tab.until("/^Ready/.test(document.getElementById('state').textContent)")
    assert "Give a text: this model reads no images." in said(tab, "state")
    shown = {name: tab.run(f"document.getElementById('{name}').checkVisibility()") for name in ("drop", "text")}
    assert shown == {"drop": False, "text": True}
    write(tab, "vote")
    assert "reach their thresholds" in said(tab, "summary")


@pytest.fixture
def page(browser: tuple[Tab, str]) -> Tab:
    """The page of the known model, ready."""
    tab, url = browser
    tab.events.clear()
    tab.look(1200)
    tab.open("about:blank")
    tab.open(f"{url}/known/index.html")
    tab.until("/^Ready/.test(document.getElementById('state').textContent)")
    return tab


def said(tab: Tab, name: str) -> str:
    """What a part of the page says."""
    return str(tab.run(f"document.getElementById('{name}').innerText"))


def write(tab: Tab, text: str) -> None:
    """Type, and wait for the answer."""
    tab.run("document.getElementById('text').select()")
    tab.call("Input.insertText", text=text)
    tab.run("document.getElementById('explain').disabled = true")
    tab.until("!document.getElementById('explain').disabled")


def show(tab: Tab, image: Path) -> None:
    """Choose an image, and wait for the answer."""
    tab.choose("#file", image)
    tab.until("!document.getElementById('stage').hidden && !document.getElementById('explain').disabled")


@pytest.mark.parametrize("cased", [True, False])
def test_texts_become_the_tokens_that_python_makes_of_them(browser: tuple[Tab, str], cased: bool) -> None:
    tab, url = browser
    text, spec = tokenizer(cased), TextSpec(40, 0)
    asked = texts()
    tab.open(f"{url}/known/bundle/labels.txt")
    found = tab.run(
        f"""import('/known/tokenizer.js').then(({{ Tokenizer }}) => {{
        const vocabulary = {json.dumps(json.loads(text)["model"]["vocab"])}
        const made = new Tokenizer({json.dumps(describe_tokenizer(text, spec))}, vocabulary)
        return {json.dumps(asked)}.map((text) => [made.ids(text), made.hasText(text)])
        }})"""
    )
    expected = tokenise(load_tokenizer(text, spec), asked)
    wrong = [(t, ids, own) for t, (ids, _), own in zip(asked, found, expected, strict=True) if ids != own]
    assert wrong == []
    assert [given for _, given in found] == [bool(t.strip()) for t in asked]
    assert len({tuple(ids) for ids in expected}) > 200  # the tokenizer tells them apart


def pixels_of(tab: Tab, name: str, spec: ImageSpec, scale: str) -> NDArray[np.int64]:
    """What the page makes of a served image."""
    found = tab.run(
        f"""(async () => {{
        const {{ decode, jpegScale, toPixels }} = await import('/known/image.js')
        const blob = await (await fetch('/images/{name}')).blob()
        const bitmap = await decode(blob)
        const pixels = toPixels(bitmap, {json.dumps(asdict(spec))}, {scale}, {json.dumps(resizes_height_first())})
        return btoa(Array.from(pixels, (value) => String.fromCharCode(value)).join(''))
        }})()"""
    )
    return np.frombuffer(base64.b64decode(found), dtype=np.uint8).astype(int)


@pytest.mark.parametrize(("fit", "size"), [("squash", 32), ("crop", 32), ("squash", 224)])
def test_images_become_the_pixels_that_pillow_makes_of_them(
    browser: tuple[Tab, str], site: Path, fit: Any, size: int
) -> None:
    tab, url = browser
    spec = ImageSpec(size, fit, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    tab.open(f"{url}/known/bundle/labels.txt")
    differences = {}
    for file in sorted((site / "images").glob("*")):
        own = image_to_uint8(file, spec).ravel().astype(int)
        differences[file.name] = np.abs(own - pixels_of(tab, file.name, spec, "1"))
    veil, whole = differences.pop("veil.png"), differences.pop("draft.jpg")
    assert {name: value.max() for name, value in differences.items() if value.max()} == {}
    assert veil.max() <= 1  # canvases keep colours multiplied by their opacity
    # Means of pixels in place of Pillow's means of coefficients: not the same, but much nearer than nothing.
    own = image_to_uint8(site / "images" / "draft.jpg", spec).ravel().astype(int)
    drafted = np.abs(own - pixels_of(tab, "draft.jpg", spec, f"await jpegScale(blob, bitmap, {size})"))
    assert drafted.mean() < 0.5
    assert drafted.mean() < whole.mean() / 3


def test_an_answer_is_given_explained_and_stopped_by_keyboard(page: Tab) -> None:
    reached = []
    for _ in range(2):
        page.press("Tab", 9)
        reached.append(page.run("document.activeElement.id"))
    assert reached == ["file", "text"]
    write(page, "please vote now")
    assert said(page, "summary").startswith("1 of 6 labels")
    assert page.run("document.querySelectorAll('#labels li').length") == 6
    assert page.run("document.querySelector('#labels li .value').textContent").startswith("95.3 %, above ")
    for name in ("abstain", "label", "explain"):
        page.press("Tab", 9)
        assert page.run("document.activeElement.id") == name
    page.press("Enter", 13, "\r")
    page.until("document.getElementById('effects').children.length")
    assert said(page, "effects") == "The word “vote” speaks for the label: 4.7 % without it."
    assert page.run("[...document.querySelectorAll('#words .for')].map((word) => word.textContent)") == ["vote"]
    write(page, "please vote again " * 20)
    assert said(page, "explanation") == ""  # that was about another text
    page.run("document.getElementById('explain').focus()")
    page.press("Enter", 13, "\r")
    page.until("document.activeElement.id === 'stop'")
    page.press("Enter", 13, "\r")
    page.until("document.getElementById('explanation').textContent === 'Stopped.'")
    assert page.trouble() == []


def test_an_answer_that_is_not_sure_enough_is_left_to_a_person(page: Tab) -> None:
    offered = page.run("[...document.querySelectorAll('#abstain option')].map((o) => [o.text, o.disabled])")
    assert offered == [
        ["Every post", False],
        ["Only what holds a precision of 80 %", False],
        ["Only what holds a precision of 90 %", False],
        ["Only what holds a precision of 95 %, which cannot be held", True],
    ]
    write(page, "please vote now")
    choose = "(() => { const select = document.getElementById('abstain'); select.selectedIndex = INDEX; "
    choose += "select.dispatchEvent(new Event('change')) })()"
    given = "[...document.querySelectorAll('#labels .predicted .name')].length"
    for index, is_asked in ((1, False), (2, True), (0, False), (2, True)):
        page.run(choose.replace("INDEX", str(index)))
        assert said(page, "summary").startswith("Ask a person:" if is_asked else "1 of 6 labels"), index
        assert page.run(given) == (0 if is_asked else 1)
    assert said(page, "summary").endswith("95.3 % sure, and to hold 90 % it must be 96.0 % sure.")
    assert page.run("document.querySelector('#labels li .value').textContent").startswith("95.3 %, above ")
    write(page, "nothing here")  # no label, and sure of it: 0.953 * 0.982**5
    assert said(page, "summary").startswith("Ask a person: this answer is 87.")
    assert page.trouble() == []


def test_a_region_that_moved_the_answer_is_shown_on_the_image(page: Tab, tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:6, :6] = 255
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    show(page, tmp_path / "corner.png")
    assert said(page, "summary").startswith("1 of 6 labels")
    page.run("document.getElementById('explain').click()")
    page.until("document.getElementById('effects').children.length")
    assert said(page, "effects").startswith("Region 1 (row 1, column 1 of 5) speaks for the label")
    strength = "Number(cell.style.getPropertyValue('--strength'))"
    assert page.run(f"[...document.querySelectorAll('#regions div')].map((cell) => {strength})") == [1, *[0] * 24]
    page.run("document.getElementById('remove').click()")
    page.until("document.getElementById('labels').children.length === 0")
    assert page.run("document.getElementById('stage').hidden") is True


def test_a_file_that_is_no_image_is_told_and_what_was_there_stays_answered(page: Tab, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("dear")
    write(page, "please vote now")
    page.choose("#file", tmp_path / "letter.jpg")
    page.until("document.getElementById('error').textContent")
    assert "cannot read that file" in said(page, "error")
    page.until("!document.getElementById('explain').disabled")
    assert said(page, "summary").startswith("1 of 6 labels")


# What is asked of the page's worker and is as HOLD says waits for `letGo`.
HOLD = """
(() => {
  const post = Worker.prototype.postMessage, held = []
  window.HELD = held
  Worker.prototype.postMessage = function (given) {
    if (HOLD) held.push(() => post.call(this, given))
    else post.call(this, given)
  }
  window.letGo = () => {
    Worker.prototype.postMessage = post
    for (const one of held) one()
  }
})()
"""


def white(folder: Path) -> Path:
    """An image that the known model gives its label 1."""
    Image.new("RGB", (32, 32), "white").save(folder / "white.png")
    return folder / "white.png"


def test_an_image_chosen_while_the_model_loads_is_answered(browser: tuple[Tab, str], tmp_path: Path) -> None:
    tab, url = browser
    tab.open("about:blank")
    hold = HOLD.replace("(HOLD)", "(true)")
    script = tab.call("Page.addScriptToEvaluateOnNewDocument", source=hold)["identifier"]
    tab.open(f"{url}/known/index.html")
    tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    tab.choose("#file", white(tmp_path))
    tab.until("HELD.length > 1")
    tab.run("letGo()")
    tab.until("!document.getElementById('explain').disabled")
    assert said(tab, "summary").startswith("1 of 6 labels")
    assert tab.run("document.getElementById('stage').hidden") is False


def test_a_text_typed_while_an_image_is_read_is_answered_with_it(page: Tab, tmp_path: Path) -> None:
    page.run(HOLD.replace("(HOLD)", "(given.task === 'image')"))
    page.choose("#file", white(tmp_path))
    page.until("HELD.length")
    write(page, "please vote now")
    assert said(page, "summary").startswith("1 of 6 labels")
    page.run("letGo()")
    page.until("!document.getElementById('stage').hidden && !document.getElementById('explain').disabled")
    assert said(page, "summary").startswith("2 of 6 labels")


LEGIBLE = """
(() => {
  const parse = (colour) => {
    const parts = colour.match(/[\\d.]+/g).map(Number)
    return (colour.startsWith('color(') ? parts.slice(0, 3).map((v) => v * 255) : parts.slice(0, 3))
      .concat(parts[3] ?? 1)
  }
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3])).concat(1)
  const ground = (node) => {
    const own = parse(getComputedStyle(node).backgroundColor)
    return own[3] === 1 ? own : over(own, node.parentElement ? ground(node.parentElement) : [255, 255, 255, 1])
  }
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const shown = [...document.querySelectorAll('body *')].filter((node) => node.checkVisibility() && !node.disabled)
  const texts = shown.filter((node) =>
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
  const contrasts = texts.map((node) => {
    const pair = [parse(getComputedStyle(node).color), ground(node)].map(luminance).sort((a, b) => b - a)
    return [(pair[0] + 0.05) / (pair[1] + 0.05), node.outerHTML.slice(0, 80)]
  })
  return {
    count: texts.length, faint: contrasts.filter(([value]) => value < 4.5),
    scroll: document.documentElement.scrollWidth, inner: innerWidth,
    small: [...document.querySelectorAll('button, select, textarea')].filter((node) => node.checkVisibility() &&
      node.getBoundingClientRect().height < 24).map((node) => node.id),
  }
})()
"""


def test_it_is_legible_narrow_and_wide_light_and_dark_and_names_every_control(page: Tab, site: Path) -> None:
    show(page, site / "images" / "300x900.png")
    write(page, "please vote now " + "averyveryverylongword" * 9)
    page.run("document.getElementById('explain').click()")
    page.until("document.getElementById('effects').children.length")
    page.run("document.getElementById('card').open = true")
    for dark in (False, True):
        for width in (360, 1200):
            page.look(width, dark=dark)
            seen = page.run(LEGIBLE)
            assert seen["count"] > 40
            assert seen["faint"] == []
            assert seen["small"] == []
            assert seen["scroll"] <= seen["inner"] == width
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    named = {node["role"]["value"]: node["name"]["value"] for node in shown if "name" in node}
    assert named["textbox"] == "Text on the image"
    boxes = [node["name"]["value"] for node in shown if node["role"]["value"] == "combobox"]
    assert sorted(boxes) == ["Answer", "Label"]
    spoken = {"button", "textbox", "combobox", "link", "image", "heading", "region"}
    assert [node for node in shown if node["role"]["value"] in spoken and not node["name"]["value"]] == []
    assert sum(node["role"]["value"] == "status" for node in shown) == 3


def test_nothing_is_asked_of_another_address(page: Tab, browser: tuple[Tab, str], tmp_path: Path) -> None:
    url = browser[1]
    assert {
        address.removeprefix("blob:").startswith(url) for address in page.asked() if "data:" not in address
    } == {True}
    assert page.trouble() == []
    (tmp_path / "secret.txt").write_text("here")
    with served(tmp_path, {"Access-Control-Allow-Origin": "*"}) as other:
        script = f"fetch('{other}/secret.txt').then(() => 'out', () => 'kept in')"
        assert page.run(script) == "kept in"
        worker = f"{script}.then((said) => postMessage(said))"
        started = (
            f"new Promise((done) => {{ new Worker(URL.createObjectURL(new Blob([{json.dumps(worker)}]))).onmessage"
            " = ({ data }) => done(data) })"
        )
        assert page.run(started) == "kept in"  # as the model's own worker is started
        page.open(f"{url}/known/bundle/labels.txt")
        assert page.run(script) == "out"  # so it was the page's policy


def test_the_check_counts_posts_that_this_browser_asks_about_and_the_bundle_does_not(
    browser: tuple[Tab, str], site: Path
) -> None:
    tab, url = browser
    tab.open(f"{url}/known/check.html")
    found = json.loads(tab.until("document.getElementById('figures').textContent"))
    folder = site / "known" / "bundle"
    golden = json.loads((folder / "golden.json").read_text())
    rule = Thresholds.from_json(json.loads((folder / "thresholds.json").read_text()))

    def asks(logits: Any) -> NDArray[np.bool_]:
        p = to_probabilities(np.array(logits, dtype=np.float32), rule.groups)
        cuts = [cut.confidence for cut in CUTS if cut.confidence is not None]
        return answer_confidence(p, rule.apply(p))[:, None] < np.array(cuts)

    own, expected = asks([case["logits"] for case in found["cases"]]), asks(golden["logits"])
    differing = int((own != expected).sum())
    assert differing > 0  # the known model is another one
    assert (found["flipped_asks"], found["asks"]) == (differing, own.size)
    assert f"{differing} of {own.size} decisions whether to ask a person differ." in said(tab, "state")


@pytest.mark.skipif(PACKAGE is None, reason=f"give the file of `npm pack {RUNTIME_PACKAGE}` in DISTILL_ORT_WEB")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_golden_questions_get_the_predictors_answers(
    browser: tuple[Tab, str], chain: Chain, precision: str
) -> None:
    tab, url = browser
    tab.events.clear()
    tab.open(f"{url}/{precision}/check.html")
    found = json.loads(tab.until("document.getElementById('figures').textContent"))
    golden = Bundle.open(getattr(chain, precision)).golden
    exact = [case for case in found["cases"] if case["scale"] == 1]
    assert len(exact) == 4  # the others are JPEG files of more than twice this model's 32 pixels
    known = np.array([golden["logits"][case["place"]] for case in exact])
    logit_rms = float(np.sqrt(np.square(np.array([case["logits"] for case in exact]) - known).mean()))
    assert found["scaled"] == len(found["cases"]) - 4
    assert (found["other_tokens"], found["other_pixels"]) == (0, 0)
    assert found["logit_rms"] == pytest.approx(logit_rms)
    assert logit_rms <= (1e-4 if precision == "fp32" else golden["tolerance"])
    assert found["passed"] is True
    assert said(tab, "state").startswith("Verified.")
    assert tab.trouble() == []
