"""Recipes from YAML and flags: what is read, what is renamed, and which fields exclude each other."""

from __future__ import annotations

import pytest

import toys
from cornernet.config import HourglassConfig, Kind, Preprocessing, Recipe, SizeConfig, SqueezeConfig
from cornernet.errors import InputError
from cornernet.recipes.fields import field_groups
from cornernet.recipes.load import load_recipe, override, plain_recipe, recipe_names, recipe_yaml


@pytest.fixture
def write(tmp_path):
    def as_file(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text)
        return str(tmp_path / "mine.yaml")

    return as_file


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_printed_such_that_it_is_read_back(name, write):
    recipe = load_recipe(name)
    printed = recipe_yaml(recipe)
    again = load_recipe(write(printed))
    assert recipe_yaml(again) == printed
    assert again.model == recipe.model
    assert again.optimization.schedule == recipe.optimization.schedule
    assert ("milestones" in printed) == (recipe.optimization.schedule == "step")
    assert ("pad_mask" in printed) == (recipe.preprocessing.pad_multiple is None)
    assert ("border" in printed) == (not recipe.augmentation.at_objects)
    assert ("push" in printed) == (recipe.model.pairing.name == "embedding")


def test_flags_go_over_the_recipe():
    recipe = load_recipe("shapes", {"optimization.lr": "1e-3", "epochs": "3", "augmentation.scales": "[0.5, 1]"})
    assert (recipe.optimization.lr, recipe.epochs, recipe.augmentation.scales) == (0.001, 3, (0.5, 1.0))
    assert recipe.optimization.schedule == "cosine"
    assert load_recipe("shapes", {"weights": "none"}).weights is None
    assert load_recipe("shapes", {"loss": "{offset: 2}"}).loss.offset == 2
    assert override(Recipe(), {"epochs": "3"}).epochs == 3


def test_kinds_by_flags():
    backbone = load_recipe("shapes").model.backbone
    assert isinstance(backbone, HourglassConfig)
    more = load_recipe("shapes", {"model.backbone.num_stacks": "2"}).model.backbone
    assert more == HourglassConfig(2, backbone.channels, backbone.blocks, backbone.feature_channels)
    assert load_recipe("shapes", {"model.backbone": "hourglass"}).model.backbone == backbone
    assert load_recipe("shapes", {"model.backbone": "squeeze"}).model.backbone == SqueezeConfig()
    other = load_recipe("shapes", {"model.backbone": "squeeze", "model.backbone.num_stacks": "1"}).model.backbone
    assert other == SqueezeConfig(num_stacks=1)
    assert load_recipe("cornernet_hourglass52", {"model.pairing": "size"}).model.pairing == SizeConfig()


OLD = """
model: {num_stacks: 1, channels: [8, 8, 16], blocks: [1, 1, 1], feature_channels: 8, backbone: squeeze,
        pairing: size, pooling_reach: 9}
loss: {around: 1}
augmentation: {crop_size: 127}
"""


def test_keys_of_earlier_versions_are_read_with_a_notice(write, capsys):
    recipe = load_recipe(write(OLD))
    assert recipe.model.backbone == SqueezeConfig(1, (8, 8, 16), (1, 1, 1), 8)
    assert (recipe.model.pool_window, recipe.loss.supervision_radius) == (9, 1)
    notices = capsys.readouterr().err.splitlines()
    assert len(notices) == 6
    assert all(line.startswith("notice: recipe ") and "mine.yaml: " in line for line in notices)
    assert any(line.endswith("loss.around is now loss.supervision_radius") for line in notices)
    flags = {"model.feature_channels": "32", "model.pooling_reach": "7"}
    recipe = load_recipe("shapes", flags)
    assert (recipe.model.backbone, recipe.model.pool_window) == (
        HourglassConfig(1, (32, 64, 96, 128, 160), (1, 1, 1, 1, 2), 32),
        7,
    )
    assert "flags: model.feature_channels is now model.backbone.feature_channels" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"loss\.around and loss\.supervision_radius are the same"):
        load_recipe(write("loss: {around: 1, supervision_radius: 1}"))


EXCLUSIVE = [
    ("optimization: {schedule: cosine, milestones: [3]}", "optimization.milestones", "optimization.schedule step"),
    ("augmentation: {at_objects: true, border: 16}", "augmentation.border", "augmentation.at_objects false"),
    ("preprocessing: {pad_multiple: 64, pad_mask: 63}", "preprocessing.pad_mask", "preprocessing.pad_multiple null"),
    ("{model: {pairing: size}, loss: {size: 1, pull: 0.1}}", "loss.pull", "loss.size null"),
    ("{model: {pairing: size}, loss: {size: 1, push: 0.1}}", "loss.push", "loss.size null"),
]


@pytest.mark.parametrize(("text", "weak", "fix"), EXCLUSIVE)
def test_fields_that_exclude_each_other_are_refused_in_one_file(text, weak, fix, write):
    strong = fix.split()[0]
    with pytest.raises(InputError) as error:
        load_recipe(write(text))
    assert f"mine.yaml: {weak} has no effect with {strong}" in str(error.value)
    assert f"leave {weak} out, or choose {fix}" in str(error.value)


