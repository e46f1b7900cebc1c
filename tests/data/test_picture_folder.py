"""Folders of the user's own pictures: any size, mode and orientation, and files of other kinds."""

import os

import numpy as np
import pytest
from PIL import Image

from common import data
from common.data import folder
from common.errors import UserError


def load(path, size=16):
    return data.load(f"folder:{path}", image_size=size)


def write(path, colour=(200, 100, 50), size=(20, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def near(image, colour, most=3):
    return np.abs(image.astype(int) - np.array(colour)).max() <= most


def all_images(dataset):
    return np.concatenate([dataset.train.images, dataset.test.images])


def test_sub_folders_are_classes(tmp_path, capsys):
    for number in range(3):
        write(tmp_path / "cats" / f"{number}.png", (250, 0, 0))
        write(tmp_path / "dogs" / "deep" / f"{number}.jpg", (0, 0, 250), quality=95)
    dataset = load(tmp_path)
    assert dataset.name == f"folder:{tmp_path}"
    assert dataset.class_names == ("cats", "dogs")
    assert dataset.image_shape == (16, 16, 3)
    assert not dataset.augment
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        for image, label in zip(split.images, split.labels, strict=True):
            assert near(image, ((250, 0, 0), (0, 0, 250))[label])
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    said = capsys.readouterr().err
    assert said.endswith("4 training and 2 test pictures; classes: cats, dogs\n")
    assert "left out" not in said


@pytest.mark.parametrize(
    ("train", "test"), [("train", "val"), ("Training", "validation"), ("train", "test")]
)
def test_folders_named_for_splits_are_splits(tmp_path, capsys, train, test):
    for name, colour in (("ants", (250, 0, 0)), ("bees", (0, 0, 250))):
        for number in range(4):
            write(tmp_path / train / name / f"{number}.png", colour)
        write(tmp_path / test / name / "a.png", colour)
    dataset = load(tmp_path)
    assert dataset.class_names == ("ants", "bees")
    assert dataset.train.labels.tolist() == [0] * 4 + [1] * 4
    assert dataset.test.labels.tolist() == [0, 1]
    assert near(dataset.test.images[1], (0, 0, 250))
    said = capsys.readouterr().err
    assert f"folder:{tmp_path}: {train} and {test} are its splits\n" in said
    assert "8 training and 2 test pictures; classes: ants, bees\n" in said


def test_a_folder_with_training_pictures_alone(tmp_path):
    for name in ("ants", "bees"):
        for number in range(10):
            write(tmp_path / "train" / name / f"{number}.png")
    dataset = load(tmp_path)
    assert dataset.class_names == ("ants", "bees")
    assert dataset.test.labels.tolist() == [0, 1]


def test_a_split_without_classes_is_not_tested_on(tmp_path, capsys):
    """As in competitions, which keep the classes of `test/` to themselves."""
    for name in ("ants", "bees"):
        write(tmp_path / "train" / name / "a.png")
        write(tmp_path / "val" / name / "b.png")
    write(tmp_path / "test" / "unknown.png")
    dataset = load(tmp_path)
    assert dataset.class_names == ("ants", "bees")
    assert dataset.test.labels.tolist() == [0, 1]
    assert "train and val are its splits; test/ left out" in capsys.readouterr().err


def test_splits_inside_of_classes_are_warned_of(tmp_path, capsys):
    for name in ("ants", "bees"):
        for part in ("train", "val"):
            write(tmp_path / name / part / "a.png")
    assert load(tmp_path).class_names == ("ants", "bees")
    assert "each holds the same sub-folders, train, val" in capsys.readouterr().err


def test_folders_that_systems_make_are_no_classes(tmp_path):
    for number in range(2):
        write(tmp_path / "cats" / f"{number}.png")
    write(tmp_path / "__MACOSX" / "a.png")
    write(tmp_path / "@eaDir" / "a.png")
    write(tmp_path / ".ipynb_checkpoints" / "a.png")
    (tmp_path / "cats" / "Thumbs.db").write_bytes(b"x")
    assert load(tmp_path).class_names == ("cats",)


def test_each_class_is_tested(tmp_path, capsys):
    for name, count in (("ants", 3), ("bees", 40), ("cats", 4), ("dogs", 1)):
        for number in range(count):
            write(tmp_path / name / f"{number:02d}.png")
    dataset = load(tmp_path)
    assert np.bincount(dataset.test.labels, minlength=4).tolist() == [1, 4, 1, 0]
    assert np.bincount(dataset.train.labels).tolist() == [2, 36, 3, 1]
    assert "no figure is of dogs: a class needs two pictures" in capsys.readouterr().err


def test_no_sub_folders_are_one_class(tmp_path):
    for number in range(3):
        write(tmp_path / "birds" / f"{number}.png")
    assert load(tmp_path / "birds").class_names == ("birds",)
    assert load(f"{tmp_path}/birds/").class_names == ("birds",)


def test_loose_pictures_beside_sub_folders(tmp_path):
    write(tmp_path / "pets" / "loose.png", (0, 250, 0))
    write(tmp_path / "pets" / "cats" / "a.png", (250, 0, 0))
    (tmp_path / "pets" / "empty").mkdir()
    dataset = load(tmp_path / "pets")
    assert dataset.class_names == ("cats", "pets")
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    for image, label in zip(all_images(dataset), labels, strict=True):
        assert near(image, ((250, 0, 0), (0, 250, 0))[label])


@pytest.mark.parametrize(
    ("count", "train", "test"), [(1, 1, 1), (2, 1, 1), (9, 8, 1), (10, 9, 1), (25, 23, 2)]
)
def test_split(tmp_path, count, train, test):
    for number in range(count):
        write(tmp_path / f"{number:02d}.png", (number, 0, 0))
    dataset = load(tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    seen = np.unique(all_images(dataset)[:, 0, 0, 0])
    assert seen.tolist() == list(range(count))
    assert load(tmp_path).fingerprint() == dataset.fingerprint()


def test_default_size_and_multiple(tmp_path):
    write(tmp_path / "a.png")
    assert data.load(f"folder:{tmp_path}").image_shape == (64, 64, 3)
    assert data.load(f"folder:{tmp_path}", multiple=48).image_shape == (96, 96, 3)


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (20, 20), (1, 7), (500, 499)])
def test_central_square(tmp_path, size):
    """Green square in the middle, red around it: the red is cropped away."""
    picture = Image.new("RGB", size, (250, 0, 0))
    side = min(size)
    corner = ((size[0] - side) // 2, (size[1] - side) // 2)
    picture.paste((0, 250, 0), (*corner, corner[0] + side, corner[1] + side))
    picture.save(tmp_path / "a.png")
    assert near(load(tmp_path).train.images[0], (0, 250, 0))


def modes():
    """Pictures of one colour in every mode, and what they are in RGB."""
    grey = np.full((20, 20), 128, np.uint8)
    yield "L.png", Image.fromarray(grey), (128, 128, 128)
    yield "1.png", Image.fromarray(grey > 0), (255, 255, 255)
    yield "I16.png", Image.fromarray(np.full((20, 20), 128 * 257, np.uint16)), (128, 128, 128)
    yield "I16.tif", Image.fromarray(np.full((20, 20), 128 * 257, np.uint16)), (128, 128, 128)
    yield "I.tif", Image.fromarray(np.full((20, 20), 65535, np.int32)), (255, 255, 255)
    yield "F.tif", Image.fromarray(np.full((20, 20), 0.5, np.float32)), (128, 128, 128)
    yield "I.pgm", Image.fromarray(np.full((20, 20), 100 * 257, np.int32)), (100, 100, 100)
    yield "LA.png", Image.merge("LA", [Image.new("L", (20, 20), v) for v in (0, 51)]), (204,) * 3
    yield "RGBA.png", Image.new("RGBA", (20, 20), (255, 0, 0, 51)), (255, 204, 204)
    yield "clear.webp", Image.new("RGBA", (20, 20), (255, 0, 0, 0)), (255, 255, 255)
    yield "P.png", Image.new("RGB", (20, 20), (10, 200, 30)).quantize(4), (10, 200, 30)
    yield "P.gif", Image.new("RGB", (20, 20), (10, 200, 30)).quantize(4), (10, 200, 30)
    yield "CMYK.jpg", Image.new("CMYK", (20, 20), (0, 255, 255, 0)), (255, 0, 0)
    yield "CMYK.tif", Image.new("CMYK", (20, 20), (255, 0, 255, 0)), (0, 255, 0)
    yield "YCbCr.jpg", Image.new("RGB", (20, 20), (9, 99, 199)).convert("YCbCr"), (9, 99, 199)


@pytest.mark.parametrize(("name", "picture", "colour"), [*modes()], ids=[m[0] for m in modes()])
def test_modes(tmp_path, capsys, name, picture, colour):
    picture.save(tmp_path / name)
    assert near(load(tmp_path).train.images[0], colour)
    assert "left out" not in capsys.readouterr().err


def test_transparent_palette(tmp_path):
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png", transparency=1)
    assert near(load(tmp_path).train.images[0], (255, 255, 255))


def test_big_endian_16_bits(tmp_path):
    ramp = np.linspace(0, 65535, 400).reshape(20, 20).astype(">u2")
    Image.frombytes("I;16B", (20, 20), ramp.tobytes()).save(tmp_path / "a.tif")
    image = load(tmp_path, size=20).train.images[0]
    assert near(image[..., 0], ramp / 257, 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_few_bits_in_16(tmp_path, bits):
    """As microscopes write them."""
    ramp = np.linspace(0, 2**bits - 1, 400).reshape(20, 20).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    image = load(tmp_path, size=20).train.images[0]
    assert near(image[..., 0], np.linspace(0, 255, 400).reshape(20, 20), 1)


@pytest.mark.parametrize(("icon", "ground"), [(255, 0), (0, 255), (128, 255)])
def test_an_icon_is_seen_on_its_ground(tmp_path, icon, ground):
    alpha = Image.new("L", (20, 20), 0)
    alpha.paste(255, (5, 5, 15, 15))
    grey = Image.new("L", (20, 20), icon)
    Image.merge("LA", (grey, alpha)).save(tmp_path / "a.png")
    image = load(tmp_path, size=20).train.images[0]
    assert near(image[10, 10], (icon,) * 3)
    assert near(image[0, 0], (ground,) * 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([90, 90], "every picture is of one colour"),
        ([10, 200], "every picture is of one colour"),
        ([90], "every picture is of one colour"),
    ],
)
def test_pictures_that_show_nothing(tmp_path, capsys, values, said):
    for number, value in enumerate(values):
        write(tmp_path / f"{number}.png", (value,) * 3)
    load(tmp_path)
    assert f"warning: folder:{tmp_path}: {said}" in capsys.readouterr().err


def test_pictures_that_are_alike_or_pale(tmp_path, capsys):
    ramp = np.linspace(100, 140, 400).reshape(20, 20).astype(np.uint8)
    for number in range(3):
        Image.fromarray(ramp).save(tmp_path / f"{number}.png")
    load(tmp_path)
    assert "all 3 pictures are the same" in capsys.readouterr().err
    Image.fromarray(ramp[::-1]).save(tmp_path / "3.png")
    load(tmp_path)
    assert "pixels are between 100 and 140 of 0 to 255" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """However the camera was held, the red corner is at the top left."""
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16, :16] = (250, 0, 0)
    upright[:16, 16:] = (0, 250, 0)
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = load(tmp_path, size=8).train.images[0]
    assert near(image[1, 1], (250, 0, 0), 12)
    assert near(image[1, 6], (0, 250, 0), 12)
    assert near(image[6, 1], (0, 0, 0), 12)


def test_what_is_no_picture_is_named(tmp_path, capsys):
    for number in range(2):
        write(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "deep").mkdir()
    for number in range(3):
        (tmp_path / "deep" / f"{number}.json").write_text("{}")
    dataset = load(tmp_path)
    assert len(all_images(dataset)) == 2
    assert dataset.class_names == (tmp_path.name,)
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {tmp_path}: 5 files are not pictures")
    assert "empty.jpg, notes.txt, " in warning
    assert warning.count("left out") == 1


def test_broken_pictures_are_named(tmp_path, capsys):
    write(tmp_path / "good.png")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    for name in ("cut.png", "cut.jpg", "cut.webp", "cut.tif", "cut.gif"):
        Image.fromarray(noise).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert len(load(tmp_path).train) == 1
    warning = capsys.readouterr().err
    assert "5 files cannot be read" in warning
    assert "cut.gif (" in warning


def test_only_broken_or_no_pictures(tmp_path):
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(UserError, match=r"no readable picture in it \(1 other files, .* a.txt"):
        load(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no readable picture"):
        load(tmp_path)


def test_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "none")
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "file")
    with pytest.raises(UserError, match="no such folder"):
        load("")


