"""The paired pictures of pix2pix' authors, such as facades and their label maps.

From http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/ (Isola, Zhu, Zhou, Efros 2016). No
checksums of these files are known, so the content of a download is checked instead.
"""

from __future__ import annotations

from pathlib import Path

from common.data import download, folder, pairs
from common.data.archive import AGAIN, UnfitError, unpack
from common.data.dataset import Dataset

URLS = (
    "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/",
    "https://people.eecs.berkeley.edu/~tinghuiz/projects/pix2pix/datasets/",
)
# The least number of training pictures in a download: nine tenths of the paper's.
LEAST = {
    "facades": 360,
    "maps": 980,
    "cityscapes": 2_670,
    "edges2shoes": 45_000,
    "edges2handbags": 123_000,
}
NAMES = tuple(LEAST)
PARTS = ("train", *pairs.TESTS)
MOST = 200_000  # pictures in an archive


def load(name: str, data_dir: Path, image_size: int, direction: str) -> Dataset:
    """One of `NAMES`: targets as images, sources as sources, both `uint8` (N, H, W, 3).

    A folder NAME that holds `train/`, and `test/` or `val/`, in `data_dir/NAME/` or `data_dir`, is
    used as it is. Otherwise NAME.tar.gz is unpacked, which is downloaded unless it lies in one of
    the two. Each picture holds image a on the left and image b on the right; both are resized by
    Lanczos. The test split is `test/`, or else `val/`.

    Args:
        name: of the data set.
        data_dir: the folder of data sets.
        image_size: side of the images in pixels.
        direction: `a2b` if the sources are images a, `b2a` if they are images b.

    Raises:
        UserError: the pictures can neither be found nor downloaded, or cannot be read.
    """
    parts = _find(name, data_dir)
    title = str(parts[0].parent)
    return pairs.load_parts(name, parts, image_size, direction, title, AGAIN)


def _find(name: str, data_dir: Path) -> tuple[Path, Path]:
    """The folders for training and for testing, downloaded and unpacked if needed."""
    home = data_dir / name
    places, archive = (home, data_dir), f"{name}.tar.gz"
    for place in places:
        if parts := pairs.find_parts(place / name):
            return parts
    target = home / name
    with download.into(home):
        if not target.is_dir():  # otherwise another run has made it
            _fill(target, name, [place / archive for place in places])
    parts = pairs.find_parts(target)
    if parts is None:
        raise UnfitError(target, "holds no train/, or neither test/ nor val/")
    return parts


def _fill(target: Path, name: str, archives: list[Path]) -> None:
    """Create the folder of the pictures from one of the archives, or from a download."""
    for archive in archives:
        if archive.is_file():
            unpack(archive, target, name, PARTS, PARTS[:1], MOST, _find_no_test)
            return
    archive = archives[0]

    def find_fault(part: Path) -> str | None:
        try:
            unpack(part, target, name, PARTS, PARTS[:1], MOST, lambda f: _find_fault(name, f))
        except UnfitError as error:
            return error.reason
        return None

    download.fetch([url + archive.name for url in URLS], archive, None, None, find_fault)
    archive.unlink()  # as large as the pictures


def _find_no_test(home: Path) -> str | None:
    """Check that an unpacked archive has a test split; return what is wrong, or None."""
    return None if pairs.find_parts(home) else "holds neither test/ nor val/"


def _find_fault(name: str, home: Path) -> str | None:
    """Check an unpacked download; return what is wrong, or None."""
    from tqdm import tqdm

    files = sorted(home.rglob("*.jpg"))
    count = 0
    for file in tqdm(files, desc=f"checking {name}", unit="file", delay=2, leave=False):
        try:
            width, height = size = folder.read_size(file)
        except Exception:  # Pillow raises many kinds of errors for broken files
            continue
        if not pairs.is_joined(size):
            return f"holds {file.relative_to(home)} of {width} x {height} pixels, which is no pair"
        count += file.parent.name == "train"
    if count < LEAST[name]:
        return f"holds {count} pictures for training, at least {LEAST[name]} are expected"
    return _find_no_test(home)
