import gzip
import hashlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from sutrolib.core import paths
from sutrolib.problems import whitened_digits
from sutrolib.problems.whitened_digits import WhitenedDigits, draw

RNG = np.random.default_rng(0)
PIXELS, LABELS = RNG.integers(0, 256, (2000, 28, 28)).astype(np.uint8), RNG.integers(0, 10, 2000).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder without files; a download fails."""

    def fails(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(paths, "DATA", tmp_path)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    whitened_digits._pool.cache_clear()
    yield tmp_path / "mnist"
    whitened_digits._pool.cache_clear()


def files():
    return {
        "train-images-idx3-ubyte.gz": gzip.compress(bytes(16) + PIXELS.tobytes()),
        "train-labels-idx1-ubyte.gz": gzip.compress(bytes(8) + LABELS.tobytes()),
    }


def test_training_rows_are_white_and_test_rows_are_others():
    task = draw(PIXELS, LABELS, 900, 100, seed=0)
    assert task.train.x.shape == (900, 60)
    assert task.test.y.shape == (100, 1)
    assert np.allclose(np.cov(task.train.x.numpy(), rowvar=False), np.eye(60), atol=1e-3)
    distances = torch.cdist(task.test.x, task.train.x)
    assert distances.min() > 1


def test_a_box_is_the_mean_of_its_pixels_and_a_border_pixel_counts_for_its_part():
    image = np.zeros((1, 28, 28))
    image[0, 3, 0] = 255  # row 3 belongs to the first box of rows for a ninth, column 0 to the first of columns
    found = whitened_digits._averaged(image).reshape(9, 9)
    assert found.sum() == pytest.approx((9 / 28) ** 2)
    assert found[0, 0] == pytest.approx((1 / 9) * (9 / 28) ** 2)
    assert found[1, 0] == pytest.approx((8 / 9) * (9 / 28) ** 2)


def test_each_seed_turns_and_renames_anew():
    one, again, other = (draw(PIXELS, LABELS, 900, 900, seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.x, again.train.x)
    counts = [torch.bincount(task.train.y[:, 0], minlength=10).tolist() for task in (one, other)]
    assert counts[0] != counts[1]
    assert not torch.allclose(one.train.x.norm(dim=1), other.train.x.norm(dim=1))


@pytest.mark.parametrize(
    ("pixels", "n_train", "named"),
    [(PIXELS, 1001, "at most half of the 2000 images"), (np.zeros_like(PIXELS), 900, "span 60 dimensions")],
)
def test_images_of_which_there_can_be_no_draw_are_refused(pixels, n_train, named):
    with pytest.raises(ValueError, match=named):
        draw(pixels, LABELS, n_train, 10, seed=0)


def test_what_is_downloaded_is_kept_and_checked(folder, monkeypatch):
    content = files()
    monkeypatch.setattr(
        whitened_digits,
        "_SHA256",
        {("mnist", name): hashlib.sha256(data).hexdigest() for name, data in content.items()},
    )
    asked = []

    def download(address, path, digest, progress):
        asked.append(address)
        name = address.rpartition("/")[2]
        Path(path).write_bytes(content[name])
        assert digest == hashlib.sha256(content[name]).hexdigest()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        whitened_digits._pool.cache_clear()
        task = WhitenedDigits(n_train=900, n_test=50).sample(3)
    assert len(asked) == 2
    assert torch.equal(task.train.x, draw(PIXELS, LABELS, 900, 50, 3).train.x)
    (folder / "mnist-train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    whitened_digits._pool.cache_clear()
    WhitenedDigits(n_train=900, n_test=50).sample(3)
    assert len(asked) == 3


def test_without_a_network_it_says_where_to_put_a_copy(folder):
    with pytest.raises(OSError, match=r"cannot download https.*put a copy at .*mnist-train-images"):
        WhitenedDigits().sample(0)


def test_other_content_is_refused(folder, monkeypatch):
    def download(*_, **__):
        raise RuntimeError("invalid hash value")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(ValueError, match="not what was published: invalid hash value"):
        WhitenedDigits("fashion").sample(0)


def test_unknown_images_are_refused():
    with pytest.raises(ValueError, match=r"images must be mnist or fashion \(got 'letters'\)"):
        WhitenedDigits("letters")
