"""Label maps and lists of names."""

from pathlib import Path

from visionport.config.labels import read_label_map

SUFFIX = ".pbtxt"
SEEDS = (
    b"item {\n  id: 2\n  name: 'b'\n}\nitem: { id: 1, name: \"a\" }",
    b"item { name: '/m/1' id: 1 display_name: 'seen' keypoints { id: 0 label: 'nose' } }",
    b"item { id: 1 name: 'a'\n id: 2 name: 'b'\n id: 3 name: 'c' display_name: 'C' }",
    b"# mine\r\nitem{\r\n\tname:'a'\r\n\tid:1\r\n}\r\nitem{\r\n\tname:'d'\r\n\tid:4\r\n}\r\n",
    b"person\nhelmet on\n\nvest",
    b"0 person\n1 bicycle\n3 car",
    b"???\nperson\n???\ncar",
    b"1: person\n2: car",
)


def read(path: Path) -> None:
    read_label_map(path)
    read_label_map(path, num_classes=2)
