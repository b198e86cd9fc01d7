"""The words of ``--classes``."""

from __future__ import annotations

from collections.abc import Sequence

from cornernet.errors import InputError, nearest


def parse_classes(text: str | None, class_names: Sequence[str]) -> set[int] | None:
    """``"person,dog"``, ``"0,16"`` or a mixture as indices into ``class_names``; ``None`` for all classes.

    A name may have commas in it: of the parts of ``text``, as many are taken together as make a name. A name comes
    before a number. Raises ``InputError`` for a class that is not among them.
    """
    if text is None:
        return None
    index = {" ".join(name.split()): label for label, name in reversed([*enumerate(class_names)])}
    parts, found, start = text.split(","), set[int](), 0
    while start < len(parts):
        ends = range(len(parts), start, -1)
        joined = {end: " ".join(",".join(parts[start:end]).split()) for end in ends}
        end = next((end for end in ends if joined[end] in index), start + 1)
        word = joined[end]
        is_number = word.isascii() and word.isdecimal() and int(word) < len(class_names)
        if word not in index and not is_number:
            shown = f"{', '.join(class_names[:8])}{' ...' if len(class_names) > 8 else ''}"
            fix = nearest(word, index, f"there are {shown} (numbers 0 to {len(class_names) - 1})")
            raise InputError(f"the weights have no class {word!r}", "--classes", fix)
        found.add(index[word] if word in index else int(word))
        start = end
    return found
