"""Whatever the user calls data arrives as checked arrays in the model's order, or is refused in three parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.config import InputSettings
from edgekit.data import Data, InputSpec, calibration_arrays, evaluation_arrays, raw_scale
from edgekit.errors import InputError

IMAGE = InputSpec("image", "float32", (3, 8, 8))
IDS = InputSpec("ids", "int64", (5,))
X = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
Y = np.arange(6) % 3


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def refusal(source: object, *specs: InputSpec, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        calibration_arrays(source, specs or (IMAGE,), **options)
    assert caught.value.where
    return caught.value


@pytest.mark.parametrize("key", ["image", "x", "x_train", "anything"])
def test_an_npz_is_read_by_name_then_x_then_x_train_then_the_only_array(tmp_path: Path, key: str) -> None:
    (array,) = calibration_arrays(saved(tmp_path, **{key: X, "y": Y}), [IMAGE])
    np.testing.assert_array_equal(array, X)


def test_the_name_of_the_input_goes_before_x(tmp_path: Path) -> None:
    (array,) = calibration_arrays(saved(tmp_path, image=X, x=X + 1, x_train=X + 2), [IMAGE])
    np.testing.assert_array_equal(array, X)


def test_evaluation_takes_x_test_with_y_test(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=X + 1, y_train=Y + 1, x_test=X, y_test=Y)
    (array,), labels = evaluation_arrays(path, [IMAGE])
    np.testing.assert_array_equal(array, X)
    np.testing.assert_array_equal(labels, Y)
    (array,) = calibration_arrays(path, [IMAGE])
    np.testing.assert_array_equal(array, X + 1)


@pytest.mark.parametrize("keys", [("a", "b"), ("x_test",), ("y",), ()])
def test_an_npz_whose_keys_do_not_say_what_is_what_is_refused_with_its_keys(tmp_path: Path, keys: tuple[str, ...]) -> None:
    error = refusal(saved(tmp_path, **dict.fromkeys(keys, X)))
    assert "cannot tell which arrays" in error.what
    assert all(f"'{key}'" in error.what for key in keys)
    assert "'image', 'x' or 'x_train'" in (error.hint or "")


def test_several_inputs_come_by_name_from_a_file_dict_or_tuple(tmp_path: Path) -> None:
    ids = np.arange(30).reshape(6, 5)
    for source in (saved(tmp_path, ids=ids, image=X), {"ids": ids, "image": X}, (X, ids), [(X[:4], ids[:4]), (X[4:], ids[4:])]):
        image, numbers = calibration_arrays(source, [IMAGE, IDS])
        np.testing.assert_array_equal(image, X)
        np.testing.assert_array_equal(numbers, ids)
        assert numbers.dtype == np.int64


def test_several_inputs_need_all_their_names(tmp_path: Path) -> None:
    assert "name them 'image', 'ids'" in (refusal(saved(tmp_path, x=X, ids=Y), IMAGE, IDS).hint or "")
    assert "no data for input 'ids'" in refusal({"image": X, "idz": Y}, IMAGE, IDS).what
    assert "1 arrays for 2 inputs" in refusal(X, IMAGE, IDS).what


def test_batches_and_loaders_are_stacked_and_their_labels_kept() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=4)
    np.testing.assert_array_equal(calibration_arrays(loader, [IMAGE])[0], X)
    np.testing.assert_array_equal(evaluation_arrays(loader, [IMAGE])[1], Y)
    np.testing.assert_array_equal(calibration_arrays([X[:2], X[2:]], [IMAGE])[0], X)
    np.testing.assert_array_equal(calibration_arrays(torch.tensor(X, requires_grad=True), [IMAGE])[0], X)
    assert calibration_arrays(torch.tensor(X).bfloat16(), [IMAGE])[0].dtype == np.float32


def test_an_endless_stream_is_read_up_to_the_limit() -> None:
    def stream() -> Iterator[np.ndarray]:
        while True:
            yield X

    assert len(calibration_arrays(stream(), [IMAGE], limit=8)[0]) == 8
    assert len(calibration_arrays(X, [IMAGE], limit=4)[0]) == 4


def test_a_callable_is_imported_from_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "feed_of_mine.py").write_text(
        "import numpy as np\n\ndef batches():\n    yield np.ones((2, 3, 8, 8), 'f4')\n\n"
        "def broken():\n    return 1 / 0\n\nready = np.ones((1, 3, 8, 8))\n"
    )
    assert calibration_arrays("feed_of_mine:batches", [IMAGE], root=tmp_path)[0].shape == (2, 3, 8, 8)
    assert calibration_arrays("feed_of_mine:ready", [IMAGE], root=tmp_path)[0].shape == (1, 3, 8, 8)
    broken = refusal("feed_of_mine:broken", root=tmp_path)
    assert "raised ZeroDivisionError" in broken.what
    assert "feed_of_mine.py:7, in broken" in str(broken.where)
    assert refusal("feed_of_mine:batchs", root=tmp_path).hint == "did you mean 'batches'?"
    assert refusal("feed_of_min:batches", root=tmp_path).hint == "did you mean 'feed_of_mine'?"


def test_bytes_for_a_float_model_need_declared_preprocessing() -> None:
    pixels = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8)
    error = refusal(pixels)
    assert "uint8" in error.what
    assert "[input.image] scale = 255" in (error.hint or "")
    raw = InputSpec("image", "float32", (3, 8, 8), raw=True)
    (array,) = calibration_arrays(pixels, [raw])
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, pixels.astype(np.float32))


def test_an_assumed_scale_of_255_is_for_bytes_only() -> None:
    assert raw_scale(InputSettings(mean=0.5)) == (255.0, True)
    assert raw_scale(InputSettings(mean=0.5, scale=1.0)) == (1.0, False)
    assert raw_scale(InputSettings(layout="NHWC")) == (1.0, False)
    spec = InputSpec("image", "float32", (3, 8, 8), raw=True, bytes_only=True)
    assert "without a scale" in refusal(X, spec).what


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (X[:0], "no samples for input 'image'"),
        (np.where(X > 2, np.nan, X), "has NaN in it"),
        (np.full_like(X, np.inf), "has infinity in it"),
        (X.astype(np.float64) * 1e300, "has infinity in it"),
        (X[0], "has shape (3, 8, 8), the model wants (samples, 3, 8, 8)"),
        (X.transpose(0, 2, 3, 1), 'layout = "NHWC"'),
        (X[:, :2], "has shape (6, 2, 8, 8)"),
        (X.reshape(6, -1), "x.reshape(-1, 3, 8, 8)"),
        (np.array(["a"]), "are not numbers"),
        ([], "the data is empty"),
        ([X, X[:, :1]], "batch 1"),
        ([(X, Y), X], "some batches have labels and some have none"),
        (3, "cannot take data from a 'int'"),
        (object(), "cannot take data from a 'object'"),
    ],
)
def test_data_that_does_not_fit_is_refused(value: object, what: str) -> None:
    assert what in str(refusal(value))


def test_the_bad_sample_is_named() -> None:
    bad = X.copy()
    bad[4, 1, 2, 3] = np.nan
    assert "sample 4" in str(refusal(bad).where)


def test_integer_inputs_take_integers_that_fit() -> None:
    assert calibration_arrays(np.ones((2, 5), np.uint8), [IDS])[0].dtype == np.int64
    assert "x.astype('int64')" in (refusal(np.ones((2, 5)), IDS).hint or "")
    small = InputSpec("ids", "int32", (5,))
    assert "values outside int32" in refusal(np.full((2, 5), 2**40), small).what


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    assert "no calibration data" in refusal(str(tmp_path / "none.npz")).what
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 cut short")
    assert "cannot read" in refusal(str(tmp_path / "bad.npz")).what
    (tmp_path / "empty.npz").write_bytes(b"")
    assert "cannot read" in refusal(str(tmp_path / "empty.npz")).what
    whole = Path(saved(tmp_path, x=X)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert "cannot read" in refusal(str(tmp_path / "cut.npz")).what
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    assert "cannot read" in refusal(str(tmp_path / "flipped.npz")).what
    assert "cannot read" in refusal(str(tmp_path)).what


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "trap.npz"
    np.savez(path, x=np.array([Trap()], dtype=object), allow_pickle=True)
    assert "Object arrays cannot be loaded" in refusal(str(path)).what
    assert not (tmp_path / "sprung").exists()


def test_evaluation_needs_one_label_a_sample(tmp_path: Path) -> None:
    for source, what in [(X, "no labels"), ((X, Y[:3]), "6 samples and 3 labels"), ((X, np.full(6, np.nan)), "NaN")]:
        with pytest.raises(InputError) as caught:
            evaluation_arrays(source, [IMAGE])
        assert what in caught.value.what


def test_data_for_a_recipe_is_plain() -> None:
    assert Data(calibration=X).train is None


def test_a_relative_path_starts_in_the_root(tmp_path: Path) -> None:
    saved(tmp_path, x=X)
    assert calibration_arrays("data.npz", [IMAGE], root=tmp_path)[0].shape == X.shape