def test_what_an_earlier_version_printed_in_full_is_read(write):
    """It had every field, also those without effect."""
    printed = """
model: {num_stacks: 1, channels: [8, 8], blocks: [1, 1], feature_channels: 8, corner_channels: 8, branch_channels: 8,
  branch_kernel: 3, backbone: squeeze, corner_pooling: true, pooling_reach: 7, pairing: size}
preprocessing: {pad_mask: 127, pad_multiple: 64}
augmentation: {border: 128, at_objects: true}
loss: {heatmap: 1.0, offset: 1.0, pull: 0.1, push: 0.1, size: 2.0, around: 1}
optimization: {schedule: cosine, milestones: [180]}
"""
    recipe = load_recipe(write(printed))
    assert recipe.model.backbone == SqueezeConfig(1, (8, 8), (1, 1), 8)
    assert recipe.model.pool_window == 7
    assert recipe.loss.pairing_weights == {"size": 2.0}
    assert load_recipe(write(recipe_yaml(recipe))) == recipe


def test_fields_that_exclude_each_other_are_refused_in_flags():
    with pytest.raises(InputError, match=r"flags: augmentation\.border has no effect with augmentation"):
        load_recipe("cornernet_hourglass52", {"augmentation.at_objects": "true", "augmentation.border": "3"})


def test_what_is_given_as_nothing_excludes_nothing(write):
    text = "{augmentation: {at_objects: false, border: 3}, preprocessing: {pad_multiple: null, pad_mask: 63}}"
    recipe = load_recipe(write(text))
    assert (recipe.augmentation.border, recipe.preprocessing.pad_mask) == (3, 63)


def test_a_flag_drops_what_it_takes_the_effect_from():
    name = "cornernet_squeeze"  # has milestones, a border, pull and push
    flags = {"optimization.schedule": "cosine", "augmentation.at_objects": "true", "model.pairing": "size"}
    values = plain_recipe(load_recipe(name, flags))
    assert "milestones" not in values["optimization"]
    assert "border" not in values["augmentation"]
    assert "pull" not in values["loss"]
    assert load_recipe(name, flags).model.pairing == SizeConfig()
    assert load_recipe("deeppcb-small", {"preprocessing.pad_multiple": "32"}).preprocessing.pad_multiple == 32


@pytest.mark.parametrize(
    ("name", "flag", "value", "undo"),
    [
        ("shapes", "optimization.milestones", "[1]", ("optimization.schedule", "step")),
        ("deeppcb-modern", "augmentation.border", "3", ("augmentation.at_objects", "false")),
        ("shapes", "preprocessing.pad_mask", "63", ("preprocessing.pad_multiple", "null")),
        ("shapes", "loss.pull", "0.3", ("model.pairing", "embedding")),
    ],
)
def test_a_flag_without_effect_is_refused(name, flag, value, undo):
    with pytest.raises(InputError, match="has no effect") as error:
        load_recipe(name, {flag: value})
    assert flag in str(error.value)
    load_recipe(name, {flag: value, undo[0]: undo[1]})


@pytest.mark.parametrize("text", ["[1", "3", "- 1", "\x00"])
def test_files_that_are_no_recipe(text, write):
    with pytest.raises(InputError, match=r"recipe .*mine\.yaml: "):
        load_recipe(write(text))


def test_every_field_is_listed_with_its_default():
    groups = list(field_groups())
    fields = {field.name: field for group in groups for field in group.fields}
    assert fields["epochs"].default == "210"
    assert "Passes" in fields["epochs"].text
    assert set(fields["model.backbone"].choices) >= {"hourglass", "squeeze"}
    assert fields["optimization.schedule"].choices == ("step", "cosine")
    assert {group.kind for group in groups if group.name == "model.backbone"} >= {"hourglass", "squeeze"}
    assert all(field.text or group.text for group in groups for field in group.fields)


def test_a_backbone_of_the_users_own_is_named_in_a_recipe(write):
    """Its settings are read by their types, and its normalisation is the recipe's unless that gives its own."""
    recipe = load_recipe(write("model: {backbone: {name: toy, width: 12}, pairing: diagonal}"))
    assert recipe.model.backbone == toys.ToyConfig(width=12)
    assert recipe.model.pairing == toys.DiagonalConfig()
    assert recipe.preprocessing.color_order == "BGR"
    assert recipe.preprocessing.mean == (1.0, 2.0, 3.0)
    own = load_recipe(write("{model: {backbone: toy}, preprocessing: {mean: [4, 5, 6]}}"))
    assert own.preprocessing.mean == (4.0, 5.0, 6.0)
    assert load_recipe(write("epochs: 3")).preprocessing == Preprocessing()
    with pytest.raises(InputError, match=r"'tou' is none of the backbones; did you mean toy"):
        load_recipe(write("model: {backbone: tou}"))


def test_a_kind_whose_file_needs_an_absent_package_says_so(tmp_path, monkeypatch):
    """Found by name, or made from settings that stand elsewhere: the package is named, not the kind's own file."""
    folder = tmp_path / "lonely_kinds"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)

    class Family(Kind, package="lonely_kinds"):
        pass

    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        Family.kind("one")

    class One(Family, name="one"):
        pass

    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        One().make()

    class Two(Family, name="two"):
        pass

    with pytest.raises(InputError, match="no class says that it is the module of Two"):
        Two().make()
