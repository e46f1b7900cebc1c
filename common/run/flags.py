"""The command line: the flags that all scripts share, and a `Config` filled from them."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from common.bridges import DTYPES
from common.data import Task
from common.data.catalogue import FOLDER
from common.errors import UserError
from common.files import user_path


@dataclass(frozen=True)
class Settings:
    """The settings that all scripts share; a script's `Config` adds its own fields.

    Each field is a flag: `batch_size` is `--batch-size`. Its annotation holds the help text and the
    accepted values: for a number its minimum, and optionally an exclusive maximum; for a choice the
    tuple of words; for a path `DIR`, `FILE` or `PATH`. A field that a script adds with the default
    None is a flag of `--generate` only.
    """

    size_multiple: ClassVar[int | None] = 1  # of image sides; None: 4 to 7 pixels, doubled
    batches_per_step: ClassVar[int] = 1  # batches that a training step takes
    # A flag, one of its values, and another flag, which that value excludes.
    excludes: ClassVar[tuple[str, str, str] | None] = None

    dataset: Annotated[
        str,
        "newts, digits, cifar10, mnist, fashion_mnist, kmnist, imori, hymenoptera or folder:PATH",
    ] = "newts"
    data_dir: Annotated[
        str | None,
        "where data sets lie or are downloaded to (default: $QUARTET_DATA or the cache)",
        "DIR",
    ] = None
    image_size: Annotated[
        int | None, "side of the images in pixels (default: the data set's own)", 1, 1 << 20
    ] = None
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    epochs: Annotated[
        float | None, "passes over the training images, in place of --steps", 0, 1 << 20
    ] = None
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of the optimiser", 0] = 2e-4
    seed: Annotated[int, "start of all random numbers", 0, 1 << 32] = 0
    device: Annotated[str, "where to compute", ("auto", "cpu", "gpu")] = "auto"
    precision: Annotated[
        str,
        "float64 is slow, and the same to a rounding in all frameworks; tf32 and bfloat16 are "
        "quick on a GPU",
        tuple(DTYPES),
    ] = "float32"
    out: Annotated[str | None, "run folder (default: runs/MODEL-FRAMEWORK-DATASET)", "DIR"] = None
    log_every: Annotated[int, "steps between two rows of metrics.csv", 1] = 10
    sample_every: Annotated[
        int, "steps between two pictures in samples/; the first ones come sooner", 1
    ] = 100
    checkpoint_every: Annotated[int, "steps between two checkpoints", 1] = 500
    resume: Annotated[bool, "go on from the run folder's last checkpoint"] = False
    init_from: Annotated[str | None, "start from the weights in FILE, of any framework", "FILE"] = (
        None
    )
    generate: Annotated[
        int | None, "no training: draw N pictures (64 without N) from --from FILE", 1, 1 << 16
    ] = None
    from_: Annotated[str | None, "checkpoint for --generate, of any framework", "FILE"] = None

    def make_task(self) -> Task:
        """What the model learns from its data set; most learn from images and their labels.

        Raises:
            UserError: flags contradict each other.
        """
        return Task()

    @property
    def dtype(self) -> str:
        """Dtype of weights and arrays: `float32` or `float64`."""
        return DTYPES[self.precision]

    @classmethod
    def architecture(cls) -> list[str]:
        """The fields that a model adds for training; checkpoints store them."""
        return [name for name, default in cls._added().items() if default is not None]

    @classmethod
    def for_generate(cls) -> list[str]:
        """The fields that a model adds for `--generate`."""
        return [name for name, default in cls._added().items() if default is None]

    @classmethod
    def of_command(cls) -> set[str]:
        """The fields that hold for one command only; checkpoints do not store them."""
        return {*OF_COMMAND, *cls.for_generate()}

    @classmethod
    def _added(cls) -> dict[str, Any]:
        shared = {field.name for field in dataclasses.fields(Settings)}
        return {f.name: f.default for f in dataclasses.fields(cls) if f.name not in shared}


ConfigType = TypeVar("ConfigType", bound=Settings)

FASTEST = 1e30  # the largest learning rate; single precision ends at 3e38
LARGEST = 1 << 31  # integers must be below this, unless their annotation says otherwise
# Besides the model's own settings, those that cannot change when a run is resumed.
IDENTITY = ("dataset", "image_size", "batch_size", "learning_rate", "seed", "precision")
# The shared flags that hold for one command only.
OF_COMMAND = ("resume", "out", "init_from", "generate", "from_")


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError where argparse would print and exit."""

    def error(self, message: str) -> typing.NoReturn:
        """Raise the message as a UserError."""
        raise UserError(f"{message} (see --help)")


def path(text: str) -> str:
    """Convert the value of a flag that names a file or folder; `~` is expanded.

    Raises:
        argparse.ArgumentTypeError: it cannot be a path.
    """
    try:
        return str(user_path(text))
    except ValueError as error:
        shown = text if len(text) < 60 else f"{text[:50]}…"
        raise argparse.ArgumentTypeError(f"{shown!r}: {error}") from error


def _dataset(text: str) -> str:
    """Convert the value of `--dataset`: a name, or `folder:PATH`, whose `~` is expanded."""
    folder = text.startswith(FOLDER) and text != FOLDER
    return FOLDER + path(text.removeprefix(FOLDER)) if folder else text


