"""The report: one file that needs no other, complete, escaped, and the same each time."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from visionport.report.page import (
    ArtifactView,
    Column,
    PictureView,
    Report,
    SignatureView,
    TensorView,
    render,
    write_report,
)
from visionport.verification.checks import Check

VOID = {"meta", "img", "link", "br", "hr", "input", "wbr"}


class Page(HTMLParser):
    """A parsed page: its tags with attributes, its text, and that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.words, self.texts = [], [], [], {}
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & {*self.open}:
            self.words.append(data)
            for tag in self.open:
                self.texts[tag] = self.texts.get(tag, "") + data

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def attributes(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def check(what="scores", picture="a.jpg", measured=1e-6, bound: float | None = 1e-4, **more):
    return Check(artifact="x", what=what, picture=picture, measured=measured, bound=bound, **more)


def artifact(title="SavedModel", path="saved_model", checks=None, **more):
    return ArtifactView(title=title, path=path, size=4_612_345, checks=(check(),) if checks is None else checks, **more)


def report(*artifacts, **more):
    facts = {
        "title": "my detector", "architecture": "SSD, MobileNet v2", "config": "a/pipeline.config",
        "checkpoint": "a/model.ckpt-3000", "step": 3000, "parameters": 4_572_012, "classes": 90,
        "input": "fixed 320x320, aspect lost",
    }  # fmt: skip
    return Report(**{**facts, **more}, artifacts=artifacts)


def full():
    picture = Image.new("RGB", (64, 48), (200, 30, 30))
    png = io.BytesIO()
    picture.save(png, "PNG")
    signature = SignatureView(
        name="serving_default",
        inputs=(TensorView(name="input_tensor", dtype="uint8", shape="[?, ?, ?, 3]"),),
        outputs=(TensorView(name="detection_boxes", dtype="float32", shape="[?, 100, 4]"),),
    )
    return report(
        artifact(signatures=(signature,), snippet="import tensorflow as tf\n\ntf.saved_model.load('saved_model')\n"),
        artifact("Frozen graph", "frozen_inference_graph.pb", ()),
        artifact(
            "TFLite",
            "model.tflite",
            checks=(
                check(),
                check("boxes", measured=0.97, bound=0.95, at_least=True, notes="float16"),
                check("kept", measured=0.5, bound=None, by_design="as asked for"),
                check("layer", picture="", data="calibration", measured=31, bound=None),
            ),
        ),
        noun="detections",
        warnings=("No label map.",),
        pictures=(
            PictureView(
                name="a.jpg",
                columns=(
                    Column(titles=("checkpoint", "SavedModel"), image=picture, note="7 more have no name"),
                    Column(titles=("TFLite",), image=png.getvalue()),
                ),
            ),
        ),
        versions="visionport 0.1.0, TensorFlow 2.21.0",
        command="visionport export --config a/pipeline.config --out exported",
    )


def test_one_file_without_requests(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, full())
    assert list(tmp_path.iterdir()) == [path]
    html = path.read_text("utf-8")
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object")
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://|@import|url\(", html)
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {attributes["href"][1:] for attributes in page.attributes("a")} == targets


def test_one_style_and_one_script_which_alone_are_allowed():
    html = render(full())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    allowed = {"default-src 'none'", "img-src data:"}
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed.add(f"{rule} 'sha256-{digest}'")
    assert {*policy.split("; ")} == allowed


def test_the_date_and_times_are_there_on_request_alone():
    page = Page(render(full()))
    assert "Date and times are left out" in page.texts["footer"]
    assert " ms" not in page.text
    timed = report(artifact(seconds=0.0123), artifact("TFLite", "m.tflite", seconds=1.5), date="2026-11-26 18:00 UTC")
    page = Page(render(timed))
    assert "2026-11-26 18:00 UTC" in page.texts["footer"]
    assert page.text.count("12.3 ms") == page.text.count("1.5 s") == 2  # on the card, and in the table


def test_a_card_tells_what_shipping_needs():
    signature = SignatureView(name="s", inputs=(TensorView(name="x", dtype="uint8", shape="[1, 4, 4, 3]"),), outputs=())
    sha = hashlib.sha256(b"").hexdigest()
    one = artifact(signatures=(signature,), accuracy="mAP@0.5 0.97 of 0.98", sha256=sha, hashed="saved_model.pb")
    page = Page(render(report(one)))
    (cards,) = (page.texts["ul"],)
    for text in (
        "uint8 [1, 4, 4, 3]",
        "mAP@0.5 0.97 of 0.98",
        f"{sha[:12]}…",
        "of saved_model.pb",
        "4.61 MB",
        "agrees",
    ):
        assert text in cards
    assert [a["data-copy"] for a in page.attributes("code") if "data-copy" in a] == [sha]
    assert "Time a picture" not in page.text  # one artifact needs no table


def test_an_answer_that_all_give_is_drawn_once():
    column = Column(titles=("checkpoint", "SavedModel", "TFLite"), image=Image.new("RGB", (8, 8)))
    page = Page(render(report(pictures=(PictureView(name="a", columns=(column,)),))))
    assert page.texts["figcaption"] == "same in all 3: checkpoint, SavedModel and TFLite"
    assert Page(render(full())).texts["figcaption"] == "checkpoint and SavedModel; 7 more have no nameTFLite"


def test_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, full())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_everything_is_there():
    page = Page(render(full()))
    for text in (
        "my detector", "SSD, MobileNet v2", "a/pipeline.config", "a/model.ckpt-3000", "3,000", "4,572,012", "90",
        "fixed 320x320, aspect lost", "No label map.", "SavedModel", "Frozen graph", "TFLite", "saved_model",
        "frozen_inference_graph.pb", "model.tflite", "4.61 MB", "4,612,345 bytes", "serving_default", "input_tensor",
        "uint8", "[?, ?, ?, 3]", "detection_boxes", "float32", "[?, 100, 4]", "scores", "1e-6", "≤ 1e-4", "boxes",
        "0.97", "≥ 0.95", "float16", "not verified", "by design",
        "as asked for", "not judged", "calibration",
        "5 measurements on 1 picture: 3 within their bound, 1 different by design",
        "visionport 0.1.0, TensorFlow 2.21.0", "visionport export --config a/pipeline.config --out exported",
    ):  # fmt: skip
        assert text in page.text, text
    program, command = "import tensorflow as tf\n\ntf.saved_model.load('saved_model')", full().command
    assert page.texts["pre"] == program + command
    assert "not recorded" in Page(render(report(step=None))).text


