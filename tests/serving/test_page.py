"""The page in a browser: a picture put to models, what is drawn and listed, requests to copy, and what is hostile."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, browsing
from PIL import Image
from servers import build_half_plus, serving

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")

HOSTILE = '<img src=x onerror="window.hit=1">'
NAME = "<img src=x onerror=window.hit=1>'$(touch hit)`\\u202e"  # what a config's text has of it
ALL = os.environ.get("VISIONPORT_ALL") == "1"
DONE = (
    "document.getElementById('results').getAttribute('aria-busy') === 'false' "
    "&& document.getElementById('status').textContent"
)


@pytest.fixture(scope="module")
def lite(digits_export, tmp_path_factory) -> Path:
    """The TFLite file alone in a folder of versions."""
    folder = tmp_path_factory.mktemp("versions") / "lite"
    (folder / "1").mkdir(parents=True)
    shutil.copy(digits_export / "model.tflite", folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(lite, digits_export):
    hostile = lite.parent / "hostile"
    hostile.mkdir()
    for name in ("manifest.json", "model.tflite"):
        shutil.copy(digits_export / name, hostile)
    (hostile / "labels.txt").write_text("".join(f"{HOSTILE} {i}\n" for i in range(10)))
    config = lite.parent / "models.txt"
    name = NAME.encode().decode("unicode_escape")
    config.write_text(
        f"model_config_list {{ config {{ name: {json.dumps(name)} base_path: '{hostile}/model.tflite' }} }}"
    )
    half = build_half_plus(lite.parent / "half")
    bounds = ("--max-body", 4, "--max-pixels", 0.5, "--poll", 0.2, "--grpc-port", "none")
    with serving(digits_export, lite, half, "--model-config-file", config, "--versions", "all", *bounds) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def page(browser, server):
    """Opens the page, as wide as on a desk. Nothing in it may fail, but for what the server refuses."""

    def visit(query: str = "", width: int = 1280):
        browser.size(width, 900)
        browser.open(f"http://127.0.0.1:{server.rest}/{query}")
        browser.wait("!document.getElementById('main').hidden")
        return browser

    yield visit
    assert [line for line in browser.said if not line.startswith("Failed to load resource")] == []


@pytest.fixture(scope="module")
def photo(digits) -> Path:
    return digits / "images" / "digits-0.jpg"


def give(page, photo):
    """Asks about a picture, and waits for the answers."""
    forget(page)
    page.give("#file", photo)
    page.wait(DONE)


def forget(page):
    """So that the next answer is the next one that is told of."""
    page.run("document.getElementById('status').textContent = ''")


def rows(page, pane: int = 1) -> list[str]:
    return page.texts(f".pane:nth-child({pane}) .row .name")


def asked(page) -> int:
    """How many pictures the page has sent."""
    return page.run("performance.getEntriesByType('resource').filter((one) => one.name.includes(':answer')).length")


def test_a_picture_is_answered_and_drawn(page, server, photo):
    found = page("?first=digits")
    assert [h for h in found.texts(".cards h3") if "img" not in h] == ["digits", "half", "lite"]
    assert found.text("#summary") == "4 models on this server."
    give(found, photo)
    answer = server.post("/v1/models/digits:answer?marks=1", photo.read_bytes())
    marks = answer["marks"]["found"]
    assert sorted(rows(found)) == sorted(m["label"] for m in marks) == ["five", "five", "six"]
    assert "3 detections in " in found.text("#status")
    size = np.array(found.run("(() => { const c = document.querySelector('canvas'); return [c.width, c.height] })()"))
    for mark in marks:  # the left side of each box, in its colour
        left, top, _, bottom = mark["box"]
        x, y = (np.array([left, (top + bottom) / 2]) * size + (1, 0)).astype(int).tolist()
        pixel = f"[...document.querySelector('canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data].slice(0, 3)"
        assert "#{:02x}{:02x}{:02x}".format(*found.run(pixel)) == mark["colour"]
    assert found.run("document.querySelector('canvas').getAttribute('aria-label')").endswith("3 detections")
    assert not found.said


def test_the_slider_filters_without_asking(page, server, photo):
    found = page("?first=lite")
    give(found, photo)
    before = asked(found)
    answer = server.post("/v1/models/lite:answer?marks=1&min_score=0.01", photo.read_bytes())
    scores = [m["score"] for m in answer["marks"]["found"]]
    assert len(rows(found)) == sum(s >= 0.3 for s in scores) == 3
    for value in (0.98, 0.01, 1):
        found.choose("#score", str(value))
        assert len(rows(found)) == len([s for s in scores if s >= value][:100])
    assert found.text("#score-shown") == "1.00"
    found.run("document.getElementById('score').focus()")
    found.choose("#score", "0.5")
    found.press("ArrowRight")
    assert found.text("#score-shown") == "0.51"
    assert asked(found) == before


def test_two_side_by_side(page, photo):
    found = page("?first=digits&second=lite")
    give(found, photo)
    assert found.texts(".pane h3 .note") == ["SavedModel, version 1", "TFLite, version 1"]
    assert sorted(rows(found, 1)) == sorted(rows(found, 2)) == ["five", "five", "six"]
    tops = found.run("[...document.querySelectorAll('.pane canvas')].map((one) => one.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    assert "Ask again to compare" in found.text("#compared")
    forget(found)
    found.click("#again")
    found.wait(DONE)
    assert [t.split(" ms")[0].replace(".", "").isdigit() for t in found.texts(".round strong")] == [True, True]
    for name in ("Decode", "Run", "Network and rest"):
        assert all(name in text for text in found.texts(".timing"))
    assert "as fast as" in found.text("#compared") or "as long as" in found.text("#compared")
    assert asked(found) == 4
    found.choose("#second", "")
    found.wait("document.querySelectorAll('.pane').length === 1")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(page, photo, width):
    found = page("?first=digits&second=lite", width)
    give(found, photo)
    found.click("[name=verb][value=predict]")
    found.run("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert found.run("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    wide = "[...document.querySelectorAll('.pane, .cards > li, select, button, canvas, .code')]"
    assert found.run(f"Math.max(...{wide}.map((one) => one.getBoundingClientRect().right))") <= width


def test_by_keyboard(page):
    found = page("?first=lite")
    found.run("document.activeElement.blur()")
    seen = []
    for _ in range(5):
        found.press("Tab")
        seen.append(found.run("document.activeElement.id || document.activeElement.name"))
    assert seen == ["first", "second", "file", "camera", "verb"]
    found.run("document.getElementById('first').focus()")
    assert found.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unnamed = found.run(
        "[...document.querySelectorAll('input, select, button, canvas, video')].filter((one) => "
        "!(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label'))).map((one) => one.outerHTML)"
    )
    assert unnamed == []


def test_hostile_names_are_text(page, photo, tmp_path):
    name = NAME.encode().decode("unicode_escape")
    found = page()
    place = found.run("[...document.querySelectorAll('#first option')].find((o) => o.text.includes('img')).value")
    hostile = tmp_path / "<img src=x onerror=window.hit=1>.jpg"
    shutil.copy(photo, hostile)
    found.choose("#first", place)
    give(found, hostile)
    assert sorted(rows(found)) == [f"{HOSTILE} {i}" for i in (5, 5, 6)]
    assert "<img src=x onerror=window.hit=1>.jpg" in found.text("#picture")
    assert name.replace("\u202e", "\\u202e") in found.texts(".cards h3")
    assert found.run("[window.hit ?? 0, document.images.length]") == [0, 0]
    assert not found.said


def test_what_is_refused_is_said(page, tmp_path):
    found = page("?first=lite")
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "pixels.png")
    give(found, tmp_path / "pixels.png")
    assert "1,000,000 pixels, and at most 500,000" in found.text(".pane .alert")
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(5 << 20))
    give(found, tmp_path / "large.jpg")
    assert found.text(".pane .alert") == "The body is larger than this server takes: 4,194,304 bytes."
    (tmp_path / "text.jpg").write_text("no picture")
    give(found, tmp_path / "text.jpg")
    assert "not an image that can be read" in found.text(".pane .alert")


def test_what_takes_no_pictures(page):
    found = page("?first=half")
    assert "half cannot be asked about pictures here: it lies in no export" in found.text("#why")
    assert found.run("document.getElementById('stage').hidden && document.querySelector('[value=answer]').disabled")


def test_the_camera(page):
    found = page("?first=lite")
    found.click("#camera")
    found.wait("document.getElementById('video').videoWidth")
    found.run("document.getElementById('score').value = 0.01")
    found.click("#shoot")
    found.wait(DONE)
    assert found.text("#picture").startswith("camera.jpg")
    assert re.fullmatch(r"lite: \d+ detections? in .*", found.text("#status"))
    assert found.run("document.getElementById('viewfinder').hidden")


def test_the_camera_all_the_time(page):
    found = page("?first=lite")
    found.click("#camera")
    found.wait("document.getElementById('video').videoWidth")
    found.click("#live")
    found.wait("document.querySelector('.timing')?.innerText.includes('Median of 3 answers')")
    assert found.text("#status") == ""  # nobody is told of each
    found.click("#camera-off")
    found.wait("document.getElementById('results').getAttribute('aria-busy') === 'false'")
    assert found.run("document.getElementById('viewfinder').hidden && !document.getElementById('camera').hidden")


def test_an_answer_that_is_slow_can_be_stopped(page, photo):
    found = page("?first=lite")
    slow = {"offline": False, "latency": 3_600_000, "downloadThroughput": -1, "uploadThroughput": -1}
    try:
        found.send("Network.emulateNetworkConditions", **slow)
        found.give("#file", photo)
        found.wait("!document.getElementById('working').hidden")
        assert found.text("#working-text").startswith("lite is asked … ")
        forget(found)
        found.click("#stop")
        found.wait(DONE)
        assert found.text(".pane .alert") == "It was stopped."
        found.send("Network.emulateNetworkConditions", **slow | {"latency": 0, "offline": True})
        give(found, photo)
        assert found.text(".pane .alert") == "The server does not answer. Does it still run?"
        found.wait("!document.getElementById('trouble').hidden")
    finally:
        found.send("Network.emulateNetworkConditions", **slow | {"latency": 0})
    found.wait("document.getElementById('trouble').hidden")
    give(found, photo)
    assert sorted(rows(found)) == ["five", "five", "six"]


def test_a_picture_dropped_or_pasted(page):
    found = page("?first=lite")
    for event, holder in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        forget(found)
        kind = "DragEvent" if event == "drop" else "ClipboardEvent"
        found.run(
            f"""new Promise((done) => {{
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [60, 40];
                canvas.toBlob((blob) => {{
                    const held = new DataTransfer();
                    held.items.add(new File([blob], "{event}.png", {{ type: "image/png" }}));
                    document.body.dispatchEvent(new {kind}("{event}", {{ bubbles: true, {holder}: held }}));
                    done();
                }});
            }})"""
        )
        found.wait(DONE)
        assert found.text("#picture").startswith(f"{event}.png: 60 \N{MULTIPLICATION SIGN} 40, ")
        assert found.run("document.querySelector('figure').hidden") is False


def test_a_picture_that_the_browser_does_not_show(page, photo, tmp_path):
    """Its answer is drawn all the same."""
    found = page("?first=lite")
    Image.open(photo).save(tmp_path / "a.tif")
    give(found, tmp_path / "a.tif")
    assert sorted(rows(found)) == ["five", "five", "six"]
    assert "This browser does not show the picture" in found.text(".pane > .note")
    middle = "[...document.querySelector('canvas').getContext('2d').getImageData(2, 2, 1, 1).data]"
    assert found.run(middle) == [138, 141, 146, 255]


def test_requests_are_copied(page):
    found = page("?first=lite")
    found.send("Emulation.setFocusEmulationEnabled", enabled=True)
    found.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    found.click(".code:nth-child(2) .copy")
    found.wait("document.querySelector('.code:nth-child(2) .copy').innerText === 'Copied'")
    python = found.run("document.querySelectorAll('.code pre')[1].textContent")
    assert found.run("navigator.clipboard.readText()") == python


def test_one_model_beside_itself(page, photo):
    found = page("?first=lite&second=lite")
    give(found, photo)
    assert rows(found, 1) == rows(found, 2) != []


def test_versions_come_and_go(page, lite, photo):
    found = page("?first=lite")
    assert found.texts("#first option").count("lite") == 1
    give(found, photo)
    forget(found)
    shutil.copytree(lite / "1", lite / "new")
    (lite / "new").rename(lite / "2")
    found.wait(DONE)
    assert "version 2" in found.text(".pane h3")
    assert sorted(rows(found)) == ["five", "five", "six"]
    assert {"lite (latest)", "lite (version 1)", "lite (version 2)"} <= set(found.texts("#first option"))
    (lite / "3").mkdir()
    (lite / "3" / "model.tflite").write_bytes(b"no model")
    found.wait("[...document.querySelectorAll('.badge')].some((one) => one.innerText === 'not loaded')")
    assert "The version cannot be loaded" in found.text("#models")
    for version in ("2", "3"):
        shutil.rmtree(lite / version)
    found.wait("[...document.querySelectorAll('#first option')].some((one) => one.text === 'lite')")


def test_a_token_is_asked_for(browser, lite, photo, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("sesame\n")
    with serving(lite, "--token-file", secret, "--grpc-port", "none") as running:
        browser.size(1280, 900)
        browser.open(f"http://127.0.0.1:{running.rest}/")
        browser.wait("!document.getElementById('token-form').hidden")
        assert browser.text("#models") == ""
        for token, shown in (("wrong", "token-form"), ("sesame", "main")):
            browser.choose("#token", token)
            browser.click("#token-form button")
            browser.wait(f"!document.getElementById('{shown}').hidden && !document.getElementById('token').value")
            if token == "wrong":
                browser.wait("document.getElementById('trouble').textContent")
                assert browser.text("#trouble") == "The server does not take this token."
        give(browser, photo)
        assert sorted(rows(browser)) == ["five", "five", "six"]
        environment = os.environ | {"TOKEN": "sesame"}
        for text in browser.texts(".code pre"):
            assert "sesame" not in text
            assert "five" in run_request(text, photo, tmp_path, environment)


# ---------------------------------------------------------------- the requests


def run_request(text: str, photo: Path, folder: Path, environment=None) -> str:
    """What a copied request prints."""
    shutil.copy(photo, folder / "photo.jpg")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-c", text] if text.startswith("import") else ["sh", "-c", text]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env=(environment or os.environ) | {"PATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_requests_run_as_they_are(page, server, photo, tmp_path):
    """Of every model and signature: each gives what the server gives, and does nothing else."""
    found = page()
    for place in found.run("[...document.querySelectorAll('#first option')].map((one) => one.value)"):
        found.choose("#first", place)
        for verb in ("answer", "predict"):
            if found.run(f"document.querySelector('[value={verb}]').disabled"):
                continue
            found.click(f"[name=verb][value={verb}]")
            names = found.run("[...document.querySelectorAll('#signature option')].map((one) => one.value)")
            for name in names if verb == "predict" else ["serving_default"]:
                if name == "tf_example" and not ALL:  # imports TensorFlow
                    continue
                found.choose("#signature", name)
                for text in found.texts(".code pre"):
                    out = run_request(text, photo, tmp_path)
                    wanted = ("five", HOSTILE[:8]) if verb == "answer" else ("predictions", "outputs", '"results"')
                    assert any(w in out for w in wanted), f"{text}\n{out}"
                    assert '"error"' not in out
    assert not (tmp_path / "hit").exists()


def test_predict_by_a_tflite_file_gives_the_same(page, server, photo, tmp_path):
    """A picture prepared as the request prepares it is seen as the server sees it."""
    found = page("?first=lite")
    found.click("[name=verb][value=predict]")
    python = found.texts(".code pre")[1].replace("print(response.text[:1000])", "print(response.text)")
    (row,) = json.loads(run_request(python, photo, tmp_path))["predictions"]
    marks = server.post("/v1/models/lite:answer?marks=1", photo.read_bytes())["marks"]["found"]
    for mark, score, box in zip(marks[:3], row["detection_scores"], row["detection_boxes"], strict=False):
        assert score == pytest.approx(mark["score"], abs=0.05)
        assert np.array(box)[[1, 0, 3, 2]] == pytest.approx(mark["box"], abs=0.05)
