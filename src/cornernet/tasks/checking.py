"""The check of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cornernet.data.formats import Format
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.data.check import Findings


def check_data_set(data: str, format: Format | None = None) -> Findings:
    """Every problem of the data set at ``data``, and its content; ``InputError`` if there is none."""
    from cornernet.data.check import check_data
    from cornernet.data.find import find_data

    return check_data(find_data(data, format), progress=ProgressBar("checking"))
