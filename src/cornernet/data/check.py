"""Every problem of a data set, and the content of a copy without them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from cornernet.data.build import build_dataset
from cornernet.data.causes import SystematicError
from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.data.find import LabelFolder, plain_name, read_split, split_names
from cornernet.data.remarks import box_keys, content_remarks, repeated_boxes
from cornernet.data.tables import Problem, Tables, problem_of, unusable_image
from cornernet.errors import InputError
from cornernet.media.walk import contains_itself, is_junk, leads_nowhere

_CAUSES = "boxes with another meaning"
_HELD_BACK = ("test", "val")  # an image in two splits stays in these


@dataclass(repr=False)
class Findings:
    """``problems``, and by split the content of a clean copy: all usable images with their valid boxes.

    ``cause`` is why there can be no clean copy: what most boxes mean is not known.
    """

    problems: list[Problem]
    datasets: dict[str, CocoDataset]
    cause: InputError | None = None

    @property
    def is_clean(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def summary(self) -> str:
        """The number of problems, and of each kind."""
        counts = Counter(problem.kind for problem in self.problems)
        kinds = "".join(f", {count} {kind}" for kind, count in counts.most_common())
        return f"{len(self.problems)} problems{kinds}"

    def __str__(self) -> str:
        problems = [problem.with_fix() for problem in self.problems]
        return "\n".join([*problems, *map(str, self.datasets.values()), self.summary()])

    def __repr__(self) -> str:
        return f"Findings({self.summary()}; {'; '.join(map(str, self.datasets.values()))})"


def check_data(labels: LabelFolder, progress: Callable[[int, int], None] | None = None) -> Findings:
    """Check all files, labels and pixels of a data set; ``progress(done, total)`` is called after each image."""
    problems: list[Problem] = []
    read: dict[str, Tables] = {}
    datasets: dict[str, CocoDataset] = {}
    cause: InputError | None = None
    for split in split_names(labels):
        try:
            read[split] = read_split(labels, split)
        except SystematicError as error:
            cause = error
            problems.append(problem_of(error, _CAUSES, split, "left out"))
        except InputError as error:
            problems.append(_unreadable(split, error))
    problems += _odd_files({labels.root, *(tables.folder for tables in read.values())})
    problems += _similar_class_names(read.values())
    for split, tables in read.items():
        problems += _merge_classes(tables)
        try:
            dataset = datasets[split] = build_dataset(tables, check_files=True)
            if dataset.cause and dataset.cause.is_known:
                cause = InputError(dataset.cause.what, tables.path, dataset.cause.fix)
                problems.append(problem_of(cause, _CAUSES, split, "kept"))
            problems += dataset.problems
            dataset.notes += tuple(content_remarks(dataset))
        except SystematicError as error:
            cause = error
            problems += [problem_of(error, _CAUSES, split, "left out"), *tables.problems]
        except InputError as error:
            problems += [_unreadable(split, error), *tables.problems]
    problems += labels.strays(list(read.values()))
    problems += _other_classes(datasets)

    total, done = sum(len(dataset.images) for dataset in datasets.values()), 0
    for split, dataset in datasets.items():
        unusable, repeated = set(), set()
        with ThreadPool() as pool:
            for image, error in zip(dataset.images, pool.imap(_read_error, dataset.images), strict=True):
                if error:
                    problems.append(unusable_image(image.path, error))
                    unusable.add(image.id)
                else:
                    for id_ in repeated_boxes(dataset, image):
                        where, what = read[split].place_of(id_, image.file_name), "a box that its image has already"
                        problems.append(Problem("boxes that are there twice", where, what, "remove it", "left out"))
                        repeated.add(id_)
                done += 1
                if progress:
                    progress(done, total)
        datasets[split] = dataset.without(unusable, repeated)
    duplicates, left_out = _duplicate_images(datasets)
    datasets = {split: dataset.without(left_out[split], set()) for split, dataset in datasets.items()}
    once = list(dict.fromkeys(problems + duplicates))  # splits that share a list of classes share its problems
    return Findings(once, {split: dataset for split, dataset in datasets.items() if dataset.images}, cause)


def _unreadable(split: str, error: InputError) -> Problem:
    return problem_of(error, "splits that cannot be read", split, "left out")


def _read_error(image: ImageRecord) -> InputError | None:
    """What is wrong with an image's pixels."""
    try:
        image.read()
    except InputError as error:
        return error
    return None


