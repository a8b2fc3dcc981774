"""The rules of docs/architecture.md: who may import whom, and where TensorFlow is imported."""

import ast
import subprocess
import sys

import pytest
from places import ROOT

SOURCE = ROOT / "src"
PACKAGE = SOURCE / "visionport"
MODULES = {".".join(f.relative_to(SOURCE).with_suffix("").parts): f for f in sorted(PACKAGE.rglob("*.py"))}

# package -> the packages below visionport that its modules may not import, anywhere
FORBIDDEN = {
    "ops": {"models", "formats", "tasks"},
    "models": {"formats", "tasks"},
    "config": {"ops", "models", "formats", "tasks"},
    "tflite": {"models", "formats", "tasks"},
}
HEAVY = {"tensorflow", "keras", "absl", "ai_edge_litert"}
HEAVY_HOMES = {"ops", "models"}  # plain TensorFlow functions; all else imports it inside the functions that need it


def imports(nodes):
    """The absolute names of the modules that these statements import, `from x import y` as both x and x.y."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    """ "visionport.ops.nms" -> "ops"; "" for modules that lie directly in visionport, or elsewhere."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "visionport" and (PACKAGE / parts[1]).is_dir() else ""


@pytest.mark.parametrize("module", MODULES)
def test_module_obeys_the_rules(module):
    tree = ast.parse(MODULES[module].read_text())
    home = package_of(module)
    reached = {package_of(name) for name in imports(ast.walk(tree))}
    assert not reached & FORBIDDEN.get(home, set())
    at_top = {name.partition(".")[0] for name in imports(tree.body)}
    assert home in HEAVY_HOMES or not at_top & HEAVY


def test_nothing_else_imports_tensorflow():
    """Neither directly nor through another module: --help, configs and errors must not wait for it."""
    light = [m for m in MODULES if package_of(m) not in HEAVY_HOMES and not m.endswith("__main__")]
    code = f"import sys, importlib\nfor m in {light}: importlib.import_module(m)\nprint(*{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split()
