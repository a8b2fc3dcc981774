"""Texts that somebody made to be slow: the time of reading grows as the text does, and mistakes end in a sentence."""

import time
from pathlib import Path

import pytest
from places import SHARED

from visionport.config import read_config
from visionport.config.labels import read_label_map
from visionport.config.official.text import parse_override, read_yaml
from visionport.config.pipeline.text import MOST_BYTES, MOST_TOLD
from visionport.downloads import is_web_page
from visionport.errors import VisionportError, nearest

SIZE = 200_000  # characters
MOST = 5  # seconds of the processor for one of them, on a slow machine; what grew with the square took minutes

MODEL = """model { ssd { num_classes: 2 feature_extractor { type: 'ssd_mobilenet_v2_fpn_keras' fpn { }
  conv_hyperparams { } } image_resizer { fixed_shape_resizer { } } box_coder { faster_rcnn_box_coder { } }
  anchor_generator { multiscale_anchor_generator { aspect_ratios: 1.0 } }
  box_predictor { weight_shared_convolutional_box_predictor { depth: 8 conv_hyperparams { } } } } }
"""


def filled(piece: str) -> str:
    return piece * (SIZE // len(piece))


def counted(piece: str) -> str:
    """The piece with a number in each."""
    return "".join(piece.format(i) for i in range(1, SIZE // len(piece)))


CONFIGS = {
    "brackets": (f"{MODEL}x {filled('[')}", 'no field "x"'),
    "brackets_below": (f"{MODEL}train_config {{ {filled('x: [ ')}", 'no field "x"'),
    "closed_too_often": (MODEL + filled("}"), 'a "}" too many'),
    "nested": (f"model {{ {filled('ssd { ')}", 'Ssd has no field "ssd"'),
    "nested_and_skipped": (f"{MODEL}train_config {{ {'x { ' * 40_000}{'} ' * 40_000} }}", ""),
    "mistakes": (f"{MODEL}train_config {{ {counted('bad{}: 1 ')} }}", 'TrainConfig has no field "bad101"'),
    "mistakes_few": (f"{MODEL}train_config {{ {' bad: 1' * 90} {filled(' batch_size: 1')} }}", ""),
    "a_long_name": (f"model {{ {'a' * SIZE}: 1 }}", 'DetectionModel has no field "aaaa'),
    "digits": (f"model {{ ssd {{ num_classes: {'1' * SIZE} }} }}", "takes a whole number of 32 bits, not 1111"),
    "backslashes": (MODEL + "train_config { optimizer '" + "\\" * SIZE, "has no closing quote"),
    "spaces": (MODEL + " " * SIZE, ""),
    "lines": (MODEL + "\n" * SIZE, ""),
    "readers": (MODEL + counted("eval_input_reader {{ label_map_path: 'z{}' }}\n"), ""),
}
LABELS = {
    "lines": ("\n" * SIZE + "# no name\n" + "\n" * SIZE + "cat\ndog", ""),
    "spaces": ("1" + " " * SIZE + "cat\n2 dog", ""),
    "digits": ("1" * SIZE + " cat", "too many for a class's name"),
    "nested": (filled("item { "), 'StringIntLabelMapItem has no field "item"'),
    "one_item": ("item { " + counted("id: {0} name: 'n{0}' ") + "}", ""),
    "a_string": ("item { name: '" + "\\a" * SIZE, "has no closing quote"),
    "the_last_is_wrong": (filled("item { id: 1 name: 'a' } ") + "item { nam: 1 }", "nearest: name"),
}
YAMLS = {
    "flow": (f"a: {filled('[')}", "nest"),
    "nested": (filled("{a: "), "levels deep"),
    "bomb": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 900)),
        "100,000 values",
    ),
    "alias_of_alias": ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 900)), "levels deep"),
    "digits": (f"a: {'1' * 5000}", "too long for a number"),
    "sexagesimal": (f"a: 1{filled(':1')}", "too long for a number"),
    "tag": (f"a: !{'x' * SIZE} 1", "the tag !xxx"),
    "keys": (counted("k{}: 1\n"), ""),
}
OVERRIDES = {
    "dots": (f"a{'.a' * 5000}=1", "levels deep"),
    "many": (",".join(f"a.b{i}=1" for i in range(20_000)), ""),
    "no_end": ("a=b" + " b" * SIZE + "[", "is not of the kind"),
}
CASES = [
    *((read_config, ".config", name, *case) for name, case in CONFIGS.items()),
    *((read_label_map, ".pbtxt", name, *case) for name, case in LABELS.items()),
    *((read_yaml, ".yaml", name, *case) for name, case in YAMLS.items()),
    *((lambda path: parse_override(path.read_text()), ".txt", name, *case) for name, case in OVERRIDES.items()),
]


def words_of(read, path: Path) -> str:
    """What reading a file says; "" where it is read."""
    try:
        read(path)
    except VisionportError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("read", "suffix", "name", "text", "said"), CASES, ids=[f"{c[1]}-{c[2]}" for c in CASES])
def test_time_grows_as_the_text_does(tmp_path, read, suffix, name, text, said):
    path = tmp_path / f"{name}{suffix}"
    path.write_text(text)
    begun = time.process_time()
    told = words_of(read, path).replace(str(path), "FILE")
    assert time.process_time() - begun < MOST
    assert said in told
    assert bool(said) == bool(told)
    assert len(told) < 400


def test_many_mistakes_are_told_in_short(tmp_path):
    path = tmp_path / "pipeline.config"
    path.write_text(f"{MODEL}train_config {{ {' bad: 1' * 90} batch_size: 7 }}")
    config = read_config(path)
    skipped = [warning for warning in config.warnings if "skipped" in warning]
    assert len(skipped) == MOST_TOLD + 1
    assert f"{90 - MOST_TOLD} more statements that only training reads were skipped" in skipped[-1]
    assert config.source.message.train_config.batch_size == 7


@pytest.mark.parametrize(("name", "read"), [("pipeline.config", read_config), ("labels.txt", read_label_map)])
def test_files_that_are_too_large(tmp_path, name, read):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(VisionportError, match=f"{MOST_BYTES + 1:,} bytes; at most {MOST_BYTES:,}"):
        read(path)


def test_pages_full_of_comments():
    begun = time.process_time()
    assert not is_web_page(b"<!---->" * 600)
    assert not is_web_page(b"<!--" * 1000)
    assert is_web_page(b"<!-- one --> <!-- two -->\n<!doctype html>")
    assert time.process_time() - begun < MOST


def test_the_nearest_of_many_and_of_long_names():
    begun = time.process_time()
    assert nearest("a" * 1_000_000, ["a" * 1_000_000]) == ""
    assert nearest("weights", (f"x{i}" for i in range(10**7))) == ""
    assert time.process_time() - begun < 2 * MOST


HOSTILE = sorted(
    path for path in (SHARED / "cases" / "hostile").glob("*") if path.suffix in (".config", ".pbtxt", ".txt")
)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_hostile_texts(path: Path):
    """Whatever they are given as."""
    for read in (read_config, read_label_map, read_yaml):
        begun = time.process_time()
        assert len(words_of(read, path)) < 600
        assert time.process_time() - begun < MOST
