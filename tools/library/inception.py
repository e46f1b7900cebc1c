"""Inception-v3 as the Fréchet inception distance uses it: images to 2048 features, in PyTorch.

The network, and how images are resized and scaled for it, are those of the TensorFlow graph of
2015-12-05 that published distances are measured with. It departs from the paper: average pools
leave their padding out of the mean, and the last block pools the largest number, not the mean.

Szegedy et al. (2015), Rethinking the Inception architecture, https://arxiv.org/abs/1512.00567
Heusel et al. (2017), GANs trained by a two time-scale update rule, https://arxiv.org/abs/1706.08500
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import torch
from torch import nn
from torch.nn import functional as F

from common.data import download
from common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FILE = "pt_inception-2015-12-05-6726825d.pth"
MIRRORS = ("https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/",)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIDE = 299  # pixels of the images that the network sees
FEATURES = 2048
CLASSES = 1008  # of the layer behind the features, which is in the file and not used
PORTION = 32  # images at once

# N batch, C channels, H height, W width


class Conv(nn.Module):
    """Convolution, batch norm, ReLU; `size` and `padding` are (height, width) or both."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


Row7 = partial(Conv, size=(1, 7), padding=(0, 3))
Column7 = partial(Conv, size=(7, 1), padding=(3, 0))
Row3 = partial(Conv, size=(1, 3), padding=(0, 1))
Column3 = partial(Conv, size=(3, 1), padding=(1, 0))


def mean_pool(x: Tensor) -> Tensor:
    """The mean of 3 x 3 pixels around each; at the border, of those that are there."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(nn.Module):
    """Branches of 1, 5 and twice 3 pixels: (N, C, H, W) -> (N, 224 + pooled, H, W)."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(inputs, 64, 1)
        self.branch5x5_1 = Conv(inputs, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch1x1(x), five, double, self.branch_pool(mean_pool(x))), 1)


class BlockB(nn.Module):
    """Half the size: (N, C, H, W) -> (N, C + 480, H / 2, W / 2), rounded down."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)), 1)


class BlockC(nn.Module):
    """Rows and columns of 7 pixels: (N, C, H, W) -> (N, 768, H, W)."""

    def __init__(self, inputs: int, middle: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(inputs, 192, 1)
        self.branch7x7_1 = Conv(inputs, middle, 1)
        self.branch7x7_2 = Row7(middle, middle)
        self.branch7x7_3 = Column7(middle, 192)
        self.branch7x7dbl_1 = Conv(inputs, middle, 1)
        self.branch7x7dbl_2 = Column7(middle, middle)
        self.branch7x7dbl_3 = Row7(middle, middle)
        self.branch7x7dbl_4 = Column7(middle, middle)
        self.branch7x7dbl_5 = Row7(middle, 192)
        self.branch_pool = Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), seven, double, self.branch_pool(mean_pool(x))), 1)


class BlockD(nn.Module):
    """Half the size: (N, C, H, W) -> (N, C + 512, H / 2, W / 2), rounded down."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = Conv(inputs, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(inputs, 192, 1)
        self.branch7x7x3_2 = Row7(192, 192)
        self.branch7x7x3_3 = Column7(192, 192)
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat((three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)), 1)


