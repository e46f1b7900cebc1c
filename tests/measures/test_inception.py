"""Inception: the network of torch-fidelity, number by number, and weights that run no code.

What that package says of seeded images and weights lies in inception_features.npz;
inception_features.py has made it.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

import torch

from common.errors import UserError
from tests.data.test_download import Server, closed, server  # noqa: F401
from tests.support.inception_features import FILE, draw_images, draw_weights
from tools import evaluate
from tools.library import inception
from tools.library.inception import Inception

IMAGES = draw_images()


@pytest.fixture(scope="module")
def network() -> Inception:
    """With seeded weights."""
    made = Inception()
    shapes = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    made.load_state_dict(draw_weights(shapes))
    return made


@pytest.fixture(scope="module")
def weights(network: Inception, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the released one is: tensors by name, without the counts of batch norm."""
    kept = {n: t for n, t in network.state_dict().items() if not n.endswith("batches_tracked")}
    path = tmp_path_factory.mktemp("weights") / inception.FILE
    torch.save(kept, path)
    return path


@pytest.fixture
def known(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, as if it were the released one."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "SHA256", digest)
    return weights


@pytest.mark.parametrize("name", IMAGES)
def test_features_are_those_of_torch_fidelity(network: Inception, name: str) -> None:
    expected = np.load(FILE)[name]
    found = inception.extract(network, IMAGES[name])[0]
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_features_do_not_depend_on_the_company(
    network: Inception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "PORTION", 2)
    other = IMAGES["colour"][:, ::-1, :, ::-1]
    together = inception.extract(network, np.concatenate([other, IMAGES["colour"], other]))
    assert together.shape == (3, 2048)
    alone = inception.extract(network, IMAGES["colour"])[0]
    np.testing.assert_allclose(together[1], alone, atol=1e-5 * np.abs(alone).max())


def test_the_weights_have_the_size_of_the_released_file(network: Inception) -> None:
    """95 628 359 bytes, of which the zip's own are less than 200 for each tensor."""
    tensors = [t for n, t in network.state_dict().items() if not n.endswith("batches_tracked")]
    over = 95_628_359 - sum(4 * tensor.numel() for tensor in tensors)
    assert 0 < over < 200 * len(tensors)


def test_resizing_is_tensorflow_s(network: Inception) -> None:
    """Pixel i lies at i * size / 299; at the far border the last pixel counts alone."""
    ramp = np.arange(13, dtype=np.float32)
    expected = np.minimum(np.arange(299) * 13 / 299, 12)
    np.testing.assert_allclose(inception.resizing(13) @ ramp, expected, atol=1e-5)
    same = inception.preprocess(np.full((1, 8, 8, 1), 255, np.uint8), torch.device("cpu"))
    assert same.shape == (1, 3, 299, 299)
    np.testing.assert_allclose(same, 127 / 128, rtol=1e-6)


@pytest.mark.parametrize("folder", ["inception", "."])
def test_weights_are_found_where_they_were_put(
    known: Path, network: Inception, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / known.name).symlink_to(known)
    found = inception.load(tmp_path).state_dict()
    assert all(torch.equal(found[name].cpu(), t) for name, t in network.state_dict().items())


def test_evaluate_takes_these_features(known: Path) -> None:
    command = ["gan", "--from", "x", "--inception", "--data-dir", str(known.parent)]
    extract = evaluate.choose_extractor(evaluate.read_flags(command))
    expected = np.load(FILE)["colour"]
    found = extract(IMAGES["colour"])[0]
    assert found.shape == (evaluate.INCEPTION_FEATURES,)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_weights_are_downloaded_once(
    known: Path,
    server: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.files[known.name] = known.read_bytes()
    monkeypatch.setattr(inception, "MIRRORS", (server.url,))
    inception.load(tmp_path / "data")
    inception.load(tmp_path / "data")
    assert [path for path, _ in server.requests] == [known.name]
    assert (tmp_path / "data" / "inception" / known.name).is_file()


def test_without_a_network_the_message_says_what_to_do(
    closed: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inception, "MIRRORS", (closed,))
    monkeypatch.setattr(inception.download, "PAUSES", ())
    with pytest.raises(UserError, match=r"cannot download .* by hand and put it at .*inception/"):
        inception.load(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / inception.FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"expected SHA-256 6726825d.*, found .*; remove it"):
        inception.load(tmp_path)


class Malicious:
    """A pickle that, once loaded, makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False], ids=["in a zip", "bare"])
def test_a_pickle_that_holds_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    """Even one that had the right checksum."""
    mark, path = tmp_path / "mark", tmp_path / inception.FILE
    held = {"fc.weight": Malicious(mark)}
    if zipped:
        torch.save(held, path)
    else:
        path.write_bytes(pickle.dumps(held, 2))
    with pytest.raises(UserError, match="it was not run"):
        inception.read_tensors(path, {"fc.weight": torch.zeros(1)})
    assert not mark.exists()
    torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())
    assert mark.exists(), "the pickle would have run"


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"fc.bias": torch.zeros(1008)}, r"expected fc.weight of shape \(3, 2\), found nothing"),
        ({"fc.weight": torch.zeros(2, 3)}, r"fc.weight of shape \(3, 2\), found \(2, 3\)"),
        ({"fc.weight": "text"}, "found nothing"),
        ([1, 2], "expected named tensors, found list"),
    ],
    ids=["a tensor is missing", "another shape", "no tensor", "no names"],
)
def test_other_tensors_are_refused(tmp_path: Path, held: object, message: str) -> None:
    torch.save(held, tmp_path / "file")
    with pytest.raises(UserError, match=message):
        inception.read_tensors(tmp_path / "file", {"fc.weight": torch.zeros(3, 2)})


def test_a_damaged_file_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="expected a file of tensors alone"):
        inception.read_tensors(tmp_path / "file", {"fc.weight": torch.zeros(3, 2)})
