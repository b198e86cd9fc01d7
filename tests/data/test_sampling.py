"""Rare classes are seen more often: by LVIS's factors, exactly resumable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cornernet.config import SIZES, Augmentation, Recipe
from cornernet.data.loading import EpochSampler, TrainingImages, TrainingLoader
from cornernet.data.sampling import epoch_length, repeat_factors, repeated_order
from cornernet.data.source import DataSource
from cornernet.errors import InputError
from small import write_data

MIXED = Augmentation(crop_size=64, border=16, vertical_flip=0.5, quarter_turns=0.5, mosaic=0.5, copy_paste=0.7)
RECIPE = Recipe(model=SIZES["hourglass-nano"], augmentation=MIXED, batch_size=2, seed=3, workers=0)


def images(*classes):
    """One image for each list of labels; a label below 0 is a crowd box of that class."""
    return [
        SimpleNamespace(labels=np.abs(np.array(labels, np.int64)), crowd=np.array(labels, np.int64) < 0)
        for labels in classes
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return DataSource(str(write_data(tmp_path_factory.mktemp("sampling") / "data", train=9))).load_training()


def test_factors_by_hand():
    """Class 1 is in 8 of 10 images, class 2 in 2, class 3 in 1, class 4 only as a crowd."""
    split = images([1], [1], [1], [1, 1], [1], [1], [1, 2, -4], [1, 3], [2], [])
    factors = repeat_factors(split, 5, 0.4)
    rare, rarest = (0.4 / 0.2) ** 0.5, 2.0
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, rare, rarest, rare, 1])
    assert repeat_factors(split, 5, 0.05).tolist() == [1] * 10
    assert repeat_factors(images([], []), 3, 0.5).tolist() == [1, 1]


def test_each_image_comes_as_often_as_its_factor_says():
    factors = np.array([1, 1.5, 1, 2.2, 3, 1.05, 1])
    assert epoch_length(factors) == 10
    seen = Counter()
    for seed in range(2000):
        order = repeated_order(factors, np.random.default_rng(seed))
        counts = np.bincount(order, minlength=7)
        assert len(order) == 10
        assert (counts >= np.floor(factors)).all()
        assert (counts <= np.ceil(factors)).all()
        seen.update(order.tolist())
    found = np.array([seen[index] for index in range(7)]) / 2000
    parts = factors % 1
    assert (found - factors <= 0.05).all()
    assert (found[parts == 0] == factors[parts == 0]).all()  # 0.75 of an image is left out of the other three


def test_the_length_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    for _ in range(50):
        factors = np.sqrt(1 + rng.integers(1, 9, 100) / 3)
        assert len({epoch_length(rng.permutation(factors)) for _ in range(5)}) == 1
        assert len(repeated_order(factors, rng)) == epoch_length(factors)
    assert epoch_length(np.full(10, 1.1)) == 11


def test_copies_of_an_image_are_other_samples(dataset):
    factors = np.full(len(dataset.images), 3.0)
    sampler = EpochSampler(len(dataset.images), 2, 3, factors=factors)
    keys = [key for batch in sampler for key in batch]
    assert len(keys) == len(sampler) * 2 == 26
    assert len({*keys}) == len(keys)
    samples = TrainingImages(dataset, RECIPE)
    first, second = samples[0, 4], samples[0, 4, 1]
    assert not np.array_equal(first[0], second[0])
    np.testing.assert_array_equal(samples[0, 4, 1][0], second[0])


def batches_of(dataset, recipe, epoch, start=None):
    loader = TrainingLoader(dataset, recipe)
    if start is not None:
        loader.load_state_dict({"epoch": epoch, "batches": start})
    loader.sampler.set_epoch(epoch)
    try:
        return [(batch.images.numpy().copy(), batch.boxes.numpy().copy(), batch.names) for batch in loader]
    finally:
        loader.close()


def same(one, other):
    return all(
        a[2] == b[2] and np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("threshold", [0.0, 1.0], ids=["each once", "balanced"])
def test_everything_mixed_does_not_depend_on_workers_and_resumes(dataset, threshold):
    for record in dataset.images[2:]:
        record.labels = np.zeros_like(record.labels)  # class 1 becomes rare
    recipe = replace(RECIPE, repeat_threshold=threshold)
    whole = batches_of(dataset, recipe, 1)
    assert any(" + " in name for _, _, names in whole for name in names)
    assert len(whole) == (5 if threshold else 4)  # of 7 + 2 * sqrt(1 / (2 / 9)) = 11.2 images, or of 9
    assert same(whole, batches_of(dataset, replace(recipe, workers=2), 1))
    assert same(whole[2:], batches_of(dataset, recipe, 1, start=2))
    assert not same(whole[:1], batches_of(dataset, recipe, 2)[:1])


def test_another_image_of_a_mosaic_that_cannot_be_read_is_named(tmp_path):
    data = DataSource(str(write_data(tmp_path / "data", train=3))).load_training()
    data.images[2].path.unlink()
    samples = TrainingImages(data, replace(RECIPE, augmentation=replace(MIXED, mosaic=1.0)))
    found = [samples[epoch, 0] for epoch in range(8)]
    errors = [sample for sample in found if isinstance(sample, InputError)]
    assert errors
    assert all("003.png" in str(error) for error in errors)


@pytest.mark.parametrize("name", ["vertical_flip", "quarter_turns", "mosaic", "copy_paste"])
def test_shares_and_probabilities_are_checked(name):
    with pytest.raises(InputError, match=rf"recipe: augmentation\.{name}: must be a probability, from 0 to 1"):
        Recipe(augmentation=Augmentation(**{name: 1.5}))
    with pytest.raises(InputError, match=r"recipe: repeat_threshold: must be a share"):
        Recipe(repeat_threshold=-0.1)
