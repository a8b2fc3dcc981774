"""A TFLite file without its export: what it tells of itself, and what `predict` and `verify` make of any such file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import snippet
from PIL import Image

from visionport import Options, export, prediction, reverify
from visionport.errors import ArtifactError, InputError, OptionError
from visionport.tflite import preprocessing
from visionport.tflite.flatbuffer import parse, serialize

RESIZER = "model {{ ssd {{ image_resizer {{ {} }} }} }}"
PADDED = "keep_aspect_ratio_resizer { min_dimension: 192 max_dimension: 192 pad_to_max_dimension: true }"


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """make(name, **options): the folder of an export of the bundled detector."""
    folder = tmp_path_factory.mktemp("alone")

    def make(name: str, **options) -> Path:
        places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
        given: dict[str, Any] = {**places, "formats": ("tflite",), "verify": False, "out": folder / name, **options}
        if not given["out"].exists():
            export(Options(**given))
        return given["out"]

    return make


def foreign(file: Path, out: Path, change=lambda parsed: None) -> Path:
    """As another maker would write it: no metadata, nothing packed behind it."""
    parsed = parse(file.read_bytes())
    parsed.metadata = []
    change(parsed)
    out.write_bytes(serialize(parsed))
    return out


def test_a_file_carries_its_preprocessing_and_labels(made, digits, tmp_path):
    """Padding too, which TFLite Metadata does not know."""
    folder = made("padded", config_override=RESIZER.format(PADDED))
    copy = shutil.copy(folder / "model.tflite", tmp_path)
    wide = wide_picture(digits, tmp_path)
    whole = prediction.predict(folder, [wide])
    assert len(whole[0]["detections"]) > 2
    assert prediction.predict(Path(copy), [wide]) == whole


def test_the_reports_snippet_pads_as_predict_does(made, digits, tmp_path, monkeypatch):
    folder = made("padded", config_override=RESIZER.format(PADDED))
    wide = wide_picture(digits, tmp_path)
    (expected,) = prediction.predict(folder, [wide])
    Image.open(wide).save(folder / "image.jpg", quality=100)
    monkeypatch.chdir(folder)
    content = json.loads((folder / "manifest.json").read_text())
    exec(snippet(content["artifacts"][0], content), found := {})
    best = expected["detections"][0]
    assert found["scores"][0, 0] == pytest.approx(best["score"], abs=0.02)
    assert found["classes"][0, 0] + 1 == best["class"]
    scale = 192 / 300  # of the picture in the padded square
    box = [best["box"][k] * scale / 192 for k in ("ymin", "xmin", "ymax", "xmax")]
    assert np.abs(found["boxes"][0, 0] - box).max() < 0.02


def wide_picture(digits, folder: Path) -> Path:
    picture = Image.new("RGB", (300, 192), (90, 120, 60))
    picture.paste(Image.open(digits / "images" / "digits-0.jpg"), (108, 0))
    picture.save(folder / "wide.png")
    return folder / "wide.png"


def test_another_makers_file_of_pixels(made, digits, tmp_path):
    """Whatever the order of its outputs: the op's own decides."""

    def turned(parsed):
        parsed.subgraphs[0].outputs = parsed.subgraphs[0].outputs[::-1]

    folder, picture = made("pixels", tflite_input="uint8"), digits / "images" / "digits-0.jpg"
    file = foreign(folder / "model.tflite", tmp_path / "theirs.tflite", turned)
    (found,), (wanted,) = prediction.predict(file, [picture]), prediction.predict(folder, [picture])
    assert len(found["detections"]) == 3
    for a, b in zip(found["detections"], wanted["detections"], strict=True):
        assert (a["label"], a["class"], a["box"]) == (None, b["class"], b["box"])


def test_another_makers_file_with_metadata(made, digits, tmp_path):
    """Its normalisation, at its input's size, and its labels."""
    folder, picture = made("plain"), digits / "images" / "digits-0.jpg"
    data = bytearray((folder / "model.tflite").read_bytes())
    at = data.find(preprocessing.NAME.encode())
    data[at : at + 1] = b"V"  # an entry that nobody knows
    (tmp_path / "theirs.tflite").write_bytes(data)
    assert prediction.predict(tmp_path / "theirs.tflite", [picture]) == prediction.predict(folder, [picture])


def test_a_float_input_without_a_word_is_refused(made, digits, tmp_path):
    file = foreign(made("plain") / "model.tflite", tmp_path / "theirs.tflite")
    with pytest.raises(InputError, match="nothing says how its pixels are normalised"):
        prediction.predict(file, [digits / "images" / "digits-0.jpg"])


