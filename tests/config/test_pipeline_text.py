"""Reading pipeline.config: what is accepted, what is skipped with a warning, and what each error says."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, text_format
from places import ROOT, SHARED

from visionport.config.pipeline.text import label_map_paths, message_class, read_pipeline
from visionport.errors import ConfigError

SAMPLES = sorted(SHARED.glob("configs/od/*/*.config"))
REAL = sorted(SHARED.glob("real/*/*.config"))
NAME = [f"{path.parent.name}/{path.name}" for path in (*SAMPLES, *REAL)]

MODEL = """model {
  ssd {
    num_classes: 3
    feature_extractor { type: 'ssd_mobilenet_v2' }
  }
}
"""


@pytest.fixture
def config(tmp_path):
    """Writes pipeline.config and gives its path."""

    def write(text: str | bytes, name: str = "pipeline.config") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def error(path, override: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read_pipeline(path, override)
    return str(caught.value).replace(f"{path}", "FILE")


# Real files


@pytest.mark.skipif(not SAMPLES, reason="no folder of sample configs")
def test_all_samples_are_there():
    assert len(SAMPLES) == 104


@pytest.mark.parametrize("path", [*SAMPLES, *REAL], ids=NAME)
def test_real_configs(path):
    if path.read_bytes().startswith(b"version https://git-lfs"):
        assert "git lfs pull" in error(path)
        return
    pipeline = read_pipeline(path)
    assert text_format.Parse(pipeline.text, type(pipeline.message)()) == pipeline.message
    expected = {
        "tf1-ssd_mobilenet_v2_coco_2018_03_29-zoo": ":35:7: skipped `batch_norm_trainable: true`",
        "tf2-mask_rcnn_inception_resnet_v2-zoo": ":153:40: skipped `s`",
    }.get(path.parent.name)
    assert len(pipeline.warnings) == bool(expected)
    assert not expected or expected in pipeline.warnings[0]


# The schema


def test_compiled_schemas_are_current(tmp_path):
    pytest.importorskip("grpc_tools")
    subprocess.run([sys.executable, ROOT / "scripts/compile_schema.py", "--out", tmp_path], check=True)
    for name in ("config/pipeline/od.binpb", "checkpoint/checkpoint.binpb", "serving/schema/serving.binpb"):
        ours, current = (
            descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
            for path in (ROOT / "src/visionport" / name, tmp_path / Path(name).name)
        )
        assert ours == current


def test_defaults():
    message = message_class("TrainEvalPipelineConfig")()
    assert message.model.faster_rcnn.first_stage_max_proposals == 300
    assert message.model.ssd.feature_extractor.depth_multiplier == 1


def test_reading_needs_no_tensorflow():
    code = "import sys, visionport.config.labels; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# What is accepted


def test_all_ways_to_write_it(config):
    text = (
        "\ufeff# a comment with { and '\r\nmodel: <\r\n  ssd: { num_classes: 1; freeze_batchnorm: true,\r\n"
        "    feature_extractor { type: \"ssd_\" 'mobilenet_v2' # }\r\n    }\r\n    num_classes: 3\r\n  }\r\n>\r\n"
    )
    pipeline = read_pipeline(config(text))
    assert pipeline.warnings == ()
    assert pipeline.message.model.ssd.num_classes == 3  # the later one, as the reference's text_format.Merge
    assert pipeline.message.model.ssd.feature_extractor.type == "ssd_mobilenet_v2"
    assert pipeline.text.startswith("model {\n  ssd {\n    num_classes: 3\n")


def test_override(config):
    path = config(MODEL + "eval_config { metrics_set: 'a' }")
    pipeline = read_pipeline(path, "model { ssd { num_classes: 5 } } eval_config { metrics_set: 'b' }")
    assert pipeline.message.model.ssd.num_classes == 5
    assert pipeline.message.model.ssd.feature_extractor.type == "ssd_mobilenet_v2"
    assert list(pipeline.message.eval_config.metrics_set) == ["a", "b"]
    assert error(path, "model { ssd {\n num_clases: 5 } }") == (
        '--config-override, line 2, column 2: Ssd has no field "num_clases"; nearest: num_classes'
    )
    assert error(path, "train_config { batch_sise: 5 }").startswith("--config-override, line 1, column 16: TrainConfig")


def test_directories(config, tmp_path):
    assert "no pipeline.config" in error(tmp_path)
    mine = config(MODEL, "mine.config")
    assert read_pipeline(tmp_path).path == mine
    config(MODEL, "other.config")
    assert "Name one: mine.config, other.config" in error(tmp_path)
    assert read_pipeline(config(MODEL).parent).path.name == "pipeline.config"


def test_label_map_paths(config):
    text = """
        train_input_reader { label_map_path: 'PATH_TO_BE_CONFIGURED' }
        eval_input_reader { label_map_path: 'b.pbtxt' } eval_input_reader { label_map_path: 'a/a.pbtxt' }
        eval_input_reader { label_map_path: 'b.pbtxt' } eval_input_reader { }"""
    assert label_map_paths(read_pipeline(config(MODEL + text))) == ["b.pbtxt", "a/a.pbtxt"]


# What is skipped with a warning, and what stays


def test_training_sections_are_read_leniently(config):
    lines = [
        "train_config {",
        "  batch_size: 24  shiny: 3, new { x: 1 y: { } }",
        "  optimizer { adamm { } } more: [1, 2] many: [{ a: 1 }, < b: 2 >];",
        "  num_steps: 200",
        "}",
        "train_input_reader {",
        "  label_map_path: 'C:\\Users\\x'",
        "  tf_record_input_reader { input_path: 'D:\\2019\\x' input_path: 'y's }",
        "  mask_type: PNG  shuffle 'no'  queue_capacity  num_readers: some  num_epochs: 3",
        "}",
        "eval_config { num_examples: 7",
        "  metrics_set: 'open",
        "  [some.extension] { x: 1 } a b batch_size: }",
    ]
    pipeline = read_pipeline(config("\n".join(lines) + "\n" + MODEL))
    message = pipeline.message
    assert (message.train_config.batch_size, message.train_config.num_steps) == (24, 200)
    assert list(message.train_input_reader.tf_record_input_reader.input_path) == ["y"]
    assert message.train_input_reader.num_epochs == 3
    assert (message.eval_config.num_examples, message.model.ssd.num_classes) == (7, 3)
    skipped = [
        warning.split("pipeline.config:")[1].split(", which only training reads: ")[0] for warning in pipeline.warnings
    ]
    assert skipped == [
        "2:19: skipped `shiny: 3,`",
        "2:29: skipped `new { x: 1 y: { } }`",
        "3:15: skipped `adamm { }`",
        "3:27: skipped `more: [1, 2]`",
        "3:40: skipped `many: [{ a: 1 }, < b: 2 >];`",
        "7:3: skipped `label_map_path: 'C:\\Users\\x'`",
        "8:28: skipped `input_path: 'D:\\2019\\x'`",
        "8:67: skipped `s`".replace("67", str(lines[7].index("s }") + 1)),
        "9:3: skipped `mask_type: PNG`",
        "9:19: skipped `shuffle 'no'`",
        "9:33: skipped `queue_capacity`",
        "9:49: skipped `num_readers: some`",
        "12:3: skipped `metrics_set: 'open`",
        "13:3: skipped `[some.extension] { x: 1 }`",
        "13:29: skipped `a`",
        "13:31: skipped `b`",
        "13:33: skipped `batch_size:`",
    ]


def test_obsolete_field(config):
    text = MODEL.replace("type:", "batch_norm_trainable: true type:")
    pipeline = read_pipeline(config(text))
    assert "SsdFeatureExtractor.batch_norm_trainable is an obsolete field" in pipeline.warnings[0]
    assert pipeline.message.model.ssd.feature_extractor.type == "ssd_mobilenet_v2"


# Errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modle { }", '1:1: TrainEvalPipelineConfig has no field "modle"; nearest: model'),
        (
            "model {\n ssd { freeze_batchnrm: true } }",
            '2:8: Ssd has no field "freeze_batchnrm"; nearest: freeze_batchnorm',
        ),
        ("model { yolo { } }", '1:9: DetectionModel has no field "yolo"; it has: faster_rcnn, ssd, '),
        (
            "model { ssd { }\ntrain_config { } }",
            '2:1: DetectionModel has no field "train_config"; it belongs at the top',
        ),
        ("model {\n ssd {", '2:6: the text ends before the "ssd {" of line 2 is closed: is a "}" missing?'),
        ("model { ssd { } }\n}", '2:1: a "}" too many'),
        ("model { ssd { } }\ntrain_config { } }", '2:18: a "}" too many'),
        (
            "model { ssd { } }\ntrain_config { batch_size: 3",
            '2:28: the text ends before the "train_config {" of line 2',
        ),
        (
            "model { ssd { } }\ngraph_rewriter { quantisation { } }",
            '2:18: GraphRewriter has no field "quantisation"; nearest: q',
        ),
        ("model { ssd { num_classes: many } }", "1:28: Ssd.num_classes takes a whole number of 32 bits, not many"),
        ("model { ssd { num_classes 9 } }", '1:27: Ssd.num_classes needs a ":" before its value'),
        ("model { ssd { num_classes: } }", "1:15: Ssd.num_classes has no value"),
        ("model { ssd { loss: 3 } }", "1:21: Ssd.loss takes { ... }, not 3"),
        ("model { ssd { add_background_class: yes } }", "1:37: Ssd.add_background_class takes true or false, not yes"),
        (
            "model { ssd { feature_extractor { type: 'a } } }",
            "1:41: the string 'a } } } has no closing quote on its line",
        ),
        (
            "model { ssd { feature_extractor { conv_hyperparams { activation: relu6 } } } }",
            '1:66: Activation (for Hyperparams.activation) has no value "relu6"; nearest: RELU_6, RELU',
        ),
    ],
)
def test_mistakes_that_change_inference(config, text, expected):
    assert error(config(text)).startswith(f"FILE:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("  \r\n", "empty"),
        (b"\xff\xfem\x00", "Save it as UTF-8"),
        (b"model {\n # caf\xe9\n}", "FILE:2: not UTF-8"),
        (b"\x00\x01", "binary"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("train_config { }", "no model { ... } in it"),
        ("model { }", "it needs one of: faster_rcnn, ssd, experimental_model, center_net"),
        ('{"model": {}}', "this is JSON"),
        ("runtime:\n  distribution_strategy: tpu\n", "--experiment NAME --config-file FILE"),
        ("item {\n  id: 1\n}", "Give it with --labels"),
    ],
)
def test_not_a_config(config, text, expected):
    assert expected in error(config(text))


def test_missing_file(config, tmp_path):
    config(MODEL)
    assert error(tmp_path / "pipline.config") == "FILE: no such config; nearest: pipeline.config"
    assert "there is no directory" in error(tmp_path / "nowhere" / "pipeline.config")
