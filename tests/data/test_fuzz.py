"""Files with anything in them: no error but the suite's own, nothing slow, large, or run.

Hypothesis changes files that are right, a few bytes or its structure, and makes others up. Here
10 000 are tried; QUARTET_FUZZ=500000 tries as many.
"""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image, features
from safetensors.numpy import save as serialize

from common.data import cifar10, folder, mnist, paired, unpaired
from common.data.archive import unpack
from common.data.inputs import read_inputs
from common.data.tasks import Segmentation
from common.errors import UserError
from common.run import Run, checkpoint, pretrained
from common.run.flags import Settings
from common.run.folder import RunFolder
from common.run.table import Table
from tests.support.little_run import SCRIPT, make_run, train
from tools.exercise.progress import Notes
from tools.exercise.sheet import HEADER, Sheet, choose, make

INPUTS = int(os.environ.get("QUARTET_FUZZ", "10000"))
PORTION = 2000  # that Hypothesis remembers at a time
SECONDS, BYTES = 5, 1 << 30  # the most that an input may take, of a processor and of memory
SCRATCH = Path("scratch")

# What no input may bring about; and nothing may be opened for writing outside of the folder.
FORBIDDEN = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.fork",
             "os.posix_spawn", "socket.connect", "ctypes.dlopen"}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Watch:
    """What happens while an input is read."""

    home: str = ""
    seen: list[str] | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is None:
            return
        if event in FORBIDDEN:
            self.seen.append(f"{event} {arguments}"[:200])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike):
                place = os.path.realpath(os.fsdecode(path))
                if place != os.devnull and not place.startswith(self.home + os.sep):
                    self.seen.append(f"opened {place} to write")

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        self.home, self.seen = os.path.realpath(SCRATCH), []
        try:
            yield self.seen
        finally:
            self.seen = None


WATCH = Watch()
sys.addaudithook(WATCH)  # it stays, and looks on only while an input is read


# Inputs.

INTERESTING = b'\0\1\2\7\x08\t\n\r\x1f "-./0:\\{\x7f\x80\xfe\xff'
WHOLES = [0, 1, 2, 255, 256, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
WORDS = [
    *(b"NaN", b"Infinity", b"null", b"true", b'""', b"[]", b"{}", b"-1", b"1e999", b"9" * 400),
    *(b"[" * 3000, b"../", b"/etc/passwd", b"\0", b"\xff\xfe", b"\r\n", b"%s", b"$\\x{$"),
]

edits = st.tuples(
    st.sampled_from([*3 * ["set", "flip", "whole"], "word", "cut", "copy", "end"]),
    st.floats(0, 1, exclude_max=True),  # where
    st.integers(0, 1 << 16),  # what
    st.integers(1, 64),  # how many
)


def edit(data: bytearray, how: str, where: float, what: int, count: int) -> None:
    """Change bytes in one of seven ways."""
    # Half of the places are in the beginning, where headers are.
    near = min(len(data), 64) if what % 2 else len(data)
    place = int(where * near)
    if how == "set":
        data[place : place + 1] = bytes([INTERESTING[what % len(INTERESTING)]])
    elif how == "flip" and data:
        data[place] ^= 1 << what % 8
    elif how == "whole":
        order: Any = "big" if what % 3 else "little"
        value = WHOLES[what % len(WHOLES)]
        size = (2, 4, 8)[count % 3]
        data[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, order)
    elif how == "word":
        data[place : place + count % 5] = WORDS[what % len(WORDS)]
    elif how == "cut":
        del data[place : place + count]
    elif how == "copy":
        data[place:place] = data[place : place + count]
    elif how == "end":
        del data[place:]


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of some files, changed in up to four ways."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for each in draw(st.lists(edits, max_size=4)):
        edit(data, *each)
    return bytes(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=6,
)


@st.composite
def exchanged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A JSON object, one or two of whose values, or of its settings, are others."""
    told = json.loads(seeds[0])
    for _ in range(draw(st.integers(1, 2))):
        place = told["config"] if draw(st.booleans()) and "config" in told else told
        if isinstance(place, dict):
            place[draw(st.sampled_from([*place, "alien"]))] = draw(values)
    return json.dumps(told).encode()


@dataclass(frozen=True)
class Reader:
    """Something that reads files of strangers.

    Attributes:
        seeds: files that are right.
        read: reads one that is in `SCRATCH / "input"`; a UserError is an answer.
        wrap: makes a file of what is changed.
        share: of all inputs, beside the others.
        change: makes inputs of the seeds.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    wrap: Callable[[bytes], bytes] = bytes
    share: float = 1
    change: Callable[[list[bytes]], st.SearchStrategy[bytes]] = changed


def draw_pictures() -> list[bytes]:
    """A small picture in every format, and in odd modes."""
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    deep = Image.fromarray(random.integers(0, 1 << 16, (9, 12), np.uint16))
    exif = Image.Exif()
    exif[folder.EXIF_ORIENTATION] = 6
    found = []

    def save(picture: Image.Image, form: str, **more: Any) -> None:
        file = io.BytesIO()
        picture.save(file, form, **more)
        found.append(file.getvalue())

    for form in folder.FORMATS:
        if form not in Image.SAVE or (form == "AVIF" and not features.check("avif")):
            continue
        save(colour, form)
    save(colour, "JPEG", progressive=True, exif=exif)
    save(colour, "TIFF", compression="tiff_lzw", exif=exif)
    save(colour, "TIFF", compression="jpeg")
    save(colour.convert("1"), "TIFF", compression="group4")
    save(colour.convert("P"), "PNG", transparency=3)
    save(colour.convert("LA"), "PNG")
    save(deep, "PNG")
    save(deep, "TIFF")
    save(colour, "GIF", save_all=True, append_images=[colour.rotate(90)], duration=9)
    save(colour, "WEBP", save_all=True, append_images=[colour.rotate(90)], duration=9)
    return found


def read_picture(path: Path) -> None:
    """In a folder beside one that is right, and alone, as a photo and as a mask."""
    home = path.parent / "pictures"
    home.mkdir(exist_ok=True)
    os.replace(path, home / "stranger")
    if not (home / "good.png").exists():
        Image.new("RGB", (4, 4)).save(home / "good.png")
    assert len(folder.load(str(home), 8).train)
    read_inputs(str(home / "stranger"), 8, Segmentation().read_input)


def idx() -> list[bytes]:
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (2, 3, 4))
    return [header + bytes(range(24))]