@dataclass(frozen=True)
class _Flag:
    """A field's flag, as its annotation describes it."""

    name: str
    default: Any
    type: type
    help: str
    minimum: float | None = None
    below: float | None = None
    choices: tuple[str, ...] | None = None
    path: str | None = None

    @property
    def option(self) -> str:
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def reader(self) -> Callable[[str], Any]:
        """The function that converts the text of a value."""
        if self.name == "dataset":
            return _dataset
        return path if self.path else self.type

    @property
    def metavar(self) -> str | None:
        """The placeholder for a value in `--help`; None lists the choices."""
        if self.choices:
            return None
        return self.path or ("NAME" if self.type is str else "N")

    def accepts(self, value: Any) -> bool:
        """True if a value has the flag's type or is one of its choices."""
        if self.choices:
            return value in self.choices
        kinds = (int, float) if self.type is float else self.type
        right = isinstance(value, kinds) and (self.type is bool or not isinstance(value, bool))
        return right or (value is None and self.default is None)


def _flags(config: type[Settings]) -> list[_Flag]:
    hints = typing.get_type_hints(config, include_extras=True)
    flags = []
    for field in dataclasses.fields(config):
        inner, text, *limit = typing.get_args(hints[field.name])
        if isinstance(inner, types.UnionType):  # int | None
            inner = typing.get_args(inner)[0]
        flag = _Flag(field.name, field.default, inner, text)
        if limit and isinstance(limit[0], tuple):
            flag = dataclasses.replace(flag, choices=limit[0])
        elif limit and isinstance(limit[0], str):
            flag = dataclasses.replace(flag, path=limit[0])
        elif limit:
            minimum, below = (*limit, None)[:2]
            flag = dataclasses.replace(flag, minimum=minimum, below=below)
        flags.append(flag)
    return flags


def _parser(config: type[Settings], script: Path, description: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"{script.parent.name}/{script.name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for flag in _flags(config):
        if flag.type is bool:
            parser.add_argument(
                flag.option,
                dest=flag.name,
                action="store_true",
                help=flag.help,
                default=argparse.SUPPRESS,
            )
            continue
        text = flag.help if flag.default is None else f"{flag.help} (default: {flag.default})"
        parser.add_argument(
            flag.option,
            dest=flag.name,
            type=flag.reader,
            help=text.replace("%", "%%"),
            metavar=flag.metavar,
            choices=flag.choices,
            **({"nargs": "?", "const": 64} if flag.name == "generate" else {}),
            default=argparse.SUPPRESS,
        )
    return parser


def _check(config: Settings) -> None:
    """Raise UserError for a value out of range, or for flags that contradict each other."""
    for flag in _flags(type(config)):
        value = getattr(config, flag.name)
        if flag.minimum is None or value is None:
            continue
        if not value >= flag.minimum or value == float("inf"):
            raise UserError(f"{flag.option} {value}: must be at least {flag.minimum}")
        below = LARGEST if flag.below is None and flag.type is int else flag.below
        if below is not None and not value < below:
            raise UserError(f"{flag.option} {value}: must be below {below}")
        if flag.name.endswith("_rate") and not 0 < value <= FASTEST:
            limit = f"at most {FASTEST}" if value else "above 0"
            raise UserError(f"{flag.option} {value}: must be {limit}")
    if (config.generate is None) != (config.from_ is None):
        raise UserError("--generate N and --from FILE go together: give both or neither")
    for name in config.for_generate():
        if getattr(config, name) is not None and config.generate is None:
            raise UserError(f"--{name.rstrip('_')} needs --generate and --from FILE")
    if not config.resume and config.generate is None:  # otherwise the checkpoint sets the task
        config.make_task()
    exclusive = [
        option
        for option, given in (
            ("--resume", config.resume),
            ("--init-from", config.init_from),
            ("--generate", config.generate),
        )
        if given
    ]
    if len(exclusive) > 1:
        raise UserError(f"{' and '.join(exclusive)} contradict each other: give one of them")


def given_flags(
    config: type[Settings], script: Path, description: str, arguments: list[str] | None
) -> dict[str, Any]:
    """The settings given on the command line, without defaults.

    Raises:
        UserError: an unknown flag, or a value of the wrong type.
    """
    parser = _parser(config, script, description)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = [flag.option for flag in _flags(config)]
        close = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see --help"
        raise UserError(f"unknown argument {unknown[0]}: {hint}")
    found = vars(given)
    if "steps" in found and "epochs" in found:
        raise UserError("--steps and --epochs both say how long to train: give one of them")
    if config.excludes:
        name, value, other = config.excludes
        if found.get(name) == value and other in found:
            raise UserError(
                f"--{other} {found[other]} and --{name} {value} contradict each other: give one"
            )
    return found


def fill(config: type[ConfigType], given: dict[str, Any], earlier: dict[str, Any]) -> ConfigType:
    """A checked `Config`: `given` overrides `earlier`, which overrides the defaults.

    Args:
        config: the script's `Config`.
        given: settings from the command line.
        earlier: settings from a checkpoint.

    Raises:
        UserError: a value is not accepted, or differs from the checkpoint's where it may not.
    """
    fixed = (*IDENTITY, *config.architecture())
    known = {flag.name: flag for flag in _flags(config)}
    for name, value in earlier.items():
        if name not in known or not known[name].accepts(value):
            raise UserError(f"the checkpoint has a setting that is not accepted: {name} {value}")
    for name, value in given.items():
        if name in fixed and name in earlier and not _same(name, earlier[name], value):
            option = "--" + name.replace("_", "-")
            raise UserError(
                f"{option} {value}: the checkpoint was made with {earlier[name]}; leave {option} "
                "out, or start a new run"
            )
    given = earlier | given
    filled = config(**given)
    _check(filled)
    return filled


def _same(name: str, earlier: Any, value: Any) -> bool:
    """True if a setting is unchanged; a folder of pictures may have moved."""
    folders = name == "dataset" and earlier.startswith(FOLDER) and value.startswith(FOLDER)
    return folders or earlier == value
