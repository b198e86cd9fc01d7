"""Tables that must stay readable."""

import numpy as np

from cornernet.evaluation.error_analysis import ERROR_KINDS, ErrorCost
from cornernet.report.rows import cost_rows, matrix_rows, most_confused


def test_a_matrix_of_many_classes_becomes_a_list_of_confusions():
    names = [f"class {i}" for i in range(21)]
    counts = np.zeros((22, 22), np.int64)
    counts[3, 3], counts[3, 5], counts[8, 1], counts[2, 21], counts[21, 4] = 90, 2, 7, 50, 60
    assert matrix_rows(counts, names) == []
    assert most_confused(counts, names) == [("class 8", "class 1", 7), ("class 3", "class 5", 2)]


def test_a_matrix_of_few_classes_is_shaded_by_the_share_of_its_row():
    [(name, cells), *_, (last, _)] = matrix_rows(np.array([[3, 0, 1], [0, 0, 0], [2, 0, 0]]), ["cat", "dog"])
    assert (name, last) == ("cat", "background")
    assert [(cell.times, cell.share, cell.is_right) for cell in cells] == [
        (3, 0.75, True),
        (0, 0, False),
        (1, 0.25, False),
    ]


def test_the_dearest_kind_comes_first_and_every_kind_has_its_words():
    rows = cost_rows([ErrorCost(kind, 0.01 * i - 0.02, 0.0, 1, 1) for i, kind in enumerate(ERROR_KINDS)])
    assert [row.cost.kind for row in rows] == list(reversed(ERROR_KINDS))
    assert [round(row.bar, 2) for row in rows] == [1, 0.67, 0.33, 0, 0, 0]
    assert len({row.name for row in rows}) == len(ERROR_KINDS)
    free = cost_rows([ErrorCost(kind, 0.0, 0.0, 0, 0) for kind in ERROR_KINDS])
    assert {row.bar for row in free} == {0}