def test_pictures_are_jpegs_with_alternative_texts():
    images = Page(render(full())).attributes("img")
    assert [attributes["alt"] for attributes in images] == [
        "a.jpg: detections of checkpoint and SavedModel",
        "a.jpg: detections of TFLite",
    ]
    for attributes in images:
        data = base64.b64decode(attributes["src"].partition(",")[2])
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("JPEG", (64, 48))
        red = picture.getpixel((30, 20))
        assert isinstance(red, tuple)
        assert red == pytest.approx((200, 30, 30), abs=6)


def test_large_pictures_shrink_and_the_given_one_does_not():
    picture = Image.new("RGB", (4000, 3000))
    view = PictureView(name="a", columns=(Column(titles=("checkpoint",), image=picture),))
    source = Page(render(report(pictures=(view,)))).attributes("img")[0]["src"]
    assert Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size == (960, 720)
    assert picture.size == (4000, 3000)


@pytest.mark.parametrize(
    ("agrees", "headline"),
    [
        ((True,), "SavedModel agrees with the checkpoint"),
        ((True, True, True), "All 3 artifacts agree with the checkpoint"),
        ((True, True, False), "TFLite disagrees with the checkpoint"),
        ((False, None, False), "SavedModel and TFLite disagree with the checkpoint"),
        ((True, None, True), "SavedModel and TFLite agree with the checkpoint, Frozen graph was not verified"),
        ((None, None, None), "Not verified"),
        ((), "Not verified"),
    ],
)
def test_the_headline_is_the_verdict(agrees, headline):
    titles = ("SavedModel", "Frozen graph", "TFLite")
    bad = (check(measured=0.5),)
    artifacts = [
        artifact(title, f"{title}.x", () if agree is None else bad if agree is False else None)
        for title, agree in zip(titles, agrees, strict=False)
    ]
    page = Page(render(report(*artifacts)))
    assert page.texts["title"] == f"my detector: {headline}"
    assert headline in page.texts["header"]
    state = "bad" if False in agrees else "unknown" if None in agrees or not agrees else "good"
    assert [a["class"] for a in page.attributes("div") if "verdict" in a.get("class", "")] == [f"verdict {state}"]
    for word, agree in (("agrees", True), ("disagrees", False), ("not verified", None)):
        cards = re.findall(rf"[✓✗?] {word}", page.texts.get("ul", ""))
        assert len(cards) == sum(a is agree for a in agrees)  # in words and signs, not by colour alone


def test_disagreement_is_counted():
    checks = (check(), check(picture="b.jpg", measured=0.5), check("boxes"))
    page = Page(render(report(artifact(checks=checks))))
    assert "1 measurement is outside the bound: 3 measurements on 2 pictures: 2 within their bound" in page.text
    assert "1 of 2 outside" in page.text
    assert " outside the bound" not in Page(render(report(artifact(checks=())))).text


def test_what_was_not_judged_has_no_tick():
    told = (check(), check("layer", bound=None), check("boxes", bound=None, by_design="fast NMS"))
    html = render(report(artifact(checks=told)))
    rows = re.findall(r'<tr><th scope="row">(\w+)<.*?badge (\w+)', html.split("<details>")[0], re.DOTALL)
    assert rows == [("scores", "good"), ("layer", "unknown"), ("boxes", "design")]


def test_an_artifact_of_which_nothing_was_judged_is_not_verified():
    assert "Not verified" in Page(render(report(artifact(checks=(check(bound=None),))))).texts["title"]