class BlockE(nn.Module):
    """Branches that fork into rows and columns of 3 pixels: (N, C, H, W) -> (N, 2048, H, W)."""

    def __init__(self, inputs: int, largest: bool) -> None:
        super().__init__()
        self.largest = largest  # pool the largest number, not the mean
        self.branch1x1 = Conv(inputs, 320, 1)
        self.branch3x3_1 = Conv(inputs, 384, 1)
        self.branch3x3_2a = Row3(384, 384)
        self.branch3x3_2b = Column3(384, 384)
        self.branch3x3dbl_1 = Conv(inputs, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Row3(384, 384)
        self.branch3x3dbl_3b = Column3(384, 384)
        self.branch_pool = Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.largest else mean_pool(x)
        branches = (
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        )
        return torch.cat(branches, 1)


class Inception(nn.Module):
    """Images of 299 pixels to their features: (N, 3, 299, 299) in [-1, 1) -> (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, largest=False)
        self.Mixed_7c = BlockE(2048, largest=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)  # (N, 64, 73, 73)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)  # (N, 192, 35, 35)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6b(self.Mixed_6a(x))  # (N, 768, 17, 17)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(x)))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean((2, 3))


def resizing(size: int) -> np.ndarray:
    """The matrix (299, `size`) that resizes a column of pixels, as TensorFlow 1 does.

    Bilinear: pixel i of the result lies at i * `size` / 299, between two pixels of the image.
    Neither the corners nor the middles of the corner pixels are aligned; later versions of
    TensorFlow, and PyTorch, align the edges of the images, and give other features.
    """
    places = np.arange(SIDE, dtype=np.float32) * np.float32(size / SIDE)
    before = places.astype(int)
    after = np.minimum(before + 1, size - 1)
    share = places - before
    matrix = np.zeros((SIDE, size), np.float32)
    np.add.at(matrix, (np.arange(SIDE), before), 1 - share)
    np.add.at(matrix, (np.arange(SIDE), after), share)
    return matrix


def preprocess(images: np.ndarray, device: torch.device) -> Tensor:
    """Images as the network sees them: (N, H, W, 1 or 3) of 0 to 255 -> (N, 3, 299, 299)."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device).movedim(-1, 1).float()
    down, right = (torch.from_numpy(resizing(size)).to(device) for size in x.shape[2:])
    x = down @ x @ right.T
    return ((x - 128) / 128).expand(-1, 3, -1, -1)


def extract(network: Inception, images: np.ndarray) -> np.ndarray:
    """The features of `uint8` images (N, H, W, 1 or 3): `float32`, (N, 2048)."""
    device = network.fc.weight.device
    features = np.empty((len(images), FEATURES), np.float32)
    network.eval()
    with torch.no_grad(), tqdm(total=len(images), unit="image", delay=2, leave=False) as bar:
        for start in range(0, len(images), PORTION):
            part = slice(start, start + PORTION)
            x = preprocess(images[part], device)
            features[part] = network(x).cpu().numpy()
            bar.update(len(x))
    return features


def load(data_dir: Path) -> Inception:
    """The network with its weights, on a GPU if there is one.

    Args:
        data_dir: where the file of weights lies, in `inception/` or at the top; else it is
            downloaded to `inception/`.

    Raises:
        UserError: the file can neither be found nor downloaded, or is not the one expected.
    """
    home = data_dir / "inception"
    path = next((p / FILE for p in (home, data_dir) if (p / FILE).is_file()), home / FILE)
    if not path.exists():
        with download.into(home):
            if not path.exists():
                urls = [mirror + FILE for mirror in MIRRORS]
                download.fetch(urls, path, f"sha256:{SHA256}")
    network = Inception()
    network.load_state_dict(read_weights(path, network.state_dict()))
    network.requires_grad_(False)
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False  # ten bits of a number are too few here
        network.cuda()
    return network


def read_weights(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in the file, a pickle in a zip. Nothing in it is run.

    Only the file with the known checksum is read, and of its pickle nothing but tensors.

    Args:
        path: of the file.
        expected: names and shapes of the network's own.

    Raises:
        UserError: it is another file, holds something else than tensors, or other ones.
    """
    again = "remove it and it will be downloaded again"
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if found != SHA256:
        raise UserError(f"{path}: expected SHA-256 {SHA256}, found {found}; {again}")
    return read_tensors(path, expected)


def read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in a file that `torch.save` wrote; see `read_weights`."""
    counts = {name: t for name, t in expected.items() if name.endswith("num_batches_tracked")}
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: expected a file of tensors alone, found something else; it was not run"
        ) from None
    if not isinstance(held, dict):
        raise UserError(f"{path}: expected named tensors, found {type(held).__name__}")
    for name in expected.keys() - counts.keys():
        shape = tuple(held[name].shape) if isinstance(held.get(name), torch.Tensor) else "nothing"
        if shape != tuple(expected[name].shape):
            raise UserError(
                f"{path}: expected {name} of shape {tuple(expected[name].shape)}, found {shape}"
            )
    return {name: held[name] for name in expected.keys() - counts.keys()} | counts
