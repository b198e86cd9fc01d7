"""What a Python program does without the command line: train, evaluate, check; and what results can do."""

from __future__ import annotations

import json
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
from lightning.pytorch.loggers import CSVLogger

import cornernet
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe
from cornernet.tasks import from_python
from small import write_data, write_recipe


class Counter(pl.Callback):
    """A user's own callback."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.steps += 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("scenes"), train=6, val=3)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A short training by keywords, its callback, and its logger's folder."""
    folder, counter = tmp_path_factory.mktemp("run"), Counter()
    logger = CSVLogger(str(folder / "csv"), name="mine", version=0)
    recipe = write_recipe(folder, epochs=9, workers=0)
    made = cornernet.train(
        recipe, data, epochs=1, optimization={"lr": 2e-3}, out=folder / "run", report=False, callbacks=[counter],
        logger=logger,
    )  # fmt: skip
    return SimpleNamespace(result=made, counter=counter, folder=folder)


def test_a_training_by_keywords_gives_a_run(run, data):
    result = run.result
    recipe = load_recipe(str(result.folder / "recipe.yaml"))
    assert (recipe.epochs, recipe.optimization.lr) == (1, 2e-3)
    assert result.weights == result.folder / "best.safetensors"
    assert result.metrics.images == 3
    assert str(result.metrics) == result.metrics.table()
    assert result.load(max_size=64).evaluate(data).figures == result.metrics.figures


def test_callbacks_and_loggers_of_lightning_are_used(run):
    assert run.counter.steps == 3  # 6 images, 2 a step
    assert (run.folder / "csv/mine/version_0/metrics.csv").is_file()


def test_evaluate_is_the_same_from_a_path_and_writes_only_when_asked(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = cornernet.evaluate(run.result.weights, data)
    assert metrics.figures == run.result.metrics.figures
    assert not list(tmp_path.iterdir())
    cornernet.evaluate(run.result.weights, data, out="figures")
    kept = json.loads((tmp_path / "figures/metrics.json").read_text())
    assert kept["figures"]["AP"] == pytest.approx(metrics.figures["AP"])
    true = cornernet.evaluate(run.result.weights, data, oracle="heatmaps,offsets,pairing")
    assert true.figures["AP"] == pytest.approx(1.0)


def test_a_run_goes_on_from_python(run, data):
    with pytest.raises(InputError, match="keeps its settings; leave epochs out"):
        cornernet.train(resume=run.result.folder, epochs=3)
    again = cornernet.train(resume=run.result.folder, report=False)
    assert again.folder == run.result.folder


def test_a_data_folder_alone_gets_a_recipe_of_its_own(data, monkeypatch):
    planned = {}
    monkeypatch.setattr(from_python, "make_plan", lambda *words, **options: planned.update(words=words, **options))
    monkeypatch.setattr(from_python, "run_plan", lambda plan, folder, **options: options)
    assert cornernet.train(data, minutes=2, size="nano", strict=True, **{"loss.pull": 1}) == {"strict": True}
    assert planned == {
        "words": (None, str(data)),
        "minutes": 2,
        "size": "nano",
        "devices": None,
        "fields": {"loss.pull": 1},
    }


@pytest.mark.parametrize(
    ("words", "options", "line"),
    [
        (("x",), {"epoch": 3}, r"epoch: neither an option nor a field of a recipe; did you mean epochs\?"),
        (("x",), {"lr": 0.1}, r'lr: is a field of optimization; write optimization={"lr": 0.1}'),
        (("x",), {"minute": 3}, r"did you mean minutes\?"),
        (("deeppcb-small",), {}, r"deeppcb-small is a recipe, and what to learn from is missing; give data=FOLDER"),
        ((), {}, r"train: say what to learn from; give its folder first"),
        (("deeppcb-small", "x"), {"minutes": 3}, r"train: size, backbone and minutes are for a run without a recipe"),
        (("deeppcb-small", "x"), {"devices": 0}, r"^devices 0: at least 1$"),
        (("no-such-folder",), {}, r"no-such-folder: "),
        (("deeppcb-small", "x"), {"optimization": {"rate": 1}}, r"optimization\.rate is no field"),
        (("deeppcb-small", "x"), {"epochs": "many"}, r"epochs must be a whole number, not 'many'"),
    ],
)
def test_bad_arguments_are_told_in_words_of_python(words, options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line) as caught:
        cornernet.train(*words, **options)
    assert "--" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_objects_cannot_go_to_several_processes(data):
    with pytest.raises(InputError, match="callbacks and logger: objects of Python cannot be handed to several"):
        cornernet.train("shapes", data, devices=2, callbacks=[Counter()])


def test_check_lists_problems_and_says_when_there_are_none(data, tmp_path):
    found = cornernet.check(data)
    assert found.is_clean
    assert str(found).endswith("0 problems")
    labels = data / "annotations/instances_val.json"
    broken = tmp_path / "broken"
    (broken / "annotations").mkdir(parents=True)
    content = json.loads(labels.read_text())
    content["annotations"][0]["bbox"][2] = -5
    (broken / "annotations/instances_val.json").write_text(json.dumps(content))
    (broken / "val").symlink_to(data / "val")
    found = cornernet.check(broken)
    assert not found.is_clean
    assert len(found.problems) == 1
    assert "1 problems" in repr(found)


def test_errors_of_a_detector_name_arguments():
    with pytest.raises(InputError, match=r"^device nonsense: not usable here"):
        cornernet.evaluate("shapes", "x", device="nonsense")
    with pytest.raises(InputError, match=r"^load: max_size must be above 0, not -1$"):
        cornernet.evaluate("shapes", "x", max_size=-1)
    with pytest.raises(InputError, match=r"^oracle offsets: give heatmaps, and with it"):
        cornernet.evaluate("shapes", "x", oracle="offsets")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"tta": "filp"}, "tta must be one of none, flip, multiscale, not 'filp'"),
        ({"flip": "none"}, "flip must be true or false, not 'none'"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, not 'fp8'"),
        ({"devcie": "cpu"}, r"devcie: is no option of weights; did you mean device\?"),
        ({"max_size": 0}, "max_size must be above 0, not 0"),
        ({"tta": "flip", "flip": True}, "tta flip: is flip and scales together; give one of them"),
        ({"tile": "wide"}, "tile wide: give a size and an overlap in pixels"),
    ],
)
def test_options_of_a_detector_are_checked(options, line):
    with pytest.raises(InputError, match=line):
        cornernet.load("shapes", **options)