def _odd_files(folders: Iterable[Path]) -> Iterator[Problem]:
    """Names that differ only in case, and links to nothing or to a folder that contains them."""
    places = sorted({Path(os.path.realpath(folder)): folder for folder in folders}.items())
    outermost = [place for real, place in places if not any(other in real.parents for other, _ in places)]
    unreadable: list[OSError] = []
    outermost = [top for top in outermost if top.is_dir()]
    for top in outermost:  # grows by linked folders
        for parent, names, files in os.walk(top, onerror=unreadable.append):
            names[:] = sorted(name for name in names if not is_junk(name))
            linked = [path for name in names if os.path.islink(path := os.path.join(parent, name))]
            outermost += [Path(path) for path in linked if not _is_below(path, outermost)]
            first: dict[str, str] = {}
            for name in sorted(files):
                other = first.setdefault(name.casefold(), name)
                if other != name:
                    what, fix = f"differs from {other} only in case", "rename one: on many disks they are one file"
                    yield Problem("names that differ only in case", os.path.join(parent, name), what, fix, "fixed")
            for name in (*names, *files):
                path = os.path.join(parent, name)
                if os.path.islink(path) and (what := _link_problem(path)):
                    yield Problem("links that lead nowhere", path, what, "remove it", "left out")

    for error in unreadable:
        what, fix = f"the folder cannot be read ({error.strerror})", "change its permissions"
        yield Problem("folders that cannot be read", str(error.filename), what, fix, "left out")


def _is_below(path: str, folders: Iterable[Path]) -> bool:
    real = Path(os.path.realpath(path))
    return contains_itself(path) or any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def _link_problem(path: str) -> str | None:
    try:
        os.stat(path)
    except FileNotFoundError:
        return leads_nowhere(path)
    except OSError as error:
        return f"a link that cannot be followed ({error.strerror})"
    return "a link to a folder that contains it" if contains_itself(path) else None


def _similar_class_names(read: Iterable[Tables]) -> Iterator[Problem]:
    """Classes whose names differ only in case and spaces."""
    similar: dict[str, dict[str, Path]] = defaultdict(dict)
    for tables in read:
        for category in tables.categories:
            if isinstance(name := category.get("name"), str):
                similar["".join(name.split()).casefold()].setdefault(name, tables.path)
    for names in similar.values():
        if len(names) > 1:
            listed = " and ".join(repr(name) for name in names)
            what, fix = f"the classes {listed} differ only in case or spaces", "give them one name if they are one"
            yield Problem("class names that look alike", str(list(names.values())[-1]), what, fix, "kept")


def _merge_classes(tables: Tables) -> Iterator[Problem]:
    """Merge classes of the same name, which `build_dataset` refuses."""
    first: dict[Any, Any] = {}
    merged: dict[Any, Any] = {}
    categories = []
    for i, category in enumerate(tables.categories):
        name, id_ = str(category.get("name")), category.get("id")
        if name in first:
            what, fix = f"{tables.category_entry.format(i)} {name!r} stands twice", "rename or remove one"
            yield Problem("class names that stand twice", str(tables.path), what, fix, "fixed")
            merged[str(id_)] = first[name]
        else:
            first[name] = id_
            categories.append(category)
    tables.categories = categories
    for annotation in tables.annotations if merged else ():
        annotation["category_id"] = merged.get(str(annotation.get("category_id")), annotation.get("category_id"))


def _other_classes(datasets: Mapping[str, CocoDataset]) -> Iterator[Problem]:
    """Splits whose classes differ from the first split's."""
    splits = list(datasets)
    for split in splits[1:]:
        names, first = set(datasets[split].class_names), set(datasets[splits[0]].class_names)
        if names != first:
            parts = [f"lacks {sorted(first - names)}" if first - names else ""]
            parts += [f"has {sorted(names - first)} besides" if names - first else ""]
            what = f"compared with {splits[0]}, its classes: " + ", ".join(filter(None, parts))
            fix = "list the same classes in every split"
            yield Problem("splits with other classes", str(datasets[split].json_path), what, fix, "fixed")


def _duplicate_images(datasets: Mapping[str, CocoDataset]) -> tuple[list[Problem], dict[str, set[int]]]:
    """Images whose files have the same bytes, and by split those that a copy leaves out without losing a box."""
    ranked = sorted(datasets, key=lambda split: plain_name(split) not in _HELD_BACK)
    same_size: dict[int, list[tuple[str, ImageRecord]]] = defaultdict(list)
    for split in ranked:
        for image in datasets[split].images:
            same_size[image.path.stat().st_size].append((split, image))
    same: dict[bytes, list[tuple[str, ImageRecord]]] = defaultdict(list)
    for entries in same_size.values():
        for split, image in entries if len(entries) > 1 else ():
            same[hashlib.sha256(image.path.read_bytes()).digest()].append((split, image))
    problems = []
    left_out: dict[str, set[int]] = {split: set() for split in datasets}
    for (first_split, first), *others in same.values():
        boxes = set(box_keys(datasets[first_split], first))
        for split, image in others:
            has_more = not boxes.issuperset(box_keys(datasets[split], image))
            if not has_more:
                left_out[split].add(image.id)
            kind = "images that are there twice" if split == first_split else "images in two splits"
            what = f"the same picture as {first.path}" + ("" if split == first_split else f" of {first_split}")
            fix = "remove one, and label the other in full: their boxes differ" if has_more else "remove one"
            problems.append(Problem(kind, str(image.path), what, fix, "kept" if has_more else "image left out"))
    return problems, left_out
