"""YAML and JSON as files and overrides of Official Vision hold them: the text alone, whatever it says."""

from pathlib import Path

from visionport.config.official.text import mapping, parse_override, read_yaml, write_yaml

SUFFIX = ".yaml"
SEEDS = (
    b"task:\n  model: {num_classes: 10, input_size: [224, 224, 3]}\n  losses:\n    l2_weight_decay: 1.0e-4\n",
    b"a: &a [1, 2.5, -3e-4, true, null, ~, 'x', \"y\\n\", plain text]\nb: {c: *a, d: *a}\n",
    b"shape: !!python/tuple\n- 224\n- 224\ntext: |\n  lines\n   of it\nfold: >-\n  one\n  two\n",
    b'{"task": {"model": {"num_classes": 6, "names": ["a", "\\u00e9"], "x": 1e5, "y": false}}}',
    b"task.model.num_classes=10,task.train_data.input_path=gs://bucket/file*,a.b[0]=1,a.b[1]='x, y',c=[1, 2]",
    b"# nothing else\n--- # begins\nwhen: 2001-01-01\nhex: 0x1F\noctal: 017\nsexagesimal: 1:30\n...\n",
)


def read(path: Path) -> None:
    """As a file, and where it is text as an override, as a mapping that is written again."""
    text = path.read_text("utf-8", "replace")
    write_yaml(mapping(parse_override(text), "the text"))
    read_yaml(path)
