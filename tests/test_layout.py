"""The rules of docs/architecture.md: who may import whom, who may know what, and where TensorFlow is imported."""

import ast
import subprocess
import sys

import pytest
from places import ROOT

SOURCE = ROOT / "src"
PACKAGE = SOURCE / "visionport"
MODULES = {".".join(f.relative_to(SOURCE).with_suffix("").parts): f for f in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text()) for name, file in MODULES.items()}

# room -> the rooms that its modules may not import from, anywhere
ROOMS = {f.name for f in PACKAGE.iterdir() if (f / "__init__.py").exists()}
SERVED = {"serving", "packaging", "client"}
ARTIFACTS = {"formats", "tasks", "verification", "report", "conversion", "batch"} | SERVED
FORBIDDEN = {
    "ops": ROOMS - {"ops", "config"},
    "config": ROOMS - {"config"},
    "checkpoint": ROOMS - {"checkpoint", "config"},
    "models": ARTIFACTS | {"tflite", "onnx", "tfjs", "graph"},
    "inputs": ARTIFACTS | {"models", "tflite", "onnx", "tfjs", "graph"},
    "graph": ARTIFACTS | {"models", "tflite", "onnx", "tfjs"},
    "tfjs": {"formats", "tasks", "models", "report", "conversion", "batch"} | SERVED,
    "onnx": {"formats", "tasks", "models", "report", "conversion", "batch"} | SERVED,
    "tflite": {"formats", "tasks", "models", "report", "conversion", "batch"} | SERVED,
    "tasks": {"formats", "models", "report", "conversion", "batch"} | SERVED,
    "formats": {"report", "conversion", "batch"} | SERVED,
    "serving": {"models", "config", "checkpoint", "report", "conversion", "commands", "scripts", "packaging", "client"},
    "packaging": {"models", "config", "checkpoint", "graph", "tflite", "onnx", "report", "conversion", "client"},
    "client": {"models", "config", "checkpoint", "graph", "tflite", "onnx", "report", "conversion", "packaging"},
    "batch": {"formats", "models", "graph", "tflite", "report", "conversion", "verification"},
}
# Of a room that a rule forbids, what is allowed all the same: (module, what it imports) with the reason.
ALLOWED = {
    # An Asker is a Runner with a task, so what all formats share knows what all tasks share, and nothing else.
    ("visionport.formats.base", "visionport.tasks.base"),
}
READERS = ("visionport.config.pipeline", "visionport.config.official")  # which files they read, a model may not know

HEAVY = {"tensorflow", "keras", "absl", "ai_edge_litert", "apache_beam", "pyarrow", "onnx", "onnxruntime"}
BEAM = "visionport.batch.transforms"  # whose classes are Beam's, and which is imported with it alone
HEAVY_HOMES = {"ops", "models"}  # plain TensorFlow functions; all else imports it inside the functions that need it

# Who may know a detection's outputs by name, besides models/ and tasks/: each format's own file of that architecture,
# and what knows TFLite's own detection op or the old exporters' graphs, whose names these are.
DETECTIONS = ("visionport.models.", "visionport.tasks.detection.", "visionport.formats.tflite.ssd")
DETECTIONS += ("visionport.formats.tflite.center_net", "visionport.formats.opencv", "visionport.formats.tflite.options")
DETECTIONS += ("visionport.formats.tflite.reference", "visionport.formats.heads", "visionport.formats.tfjs.suppression")
DETECTIONS += ("visionport.formats.openvino.model_api",)
DETECTIONS += ("visionport.tflite.", "visionport.graph.sources", "visionport.scripts.")
MODELS = ("Ssd", "FasterRcnn", "CenterNet")  # whose classes nobody else may branch on


def imports(nodes):
    """The absolute names of the modules that these statements import, `from x import y` as both x and x.y."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def for_types_alone(tree) -> set[ast.AST]:
    """The statements below `if TYPE_CHECKING`."""
    ifs = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    return {inner for n in ifs for inner in ast.walk(n)}


def room_of(module: str) -> str:
    """ "visionport.ops.nms" -> "ops"; "" for modules that lie directly in visionport, or elsewhere."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "visionport" and parts[1] in ROOMS else ""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_room_may(module):
    tree, room = TREES[module], room_of(module)
    types = for_types_alone(tree)
    reached = set(imports(n for n in ast.walk(tree) if n not in types))
    wrong = {n for n in reached if room_of(n) in FORBIDDEN.get(room, set())}
    wrong = {n for n in wrong if not any(module == m and n.startswith(known) for m, known in ALLOWED)}
    assert not wrong
    if room == "models":
        assert not {n for n in reached if n.startswith(READERS)}
    at_top = {name.partition(".")[0] for name in imports(tree.body)}
    assert room in HEAVY_HOMES or not at_top & HEAVY - ({"apache_beam"} if module == BEAM else set())


def test_formats_and_tasks_never_name_each_other():
    for module, tree in TREES.items():
        other = {"formats": "visionport.tasks.", "tasks": "visionport.formats"}.get(room_of(module))
        if other:
            named = {n for n in imports(ast.walk(tree)) if n.startswith(other) and n != "visionport.tasks.base"}
            assert not {n for n in named if not n.startswith("visionport.tasks.base")}, module


def test_no_circles():
    """Of imports at the top of modules: each can be imported first."""
    edges = {}
    for module, tree in TREES.items():
        types = for_types_alone(tree)
        reached = set(imports(n for n in tree.body if n not in types))
        packages = {f"{n}.__init__" for n in reached if f"{n}.__init__" in MODULES}
        edges[module] = {n for n in reached | packages if n in MODULES and n != module}
    done: set[str] = set()

    def walk(module, path):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(edges[module]):
                walk(other, [*path, module])
            done.add(module)

    for module in sorted(edges):
        walk(module, [])


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(DETECTIONS)])
def test_only_detectors_code_knows_detections(module):
    if room_of(module) in ("config", "ops"):  # what configs say, and what ops return, has these names
        return
    texts = [n.value for n in ast.walk(TREES[module]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    docs = {ast.get_docstring(n, clean=False) for n in ast.walk(TREES[module]) if isinstance(n, HAS_DOC)}
    keys = [t for t in texts if t.startswith(("detection_", "num_detections")) and t not in docs]
    assert not [key for key in keys if not key.startswith("detection_head")]  # a part of a checkpoint


HAS_DOC = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) not in ("models", "tasks", "config")])
def test_only_architectures_branch_on_a_models_class(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            names |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
            assert not names & set(MODELS), f"line {node.lineno}"


def test_the_story_names_no_format_model_or_task():
    text = (PACKAGE / "exporter.py").read_text().lower()
    assert not [
        w for w in ("tflite", "opencv", "frozen_graph", "saved_model", "ssd", "center_net", "detection") if w in text
    ]


def test_nothing_else_imports_tensorflow():
    """Neither directly nor through another module: --help, configs and errors must not wait for it."""
    light = [m for m in MODULES if room_of(m) not in HEAVY_HOMES and not m.endswith("__main__") and m != BEAM]
    code = f"import sys, importlib\nfor m in {light}: importlib.import_module(m)\nprint(*{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split()