def batches() -> list[bytes]:
    return [bytes(2 * cifar10.RECORD), bytes([9]) + bytes(range(256)) * 12]


def read_batch(path: Path) -> None:
    home = path.parent / "cifar10" / cifar10.FOLDER
    home.mkdir(parents=True, exist_ok=True)
    os.replace(path, home / cifar10.TRAIN[0])
    (home / cifar10.TEST).write_bytes(bytes(cifar10.RECORD))
    cifar10.load(path.parent)


def tar() -> list[bytes]:
    """The batches, and the batches with what no archive should have."""
    alien = [
        (tarfile.SYMTYPE, "link", "/etc/passwd"),
        (tarfile.LNKTYPE, "hard", f"{cifar10.FOLDER}/{cifar10.TEST}"),
        (tarfile.CHRTYPE, "device", ""),
        (tarfile.DIRTYPE, "folder", ""),
        (tarfile.REGTYPE, f"{cifar10.FOLDER}/../../evil", ""),
    ]
    found = []
    for more in ([], alien):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for batch in (*cifar10.TRAIN, cifar10.TEST):
                member = tarfile.TarInfo(f"{cifar10.FOLDER}/{batch}")
                member.size = 10
                archive.addfile(member, io.BytesIO(bytes(10)))
            for kind, name, target in more:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, target
                archive.addfile(member)
        found.append(file.getvalue())
    return found


