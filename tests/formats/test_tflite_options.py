"""TFLite files that are quantised, take pixels, or end in raw heads: what they promise, on the bundled detector."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_map import EVALUATE, mean_average_precision
from golden_cases import GOLDEN
from places import SHARED

from visionport import Options, export, prediction, read_config
from visionport.errors import InputError, OptionError
from visionport.formats.tflite.format import FORMAT as TFLITE
from visionport.inputs import pictures as images
from visionport.tflite import description
from visionport.tflite.contents import read_contents

CALIBRATION = SHARED / "demo" / "calibration.tfrecord"
OUTPUTS = ("TFLite_Detection_PostProcess", *(f"TFLite_Detection_PostProcess:{i}" for i in (1, 2, 3)))


def asked(digits, out=Path("out"), **changed) -> Options:
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    options: dict[str, Any] = {**places, "formats": ("tflite",), **changed}
    return Options(**options)


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """Exports the digits detector, once for each set of options."""
    done = {}

    def make(**options) -> Path:
        key = json.dumps(options, default=str, sort_keys=True)
        if key not in done:
            done[key] = tmp_path_factory.mktemp("quantised") / "out"
            assert export(asked(digits, done[key], **options)).agrees
        return done[key]

    return make


def graph_of(folder: Path):
    return read_contents((folder / "model.tflite").read_bytes())


def best(folder: Path, digits):
    """The detections of a bundled picture above 0.3, best first: [(class, score, box)]."""
    run = prediction.load(folder)
    found = run(images.read(digits / "images" / "digits-0.jpg"))
    rows = zip(*(found[f"detection_{k}"] for k in ("classes", "scores", "boxes")), strict=True)
    return [r for r in rows if r[1] > 0.3]


PICTURES = {"calibration": Path(str(images.example("digits/images")))}
FILES = {
    "float16": {"quantize": "float16"},
    "dynamic": {"quantize": "dynamic"},
    "int8": {"quantize": "int8", **PICTURES},
    "int8 input": {"quantize": "int8", "tflite_input": "int8", **PICTURES},
    "uint8": {"quantize": "uint8", **PICTURES},
    "int16x8": {"quantize": "int16x8", **PICTURES},
    "pixels": {"tflite_input": "uint8"},
}
INPUTS = {"int8 input": "int8", "uint8": "uint8", "pixels": "uint8"}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_detects_what_the_float_file_does(made, digits, exported, name):
    folder = made(**FILES[name])
    graph = graph_of(folder)
    assert graph.inputs[0].dtype == INPUTS.get(name, "float32")
    assert graph.inputs[0].name == "normalized_input_image_tensor"
    assert tuple(o.name for o in graph.outputs) == OUTPUTS
    assert {o.dtype for o in graph.outputs} == {"float32"}
    # By place: two of a class have nearly the same score.
    mine, whole = (sorted(best(f, digits), key=lambda r: (r[0], r[2][0])) for f in (folder, exported / "model.tflite"))
    assert [r[0] for r in mine] == [r[0] for r in whole]
    for (_, a, box), (_, b, other) in zip(mine, whole, strict=True):
        assert abs(a - b) < 0.05
        assert np.abs(box - other).max() < 0.03


def test_an_integer_input_is_scaled_by_the_normalisation_and_not_by_the_pictures(made):
    (source,) = graph_of(made(**FILES["uint8"])).inputs
    scale, zero = source.quantization or (0, 0)
    assert scale == pytest.approx(1 / 127.5)
    assert zero in (127, 128)


def test_channels_of_their_own_are_normalised_in_the_graph(digits, tmp_path, monkeypatch):
    from visionport.config import Normalization
    from visionport.models.ssd import ssd_mobilenet_v2_fpn

    nearly = Normalization(mean=(127.5, 127.5, 127.25), std=(127.5, 127.5, 127.5))
    monkeypatch.setattr(ssd_mobilenet_v2_fpn, "NORMALIZATION", nearly)
    export(asked(digits, tmp_path / "out", **FILES["uint8"]))
    (source,) = graph_of(tmp_path / "out").inputs
    assert (source.dtype, source.quantization) == ("uint8", (1, 0))
    assert [r[0] for r in best(tmp_path / "out", digits)] == [7, 6, 6]


def test_boxes_and_scores_have_scales_of_their_own(made):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(made(**FILES["int8"]) / "model.tflite"))
    tensors = {d["index"]: d for d in interpreter.get_tensor_details()}
    ops = [op for op in interpreter._get_ops_details() if op["op_name"] == "DEQUANTIZE"]
    ends = {tensors[op["outputs"][0]]["name"]: tensors[op["inputs"][0]]["quantization"] for op in ops}
    assert set(ends) == {"box_encodings", "class_scores"}
    assert ends["class_scores"] == (pytest.approx(1 / 256), -128)
    assert ends["box_encodings"] != ends["class_scores"]


@pytest.mark.parametrize("head", ["raw", "decoded"])
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_heads_without_the_op(made, digits, exported, head, quantize):
    more = {"calibration": PICTURES["calibration"], "tflite_input": "int8"} if quantize == "int8" else {}
    folder = made(tflite_head=head, quantize=quantize, **more)
    graph = graph_of(folder)
    assert not any(op.startswith("TFLite_") for op in graph.ops)
    names = {"raw": ("box_encodings", "class_scores"), "decoded": ("raw_detection_boxes", "raw_detection_scores")}
    assert tuple(o.name for o in graph.outputs) == names[head]
    assert {o.dtype for o in graph.outputs} == {"int8" if quantize == "int8" else "float32"}
    delegates = {d["name"]: d for d in description.describe_tflite(folder / "model.tflite")["delegates"]}
    if quantize == "none":  # what these heads are for
        assert (delegates["GPU"]["falls_back"], delegates["NNAPI"]["falls_back"]) == ([], [])
    with pytest.raises(OptionError, match="gives no detections"):
        prediction.predict(folder, [digits / "images" / "digits-0.jpg"])


def test_metadata_and_labels(made, digits):
    file = made(**FILES["pixels"]) / "model.tflite"
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode().split()[:2] == ["zero", "one"]
    again = asked(digits, file.parent.parent / "again", tflite_input="uint8", verify=False)
    export(again)
    assert (again.out / "model.tflite").read_bytes() == file.read_bytes()


WRONG = {
    "--calibration": {"quantize": "int8"},
    "of no use": {"quantize": "float16", **PICTURES},
    "needs --quantize int8": {"tflite_input": "int8"},
    "take --quantize int8": {"quantize": "uint8", "tflite_input": "float", **PICTURES},
    "takes a float input": {"quantize": "int16x8", "tflite_input": "uint8", **PICTURES},
    "add --format tflite": {"quantize": "float16", "formats": ("saved_model",)},
    "leaves out": {"tflite_head": "raw", "tflite_nms": "fast"},
    "--detections-per-class and --tflite-outputs: of": {
        "tflite_head": "decoded",
        "detections_per_class": 3,
        "tflite_outputs": "named",
    },
    "counts places, not rows": {"tflite_nms": "fast", "classes_per_detection": 2},
    "for --quantize int8 and uint8": {"quantize": "float16", "quantize_exclude": ("ADD",)},
    "is unknown": {"quantize": "int4"},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options_are_told_at_once(digits, text):
    with pytest.raises(OptionError, match=text):
        asked(digits, **WRONG[text]).check()


def test_calibration_without_pictures(digits, tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        export(asked(digits, tmp_path / "out", quantize="int8", calibration=tmp_path))
    with pytest.raises(InputError, match="is one picture"):
        export(asked(digits, tmp_path / "out", quantize="int8", calibration=digits / "images" / "digits-0.jpg"))
    (tmp_path / "data.tfrecord").write_bytes(b"no record, but long enough for a header")
    with pytest.raises(InputError, match="no TFRecord"):
        export(asked(digits, tmp_path / "out", quantize="int8", calibration=tmp_path / "data.tfrecord"))


@pytest.mark.skipif(not EVALUATE.exists(), reason="the validation pictures are not here")
@pytest.mark.parametrize(
    ("quantize", "bound"), [("float16", 0.002), ("dynamic", 0.01), ("int8", 0.01), ("uint8", 0.015), ("int16x8", 0.01)]
)
def test_mean_average_precision(made, quantize, bound):
    calibration = {} if quantize in ("float16", "dynamic") else {"calibration": CALIBRATION}
    folder = made(quantize=quantize, **calibration)
    assert mean_average_precision(folder / "model.tflite") == pytest.approx(0.9737, abs=bound)


def test_readers_that_do_not_load_it_are_named(digits, tmp_path):
    notes = {}
    for kind, more in {"float": {}, "int8": {"quantize": "int8", **PICTURES}}.items():
        notes[kind] = export(asked(digits, tmp_path / kind, tflite_input=kind, verify=False, **more)).notes
    assert notes["float"] == ()
    assert notes["int8"][0].startswith("MediaPipe does not load model.tflite: it knows no int8 input.")
    resnet = "model { ssd { feature_extractor { type: 'ssd_resnet50_v1_fpn_keras' } } }"
    config = read_config(GOLDEN / "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8", resnet)
    (told,) = TFLITE.warnings(config, TFLITE.settle(config, asked(digits)))
    assert "With --tflite-input uint8" in told
    assert TFLITE.warnings(config, TFLITE.settle(config, asked(digits, tflite_input="uint8"))) == []