def test_size_is_checked(tmp_path):
    write(tmp_path / "a.png")
    with pytest.raises(UserError, match="multiple of 16; the nearest: 16 or 32"):
        data.load(f"folder:{tmp_path}", image_size=24, multiple=16)


def test_hidden_files_are_left_out(tmp_path, capsys):
    write(tmp_path / "a.png")
    write(tmp_path / ".hidden.png")
    write(tmp_path / ".thumbnails" / "b.png")
    assert len(load(tmp_path).train) == 1
    assert "left out" not in capsys.readouterr().err


def test_links(tmp_path, capsys):
    """Linked pictures and folders count; circles end; links to nothing are named."""
    write(tmp_path / "elsewhere" / "b.png")
    home = tmp_path / "home"
    write(home / "cats" / "a.png")
    try:
        (home / "cats" / "circle").symlink_to(home, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets this user make no links")
    (home / "dogs").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (home / "dangling.png").symlink_to(tmp_path / "none")
    dataset = load(home)
    assert dataset.class_names == ("cats", "dogs")
    assert len(dataset.train) == 2
    assert "1 file cannot be read and was left out: dangling.png" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_does_not_block(tmp_path, capsys):
    write(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert len(load(tmp_path).train) == 1
    assert "pipe.png" in capsys.readouterr().err


def test_decompression_bomb_is_not_unpacked(tmp_path, capsys):
    write(tmp_path / "a.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")  # 50 kB; 1.2 GB as RGB
    assert len(load(tmp_path).train) == 1
    assert "bomb.png (" in capsys.readouterr().err


def test_a_picture_that_is_too_large_is_left_out(tmp_path, capsys):
    write(tmp_path / "a.png")
    Image.new("1", (13_000, 13_000)).save(tmp_path / "large.png")
    assert len(load(tmp_path).train) == 1
    assert "large.png (169 megapixels, at most 100)" in capsys.readouterr().err


def test_a_picture_that_is_too_long_is_left_out(tmp_path, capsys):
    Image.new("1", (70_000, 2)).save(tmp_path / "long.png")
    Image.new("L", (4, 4)).save(tmp_path / "right.png")
    assert len(folder.load(str(tmp_path), 4).train) == 1
    assert "long.png (a side of 70000 pixels, at most 65535)" in capsys.readouterr().err


def test_other_programs_are_not_run(tmp_path, capsys):
    """Pillow would hand an EPS file to Ghostscript."""
    write(tmp_path / "a.png")
    write(tmp_path / "b.eps")
    assert len(load(tmp_path).train) == 1
    assert "b.eps" in capsys.readouterr().err


def test_large_photo_is_read_as_well_as_a_small_one(tmp_path):
    """JPEG is decoded at a fraction of its size; that must not shift or change the picture."""
    ramp = np.linspace(0, 255, 2048).astype(np.uint8)
    photo = np.broadcast_to(ramp[None, :, None], (2048, 2048, 3))
    Image.fromarray(np.ascontiguousarray(photo)).save(tmp_path / "a.jpg", quality=95)
    image = folder.read(tmp_path / "a.jpg", 16)
    expected = (np.arange(16) + 0.5) * 255 / 16
    assert np.abs(image[8, :, 0] - expected).max() < 3