def into(name: str, unpack: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """Unpack an archive into a folder; nothing else may be there afterwards."""

    def read(path: Path) -> None:
        folder = path.parent / name
        try:
            unpack(path, folder)
        finally:
            left = {p.name for p in path.parent.iterdir()} - {path.name, name}
            assert not left, left
            shutil.rmtree(folder, ignore_errors=True)

    return read


def zipped() -> list[bytes]:
    """The photos, alone and with names that lead out of the folder."""
    found = []
    for more in ([], ["horse2zebra/trainA/../../../evil.jpg", "/tmp/evil.jpg"]):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in [*(f"horse2zebra/{part}/one.jpg" for part in unpaired.PARTS), *more]:
                archive.writestr(name, b"x")
        found.append(file.getvalue())
    return found


def unpack_photos(path: Path, folder: Path) -> None:
    unpack(path, folder, "horse2zebra", unpaired.PARTS)


def paired_tar() -> list[bytes]:
    """Pictures, alone and with what no archive should have, and with what long names bring."""
    found = []
    names = [f"facades/{part}/one.jpg" for part in paired.PARTS]
    for more, kind in (
        ([], tarfile.GNU_FORMAT),
        (["facades/train/../../../evil.jpg", "/tmp/evil.jpg"], tarfile.GNU_FORMAT),
        ([f"facades/{150 * 'a'}.jpg"], tarfile.GNU_FORMAT),
        ([f"facades/{150 * 'é'}.jpg"], tarfile.PAX_FORMAT),
    ):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
            for name in [*more, *names]:
                member = tarfile.TarInfo(name)
                member.size = 1
                archive.addfile(member, io.BytesIO(b"x"))
            link = tarfile.TarInfo("facades/train/link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        found.append(file.getvalue())
    return found


def unpack_pairs(path: Path, folder: Path) -> None:
    path = path.rename(path.with_name("pairs.tar.gz"))
    try:
        unpack(path, folder, "facades", paired.PARTS, ("train",))
    finally:
        path.unlink()


def backbones() -> list[bytes]:
    weights = np.ones((2, 3, 3, 3), np.float32)
    return [serialize({f"{prefix}conv1.weight": weights}) for prefix in ("", "backbone.")]


def of_run(name: str) -> Callable[[], list[bytes]]:
    """A file of a run, which is left in `SCRATCH`."""

    def lay() -> list[bytes]:
        train(*make_run("--steps 1"))
        os.rename("run", SCRATCH / "run")
        return [next((SCRATCH / "run").glob(name)).read_bytes()]

    return lay


def read_config(path: Path) -> None:
    os.replace(path, path.parent / "run" / "config.json")
    RunFolder(path.parent / "run").read_config()


def read_metrics(path: Path) -> None:
    table = Table(path)
    table.cut(1)
    columns = table.read()
    assert not columns or "step" in columns


def read_state(path: Path) -> None:
    """Go on with a run, from the state of a stranger's."""
    os.replace(path, path.parent / "run" / "optimizer-1.safetensors")
    try:
        make_run(f"--resume --steps 2 --out {path.parent / 'run'}")
    finally:
        gc.collect()  # the lock


def sheets() -> list[bytes]:
    return [make(choose("gan", "pytorch", level, None), "en").encode() for level in (1, 3)]


def read_sheet(path: Path) -> None:
    sheet = Sheet.read(path)
    assert HEADER.fullmatch(sheet.text.splitlines()[0].strip())
    with suppress(SyntaxError):
        sheet.untouched()


def notes() -> list[bytes]:
    return [b'{"text": "0", "solved": true, "right": 3, "wrong": ["a"], "hints": {"a": 1}}']


def read_notes(path: Path) -> None:
    file = path.with_name("gan.py")
    os.replace(path, Notes.of(file).path)
    assert Notes.of(file).hints is not None


def flags() -> list[bytes]:
    names = [f"--{name.rstrip('_').replace('_', '-')}" for name in Settings.__annotations__]
    lines = [f"{name} 1" for name in names if name not in ("--task", "--size-multiple")]
    return [line.encode() for line in [*lines, "--dataset digits --resume", "--out x --generate"]]


def read_flags(path: Path) -> None:
    """As a command line, in an empty folder."""
    words = path.read_bytes().decode("utf-8", "surrogateescape").split()
    words = ["--dataset", "digits", "--image-size", "8", *words]
    with suppress(SystemExit):  # --help
        Run(Settings, SCRIPT, "A model.", words)


def with_header(data: bytes) -> bytes:
    """A safetensors file whose header has been changed, its length set right."""
    size = int.from_bytes(data[:8], "little")
    end = data.rfind(b"}}", 8) + 2 if b"}}" in data[8:] else 8 + size
    while data[end : end + 1] == b" ":  # so that tensors begin at multiples of eight
        end += 1
    return max(0, end - 8).to_bytes(8, "little") + data[8:]


def entries() -> list[bytes]:
    """What a checkpoint says of itself."""
    of_run("ch*.safetensors")()
    metadata = checkpoint.load(SCRATCH / "run" / "checkpoint.safetensors").metadata
    return [json.dumps(metadata).encode()]


def with_entries(data: bytes) -> bytes:
    """A checkpoint with such entries."""
    try:
        told = {name: json.dumps(value) for name, value in json.loads(data).items()}
    except (ValueError, AttributeError, RecursionError):  # nothing at all
        told = {"model": '"gan"', "config": data.decode(errors="replace")}
    return serialize({"net.w": np.zeros(3)}, {"format": checkpoint.FORMAT, **told})


def read_entries(path: Path) -> None:
    make_run(f"--generate 1 --from {path} --out {path.parent / 'drawn'}")


READERS = {
    "picture": Reader(draw_pictures, read_picture, share=4),
    "idx": Reader(idx, lambda path: mnist.read_idx(path, 3)),
    "idx in gzip": Reader(lambda: [gzip.compress(b) for b in idx()],
                          lambda path: mnist.read_idx(path, 3)),
    "batch": Reader(batches, read_batch),
    "tar": Reader(tar, into("unpacked", cifar10.unpack),
                  lambda data: gzip.compress(data, 1)),
    "tar in gzip": Reader(lambda: [gzip.compress(b) for b in tar()],
                          into("unpacked", cifar10.unpack)),
    "zip": Reader(zipped, into("horse2zebra", unpack_photos)),
    "pairs": Reader(paired_tar, into("facades", unpack_pairs), lambda data: gzip.compress(data, 1)),
    "pairs in gzip": Reader(lambda: [gzip.compress(b) for b in paired_tar()],
                            into("facades", unpack_pairs)),
    "checkpoint": Reader(of_run("ch*.safetensors"), checkpoint.load),
    "header": Reader(of_run("ch*.safetensors"), checkpoint.load, with_header),
    "entries": Reader(entries, read_entries, with_entries, change=exchanged),
    "weights": Reader(backbones, lambda path: pretrained.load(str(path), None)),
    "config": Reader(of_run("config.json"), read_config),
    "metrics": Reader(of_run("metrics.csv"), read_metrics),
    "state": Reader(of_run("optimizer-1*"), read_state, with_header, 0.1),
    "exercise": Reader(sheets, read_sheet),
    "notes": Reader(notes, read_notes),
    "flags": Reader(flags, read_flags, share=0.5),
}  # fmt: skip


@dataclass
class Tally:
    """What has been read, and what that took at most."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0
    used: int = 0


def read(reader: Reader, data: bytes, tally: Tally) -> None:
    """Read an input, and look at what that took."""
    path = SCRATCH / "input"
    path.write_bytes(data)
    before, started = peak(reset=True), time.process_time()
    with WATCH.watching() as seen, redirect_stderr(io.StringIO()):
        try:
            reader.read(path)
            tally.accepted += 1
        except UserError:
            tally.refused += 1
    seconds, used = time.process_time() - started, peak() - before
    tally.seconds, tally.used = max(tally.seconds, seconds), max(tally.used, used)
    assert seen == []
    assert seconds < SECONDS, f"{seconds:.1f} seconds"
    assert used < BYTES, f"{used / 1e6:.0f} MB"
    if path.exists():
        path.unlink()


def peak(reset: bool = False) -> int:
    """Bytes of memory that the process has had at most, since this was last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is asked of Linux")
@pytest.mark.parametrize("name", READERS)
def test_anything_is_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    count = round(INPUTS / sum(each.share for each in READERS.values()) * reader.share)
    tally = Tally()
    with chdir(tmp_path):
        SCRATCH.mkdir()
        seeds = reader.seeds()
        with suppress(UserError):  # what is imported when it is needed is no input's fault
            (SCRATCH / "input").write_bytes(reader.wrap(seeds[0]))
            reader.read(SCRATCH / "input")
        for start in range(0, count, PORTION):

            @seed(start)
            @settings(
                max_examples=min(PORTION, count - start),
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )
            @given(reader.change(seeds))
            def look(data: bytes) -> None:
                read(reader, reader.wrap(data), tally)

            look()
        random = np.random.default_rng(count)
        for _ in range(count // 20):  # and what is nothing at all
            read(reader, random.bytes(int(random.integers(200))), tally)
    print(f"{name}: {tally}")
    assert tally.accepted
    assert tally.refused or name == "notes"  # damaged ones are as none
