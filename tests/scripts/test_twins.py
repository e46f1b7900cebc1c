"""The twins stay twins: same definitions, order, arguments, docstrings and settings in all four.

The syntax trees are compared; a departure names the file and the definition. What a framework needs
beyond the others stands in EXTRAS and SIGNATURES below, with the reason.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.ports import FRAMEWORKS, ROOT

MODELS = sorted(path.stem for path in (ROOT / "pytorch").glob("*.py"))
HELPERS = {
    "tensorflow": {"layers", "optimizers"},  # what TensorFlow lacks without Keras
    # where Keras computes something else than the others, what it leaves to its backends, and how
    # it trains one of two networks
    "keras": {"gradients", "optimizers", "own_layers", "trainers"},
    "chainer": {"layers", "optimizers"},  # where Chainer does
}

# Definitions that one framework has and the others do without.
EXTRAS = {
    "pytorch": {"initialize"},  # weights are set after a layer is made
    "tensorflow": {"initialize"},
    "chainer": {"around_one", "one_hot"},  # no initialiser with a mean, no one-hot vectors
    # initialisers and constraints are arguments of layers
    "keras": {"initial_settings", "clipped_settings", "Clip"},
}
# Keras' compiled models hold networks and optimisers, and make the passes.
TRAINER = re.compile(r"\w*Trainer(\.\w+)?")
IN_TRAINERS = {"autoencode", "critic_step", "discriminator_step", "generator_step"}
SIZES = {"base", "shape", "classes", "dropout"}  # attributes that are no layers
CALLS = {"forward", "__call__"}  # the same thing under two names
# Arguments that not all have: TensorFlow has no mode; PyTorch and Chainer place tensors by hand;
# the weight of a loss, and what is frozen, belong to Keras' trainers; its models have names.
NOT_ALL = {"training", "device", "identity", "frozen", "name"}


def definitions(source: str) -> dict[str, ast.AST]:
    """Every class, function and method by its dotted name, in the order of the file."""
    found: dict[str, ast.AST] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[prefix + node.name] = node
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(source).body, "")
    return found


def arguments(node: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in NOT_ALL]


def constants(source: str) -> dict[str, str]:
    """The script's own constants, in the order of the file."""
    return {
        node.targets[0].id: ast.unparse(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def docstring(node: ast.AST) -> str | None:
    """A docstring without the words in which frameworks differ: name and order of axes."""
    text = ast.get_docstring(node)  # type: ignore[arg-type]
    if text is None:
        return None
    text = re.sub(r"\(N, (2?H[^,]*), (2?W[^,]*), ([^,)]+)\)", r"(N, \3, \1, \2)", text)
    for name in ("PyTorch", "TensorFlow", "Keras", "Chainer"):
        text = text.replace(f"in {name}.", "in FRAMEWORK.")
    return re.sub(r"python (pytorch|tensorflow|keras|chainer)/", "python FRAMEWORK/", text)


def layer_names(node: ast.AST) -> list[str]:
    """Attributes that hold layers, in order: `self.conv1 = …`, or `name="conv1"` in Keras."""
    names = []
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            names.append((child.lineno, child.attr))
        # Numbers of repeated blocks are no constants.
        if (
            isinstance(child, ast.keyword)
            and child.arg == "name"
            and isinstance(child.value, ast.Constant)
        ):
            names.append((child.value.lineno, str(child.value.value)))
    return [
        name for _, name in sorted(names) if re.fullmatch(r"[a-z]+\d*", name) and name not in SIZES
    ]


def departures(sources: dict[str, str]) -> list[str]:
    """What sets a framework's script apart from the PyTorch one, a line each."""
    found = []
    model = definitions(sources["pytorch"])
    model = {name: node for name, node in model.items() if name not in EXTRAS["pytorch"]}
    for framework, source in sources.items():
        if framework == "pytorch":
            continue
        twin = definitions(source)
        extras = EXTRAS.get(framework, set())
        names = [n for n in twin if n.split(".")[0] not in extras]
        wanted = list(model)
        if framework == "keras":
            names = [n for n in names if not TRAINER.fullmatch(n)]
            # Functional models have no forward.
            wanted = [n for n in wanted if n.rpartition(".")[2] not in CALLS | IN_TRAINERS]
        plain = [re.sub(r"\.(forward|__call__)$", ".forward", n) for n in names]
        if plain != wanted:
            found.append(f"{framework}: defines {plain}, not {wanted}")
            continue
        for name, twin_name in zip(wanted, names, strict=True):
            here, there = model[name], twin[twin_name]
            if docstring(here) != docstring(there):
                found.append(f"{framework}: docstring of {name}")
            if isinstance(here, ast.FunctionDef) and isinstance(there, ast.FunctionDef):
                signatures = [arguments(here)]
                if framework == "keras":
                    held = [n for n in arguments(here) if n not in ("networks", "optimizers")]
                    signatures.append(["trainers", *held])
                if arguments(there) not in signatures:
                    found.append(
                        f"{framework}: {name} takes {arguments(there)}, not {signatures[-1]}"
                    )
            elif layer_names(here) != layer_names(there):
                found.append(
                    f"{framework}: layers of {name} are {layer_names(there)}, "
                    f"not {layer_names(here)}"
                )
        if ast.get_source_segment(source, twin["Config"]) != ast.get_source_segment(
            sources["pytorch"], model["Config"]
        ):
            found.append(f"{framework}: Config")
        if constants(source) != constants(sources["pytorch"]):
            found.append(f"{framework}: constants are {constants(source)}")
        if docstring(ast.parse(source)) != docstring(ast.parse(sources["pytorch"])):
            found.append(f"{framework}: docstring of the script")
    return found


def blame(sources: dict[str, str]) -> dict[str, set[str]]:
    """The departures by framework; what all others have against PyTorch's script is PyTorch's."""
    found: dict[str, set[str]] = {framework: set() for framework in sources}
    for line in departures(sources):
        framework, _, departure = line.partition(": ")
        found[framework].add(departure)
    others = [departures for framework, departures in found.items() if framework != "pytorch"]
    shared = set.intersection(*others)
    return {"pytorch": shared} | {f: found[f] - shared for f in sources if f != "pytorch"}


def sources(model: str) -> dict[str, str]:
    return {f: (ROOT / f / f"{model}.py").read_text(encoding="utf-8") for f in FRAMEWORKS}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("model", MODELS)
def test_twins_agree(model: str, framework: str) -> None:
    assert blame(sources(model))[framework] == set()


@pytest.mark.parametrize(
    ("framework", "old", "new", "named"),
    [
        ("chainer", '"images per step", 2] = 64', '"images per step", 2] = 32', "Config"),
        ("pytorch", '"images per step", 2] = 64', '"images per step", 2] = 32', "Config"),
        ("pytorch", "self.blocks = nn.S", "self.block = nn.S", "layers of Generator"),
        ("tensorflow", "self.blocks = [Up", "self.ups = [Up", "layers of Generator"),
        ("keras", 'name="conv2"', 'name="conv_2"', "layers of Discriminator"),
        ("chainer", "non-saturating loss", "saturating loss", "docstring of generator_loss"),
        ("tensorflow", "def sample(generator, noise)", "def sample(generator, z)", "sample takes"),
        ("keras", "def generator_loss", "def generators_loss", "defines"),
        ("chainer", "(N, Z) -> (N, C, H, W)", "(N, Z) -> (N, C, W, H)", "docstring of Generator"),
        ("tensorflow", "CRITIC_UPDATES = 5", "CRITIC_UPDATES = 1", "constants"),
    ],
)  # fmt: skip
def test_a_planted_departure_is_named(framework: str, old: str, new: str, named: str) -> None:
    planted = sources("wgan" if "CRITIC" in old else "dcgan")
    assert old in planted[framework]
    planted[framework] = planted[framework].replace(old, new)
    found = blame(planted)
    assert {name for name, departures in found.items() if departures} == {framework}
    assert any(named in departure for departure in found[framework]), found


@pytest.mark.parametrize("model", MODELS)
def test_constants_stand_before_the_settings(model: str) -> None:
    for framework, source in sources(model).items():
        body = ast.parse(source).body
        config = next(n for n, node in enumerate(body) if getattr(node, "name", "") == "Config")
        late = [ast.unparse(node) for node in body[config:] if isinstance(node, ast.Assign)]
        assert late == [], framework


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_framework_has_each_model(framework: str) -> None:
    files = {path.stem for path in (ROOT / framework).glob("*.py")}
    assert files == set(MODELS) | HELPERS.get(framework, set())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_folders_do_not_shadow_the_installed_packages(framework: str) -> None:
    """With an __init__.py, `import keras` would find the folder instead of the framework."""
    assert not (ROOT / framework / "__init__.py").exists()


def test_common_imports_no_framework_outside_its_bridges() -> None:
    for path in (ROOT / "common").rglob("*.py"):
        if path.parent.name == "bridges":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                root = name.split(".")[0]
                assert root not in {"torch", "tensorflow", "keras", "chainer"}, Path(path).name