@pytest.mark.parametrize(
    ("checks", "worst"),
    [
        ((check(measured=1e-6), check(measured=3e-5, picture="b.jpg")), "3e-5"),
        ((check(measured=5e-5, bound=1), check(measured=3e-5, picture="b.jpg")), "3e-5"),  # bounds differ
        ((check(measured=0.99, bound=0.9, at_least=True), check(measured=0.93, bound=0.9, at_least=True)), "0.93"),
        ((check(measured=float("nan")), check(measured=9)), "nan"),
        ((check(measured=0, bound=0), check(measured=2, bound=0)), "2"),
    ],
)
def test_a_row_a_kind_of_check_tells_the_worst(checks, worst):
    html = render(report(artifact(checks=checks)))
    table, every = html.split("<details>")
    assert re.findall(r'<td class="number">([^<≤≥]+)</td>', table) == [worst]
    assert len(re.findall(r'<td class="number">([^<≤≥]+)</td>', every)) == len(checks)


def test_text_from_outside_is_escaped():
    evil = "<b onload='x'>&\"</style><script>"
    tensor = TensorView(name=evil, dtype=evil, shape=evil)
    signature = SignatureView(name=evil, inputs=(tensor,), outputs=(tensor,))
    bad = artifact(evil, evil, (check(evil, evil, notes=evil),), signatures=(signature,), snippet=evil)
    picture = PictureView(name=evil, columns=(Column(titles=(evil,), image=Image.new("RGB", (8, 8))),))
    texts = dict.fromkeys(("title", "architecture", "config", "checkpoint", "input"), evil)
    html = render(report(bad, bad, **texts, warnings=(evil,), pictures=(picture,)))
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "b" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) > 30
    assert page.attributes("img")[0]["alt"] == f"{evil}: answers of {evil}"


def test_nothing_from_outside_makes_an_element_or_an_attribute():
    """Whatever breaks out of text, attributes, styles or scripts elsewhere: the page has a plain one's elements."""
    evils = (
        "</title></style></script><img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)" x="',
        "' onfocus='x' autofocus='",
        "--><svg onload=x><!--",
        "<![CDATA[<b>]]>&lt;b&gt;&#60;i&#62;",
        "javascript:alert(1)",
        "{{7*7}}${7*7}",
        "\x1b[2J\u202eexe.txt\u2028\x00",
    )

    def page_of(text: str) -> Page:
        tensor = TensorView(name=text, dtype=text, shape=text)
        signature = SignatureView(name=text, inputs=(tensor,), outputs=(tensor,))
        checks = (check(text, text, notes=text), check(text, "", data=text, bound=None, by_design=text))
        more = {"signatures": (signature,), "snippet": text, "accuracy": text, "sha256": "0" * 64, "hashed": text}
        column = Column(titles=(text, text), image=Image.new("RGB", (8, 8)), note=text)
        texts = dict.fromkeys(
            ("title", "architecture", "config", "checkpoint", "input", "noun", "versions", "date"), text
        )
        return Page(
            render(
                report(
                    artifact(text, text, checks, **more),
                    artifact(text, "b", checks, **more),
                    **{**texts, "command": text, "warnings": (text,), "layers": ((text, "1", "100%"),)},
                    pictures=(PictureView(name=text, columns=(column,)),),
                )
            )
        )

    plain = page_of("x")
    for evil in evils:
        page = page_of(evil)
        tags = [(tag, [*attributes]) for tag, attributes in page.tags if tag != "wbr"]
        assert tags == [(tag, [*attributes]) for tag, attributes in plain.tags if tag != "wbr"]
        assert not {"\x1b", "\u202e", "\u2028", "\x00"} & set(page.text)


def test_formats_that_repeat_are_told_apart_by_path():
    two = (artifact("TFLite", "model.tflite"), artifact("TFLite", "model_int8.tflite", (check(measured=1),)))
    page = Page(render(report(*two)))
    assert "TFLite (model_int8.tflite) disagrees with the checkpoint" in page.texts["header"]
    assert "TFLite (model.tflite) agrees." in page.texts["header"]


def test_tables_have_headers():
    page = Page(render(full()))
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in page.attributes("th"))
    assert len(page.attributes("thead")) == len(page.attributes("table")) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.234e-5, "1.23e-5"), (0.0123456, "0.0123"), (1.0, "1"), (12345.6, "12,346"), (float("inf"), "inf"),
     (-2e-7, "-2e-7"), (2e12, "2e12"), (1e-3, "0.001")],
)  # fmt: skip
def test_numbers(value, text):
    assert f'<td class="number">{text}</td>' in render(report(artifact(checks=(check(measured=value),))))


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (4096, "4.1 kB"), (2.5e9, "2.5 GB")])
def test_sizes(size, text):
    assert f'<p class="size">{text}</p>' in render(report(replace(artifact(), size=int(size))))


def test_long_names_break_behind_their_separators_alone():
    """So that no word is broken on a phone."""
    html = render(report(artifact(path="a_long/name-of_a.file"), checkpoint="some/where/ckpt-5"))
    assert "a_<wbr>long/<wbr>name-<wbr>of_<wbr>a.<wbr>file" in html
    assert "some/<wbr>where/<wbr>ckpt-<wbr>5" in html
    assert "overflow-wrap: anywhere" not in html
