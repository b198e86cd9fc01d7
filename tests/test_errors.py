"""An input error has fields; its line is made from them, wherever it is raised and however it travels."""

import pickle
from pathlib import Path

import pytest

from cornernet.errors import CornerNetError, InputError, command_line_words


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (("no such file",), "no such file"),
        (("no such file", "a.png"), "a.png: no such file"),
        (("no images given", "", "name files"), "no images given; name files"),
        (("no such file", Path("a.png"), "check the path"), "a.png: no such file; check the path"),
    ],
)
def test_the_line_is_made_from_the_fields(fields, line):
    error = InputError(*fields)
    assert str(error) == line
    assert [error.what, error.where, error.fix] == [*map(str, fields), "", ""][:3]
    assert isinstance(error, CornerNetError)
    assert error.exit_code == 2


def test_an_error_can_be_given_another_place():
    error = InputError("too large", "image", "scale it down")
    assert str(error.at(Path("a.png"))) == "a.png: too large; scale it down"
    assert str(error) == "image: too large; scale it down"


def test_an_error_crosses_processes_whole():
    error = pickle.loads(pickle.dumps(InputError("truncated", Path("a.png"), "copy it again")))
    assert (error.what, error.where, error.fix) == ("truncated", "a.png", "copy it again")
    assert str(error) == "a.png: truncated; copy it again"


@pytest.mark.parametrize(
    ("line", "in_python"),
    [
        ("cut it into tiles with --tile, or scale it down with --max-size", "tile, or scale it down with max_size"),
        ("no report; cornernet train --resume runs/a goes on", "cornernet train --resume runs/a goes on"),
        ("leave --optimization.lr out; pip install --no-deps 'x[a]'", "optimization.lr out; pip install --no-deps 'x["),
        ("a--b and a -- b are no options", "a--b and a -- b are no options"),
    ],
)
def test_options_are_arguments_in_python_and_options_on_the_command_line(line, in_python):
    error = InputError(line)
    assert in_python in str(error)
    with command_line_words():
        assert str(error) == line
    assert in_python in str(error)