def test_a_detector_takes_the_words_of_the_command_line():
    detector = cornernet.load("shapes", tta="flip", tile=(128, 32), threshold=0.7, precision="bf16")
    assert detector.flip
    assert (detector.tiling.size, detector.tiling.overlap) == (128, 32)
    assert detector.threshold == 0.7
    assert cornernet.load("shapes", tile="128,32").tiling == cornernet.load("shapes", tile=128, tile_overlap=32).tiling
    assert repr(detector).startswith("Detector(10 classes, disc, ring, star, cross, crescent ...)")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"tta": "filp"}, "tta must be one of"),
        ({"tta": None}, "tta must be one of"),
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"batch_size": "many"}, "batch_size must be a whole number"),
        ({"format": "nope"}, "format must be one of"),
    ],
)
def test_options_of_an_evaluation_are_checked(data, options, line):
    with pytest.raises(InputError, match=line):
        cornernet.evaluate("shapes", data, **options)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"size": "huge"}, "size must be one of"),
        ({"minutes": "soon"}, "minutes must be a number"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds must be above 0"),
        ({"logger": 5}, "logger: neither a name nor a logger of Lightning: 5"),
        ({"callbacks": [print]}, "callbacks: not a callback of Lightning"),
    ],
)
def test_options_of_a_training_are_checked_before_anything_is_written(data, options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "recipe", epochs=1, workers=0)
    given = {} if "size" in options or "minutes" in options else {"recipe": recipe}
    with pytest.raises(InputError, match=line):
        cornernet.train(given.get("recipe", data), data if given else None, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe"]


def test_a_run_without_a_report_stays_one_when_it_goes_on(run):
    before = run.result.weights.read_bytes()
    cornernet.train(resume=run.result.folder)
    assert not (run.result.folder / "report.html").exists()
    assert run.result.weights.read_bytes() == before


def test_images_that_are_none_are_told():
    detector = cornernet.load("shapes")
    with pytest.raises(InputError, match=r"give them to stream\(\), or as a list"):
        detector(image for image in ["a.png"])
    with pytest.raises(InputError, match=r"a\.png: one image, and several are asked for"):
        next(detector.stream("a.png"))
    with pytest.raises(InputError, match="batch_size 0: give a number above 0"):
        next(detector.stream([], batch_size=0))


def test_the_version_is_known():
    assert cornernet.__version__.count(".") == 2
