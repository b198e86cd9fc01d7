"""The house has floors: a file imports only from lower ones, and heavy packages stay where they are needed."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import cornernet.structures

ROOT = Path(cornernet.structures.__file__).parent
FLOORS = [  # low to high; neighbours on one floor do not know each other
    {"errors", "later"},
    {"files", "structures", "hardware", "devices", "typed"},
    {"telemetry", "waiting"},
    {"config"},
    {"model", "recipes", "media", "tracking"},
    {"drawing"},
    {"data"},
    {"weights"},
    {"inference"},
    {"doctor", "evaluation", "explain"},
    {"outputs"},
    {"export", "training", "report", "serve"},
    {"tasks"},
    {"batch"},
    {"__init__"},  # what `import cornernet` offers
    {"commands"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
STANDARD = sys.stdlib_module_names


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, anywhere in it, and whether that happens as soon as the file is imported."""
    found = []

    def walk(node: ast.AST, at_once: bool) -> None:
        for child in ast.iter_child_nodes(node):
            now = at_once and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                now = False
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_once) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: imports say the whole name"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    found.append((whole if whole in MODULES else str(child.module), at_once))
            walk(child, now)

    walk(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def ours(path: Path, *, at_once: bool = False) -> set[str]:
    return {name for name, now in imports(path) if name.split(".")[0] == "cornernet" and (now or not at_once)}


@every_file
def test_imports_go_down(path):
    own = part_of(path)
    assert own in FLOOR_OF, f"{own}: give it a floor in this test"
    for name in ours(path):
        other = part_of(MODULES[name])
        if other != own:
            assert FLOOR_OF[other] < FLOOR_OF[own], f"{path.relative_to(ROOT)} imports {name}, which is not below it"


@every_file
def test_what_is_imported_later_is_there(path):
    """Only results and detectors reach up, for what users ask of them; nobody else has a reason to."""
    calls = [
        node.args[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "later"
    ]
    assert not calls or part_of(path) in ("__init__", "structures") or path.name == "api.py"
    for place in calls:
        if isinstance(place, ast.Constant):
            module, name = place.value.split(":")
            assert name in {
                getattr(node, "name", "") for node in ast.parse(MODULES[f"cornernet.{module}"].read_text()).body
            }


def test_no_import_goes_in_a_circle():
    graph = {name: ours(path, at_once=True) for name, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_no_import_among_benchmarks_goes_in_a_circle():
    files = {path.stem: path for path in (ROOT.parents[1] / "benchmarks").glob("*.py")}
    graph = {name: {other for other, _ in imports(path)} & files.keys() for name, path in files.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_a_public_name_stands_once_in_the_package():
    """Modules, functions and classes. Commands have the command line's names, and a contract lies in ``base``."""
    places: dict[str, set[str]] = {}
    for path in FILES:
        if part_of(path) == "commands" or path.stem in ("__init__", "__main__", "base"):
            continue
        places.setdefault(path.stem, set()).add(str(path))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(f"{node.name}()", set()).add(str(path))
    assert not {name: found for name, found in places.items() if len(found) > 1}


@every_file
def test_nothing_concrete_is_named_outside_its_folder(path):
    """A backbone or a pairing rule is one file: nobody else imports it or names a class of it."""
    for folder in ("backbones", "pairing"):
        inside = ROOT / "model" / folder
        if path.is_relative_to(inside):
            continue
        concrete = [file for file in inside.glob("*.py") if file.stem not in ("__init__", "base")]
        assert not ours(path) & {module_of(file) for file in concrete}
        classes = {
            node.name
            for file in concrete
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
        named = {
            node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)
        }
        assert not named & classes


@every_file
def test_heavy_packages_stay_where_they_are_needed(path):
    own = part_of(path)
    foreign = {name.split(".")[0] for name, _ in imports(path)} - STANDARD - {"cornernet"}
    pure = {
        "errors": set(),
        "later": set(),
        "files": set(),
        "typed": set(),
        "structures": {"numpy"},
        "config": set(),
        "model": {"torch", "triton", "numpy"},
    }
    if own in pure:
        assert foreign - ({"transformers"} if path.stem == "trunks" else set()) <= pure[own]
    extras = {"transformers", "huggingface_hub", "wandb", "mlflow", "trackio", "ray", "pyarrow", "fsspec"}
    assert not {name.split(".")[0] for name, now in imports(path) if now} & extras
    if own == "model":
        assert {part_of(MODULES[name]) for name in ours(path)} <= {own, "config", "structures", "errors"}
    assert "torchvision" not in foreign
    if own != "training":
        assert "lightning" not in foreign
    if own in ("tasks", "commands", "cli", "__init__"):
        at_once = {name.split(".")[0] for name, now in imports(path) if now}
        assert not at_once & {"torch", "cv2", "PIL", "faster_coco_eval", "yaml"}


@pytest.mark.parametrize(
    "code",
    [
        "import cornernet",
        "from cornernet import Detections, Candidates, InputError",
        "import cornernet.structures",
        "import cornernet.config",
        "import cornernet.recipes.load",
        "import cornernet.cli",
        "from cornernet.cli import main; main(['--help'])",
        "from cornernet.cli import main; main(['no-such-command'])",
        "from cornernet.cli import main; main(['train', '--help'])",
        "from cornernet.cli import main; main(['train', 'shapes', '--print-config', '--epochs', '3'])",
        "from cornernet.cli import main; [main([*name.split(), '--help']) for name in ('predict', 'weights convert')]",
        "import pkgutil, importlib, cornernet.commands as c; "
        "[importlib.import_module(m.name) for m in pkgutil.iter_modules(c.__path__, 'cornernet.commands.')]",
    ],
)
def test_answers_before_torch_is_loaded(code):
    heavy = "sorted({'torch', 'lightning', 'cv2', 'faster_coco_eval'} & set(sys.modules))"
    program = f"{code}\nimport sys\nprint({heavy}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