def test_files_that_predict_cannot_use(made, digits, tmp_path):
    picture = digits / "images" / "digits-0.jpg"
    whole = (made("pixels", tflite_input="uint8") / "model.tflite").read_bytes()
    for name, data, error, match in (
        ("empty", b"", InputError, "is empty"),
        ("text", b"no model at all", InputError, "no TFLite file"),
        ("cut", whole[: len(whole) // 3], InputError, "damaged|cut short"),
    ):
        (tmp_path / f"{name}.tflite").write_bytes(data)
        with pytest.raises(error, match=match):
            prediction.predict(tmp_path / f"{name}.tflite", [picture])

    def unknown(parsed):
        for code in parsed.operatorCodes:
            code.customCode = code.customCode and b"edgetpu-custom-op"

    file = foreign(made("pixels") / "model.tflite", tmp_path / "compiled.tflite", unknown)
    with pytest.raises(ArtifactError, match="LiteRT does not take the file"):
        prediction.predict(file, [picture])

    def any_batch(parsed):
        graph = parsed.subgraphs[0]
        graph.tensors[graph.inputs[0]].shape = np.array([4, 192, 192, 3], np.int32)

    file = foreign(made("pixels") / "model.tflite", tmp_path / "four.tflite", any_batch)
    with pytest.raises(InputError, match="predict takes one image"):
        prediction.predict(file, [picture])


@pytest.mark.parametrize("head", ["raw", "decoded"])
def test_heads_give_no_detections(made, digits, tmp_path, head):
    copy = shutil.copy(made(head, tflite_head=head, tflite_input="uint8") / "model.tflite", tmp_path)
    with pytest.raises(OptionError, match="gives no detections"):
        prediction.predict(Path(copy), [digits / "images" / "digits-0.jpg"])


def test_what_needs_the_export(made, digits, tmp_path):
    copy = Path(shutil.copy(made("plain") / "model.tflite", tmp_path))
    with pytest.raises(OptionError, match="is a TFLite file"):
        prediction.predict(copy, [digits / "images" / "digits-0.jpg"], format="saved_model")
    with pytest.raises(InputError, match="verify wants the export directory"):
        reverify.verify(copy)


def test_verify_tells_what_export_told(made, digits):
    """With calibration and the op's other mode."""
    folder = made("int8", quantize="int8", calibration=digits / "images")
    found = reverify.verify(folder)
    checks, notes = found.checks, found.notes
    whats = [c.what for c in checks]
    assert "kept by fast NMS" in whats
    assert any(w.startswith("layer ") for w in whats)
    assert "fast NMS takes" in notes[0]


@pytest.mark.parametrize("resizer", [PADDED, "pad_to_multiple_resizer { multiple: 64 }"])
def test_boxes_left_in_the_padded_frame(digits, tmp_path, resizer):
    """change_coordinate_frame: false. Predictions and verification are of the picture all the same."""
    frame = "model { ssd { post_processing { batch_non_max_suppression { change_coordinate_frame: false } } } }"
    formats = ("saved_model", "tflite") if resizer is PADDED else ("saved_model",)
    wide = wide_picture(digits, tmp_path)
    answers = []
    for text in ("", frame):
        places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "out": tmp_path / f"out{bool(text)}"}
        how: dict[str, Any] = {"formats": formats, "config_override": f"{RESIZER.format(resizer)} {text}"}
        done = export(Options(**places, **how, images=(wide,)))
        assert done.agrees
        answers += [prediction.predict(done.out, [wide], format=kind)[0]["detections"] for kind in formats]
    assert len(answers[0]) > 2
    for found in answers[1:]:
        assert [d["class"] for d in found] == [d["class"] for d in answers[0]]
        for a, b in zip(found, answers[0], strict=True):
            assert list(a["box"].values()) == pytest.approx(list(b["box"].values()), abs=0.02)


def test_what_the_entry_says(made, tmp_path):
    folder = made("plain")
    description, labels = preprocessing.read(folder / "model.tflite")
    assert (description["resizer"], description["mean"][0], labels[1]) == ("FixedShape", 127.5, "zero")
    data = (folder / "model.tflite").read_bytes().replace(b'"FixedShape"', b'"NoResizer!"')
    (tmp_path / "bad.tflite").write_bytes(data)
    with pytest.raises(InputError, match="preprocessing cannot be read"):
        preprocessing.read(tmp_path / "bad.tflite")
