"""Plain values from YAML, JSON and the command line into typed dataclasses, and back.

A *kind* is a dataclass of a family, such as one backbone's settings. The family's base class has ``kinds``, a
dictionary of its classes by name, and ``kind(name)``, which finds one. Its plain form is its name, or a dictionary with
``name`` and fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cornernet.errors import InputError, nearest

T = TypeVar("T")

_ACCEPTED: dict[object, tuple[type, ...]] = {bool: (bool,), int: (int, str), float: (float, int, str), str: (str,)}
_EXPECTED: dict[object, tuple[str, str]] = {  # and an example
    bool: ("true or false", ""),
    int: ("a whole number", "give one, such as 3"),
    float: ("a number", "give one, such as 0.5"),
    str: ("a text", "put it in quotation marks"),
    tuple: ("a list", "give one, such as [1, 2]"),
    dict: ("names with values", "give them, such as {a: 0.5}"),
}


def build(cls: type[T], values: object, where: str, prefix: str = "") -> T:
    """The dataclass ``cls`` of a dictionary of plain values; fields that are not given keep their defaults.

    ``where`` (such as ``recipe mine.yaml``) and ``prefix`` (such as ``model.``) begin the place in messages. Raises
    ``InputError`` with the field for a value of another type, an unknown or a missing field, and for a ``ValueError``
    of the dataclass itself.
    """
    if not isinstance(values, Mapping):
        name = prefix.removesuffix(".") or "this"
        raise InputError(f"{name} must be fields with values, not {values!r}", where, "write them as FIELD: VALUE")
    hints, known = get_type_hints(cls), {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            fix = nearest(str(name), known, f"there are {', '.join(known) or 'none'}", prefix)
            raise InputError(f"{prefix}{name} is no field", where, fix)
    for name, field in known.items():
        if name not in values and default_of(field) is MISSING:
            raise InputError(f"{prefix}{name} is missing", where, "give it a value")
    given = {
        name: convert(hints[name], value, where, f"{prefix}{name}", default_of(known[name]))
        for name, value in values.items()
    }
    try:
        return cls(**given)
    except ValueError as error:
        raise InputError(str(error), f"{where}: {prefix.removesuffix('.')}" if prefix else where) from None


def convert(hint: Any, value: object, where: str, name: str, default: object = MISSING) -> Any:
    """A plain value as the type ``hint``. A kind without a name is of the kind of ``default``.

    Numbers may be texts: YAML reads 1e-3 as a text. Raises ``InputError`` that begins with ``where`` and ``name``.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        options = [option for option in inner if option is not NoneType]
        return None if value is None and NoneType in inner else convert(options[0], value, where, name, default)
    if hasattr(hint, "kinds"):
        return _kind(hint, value, where, name, default)
    if is_dataclass(hint):
        return build(hint, value, where, f"{name}.")  # type: ignore[arg-type]
    if origin is Literal:
        match = [choice for choice in inner if choice == value and type(choice) is type(value)]
        if not match:
            raise InputError(f"{name} must be one of {', '.join(map(str, inner))}, not {_shown(value)}", where)
        return match[0]
    if origin is tuple and isinstance(value, (list, tuple)):
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise InputError(f"{name} must be a list of {len(inner)} values, not {_shown(list(value))}", where)
        each = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(convert(each[i], item, where, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): convert(inner[1], item, where, f"{name}.{key}") for key, item in value.items()}
    accepted = _ACCEPTED.get(hint, ())
    if isinstance(value, accepted) and isinstance(value, bool) == (hint is bool):  # a bool is an int to Python
        try:
            return hint(value)
        except (ValueError, OverflowError):
            pass
    expected, example = _EXPECTED[origin or hint]
    if hint is float and isinstance(value, str) and (number := with_decimal_point(value)):
        example = f"write {number}"
    raise InputError(f"{name} must be {expected}, not {_shown(value)}", where, example)


def _shown(value: object) -> str:
    """A value for a message, cut to a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ... ({len(text)} characters)"


def with_decimal_point(text: str) -> str:
    """A number that was written with a decimal comma, as 0.4 for 0,4; otherwise nothing."""
    return text.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+", text) else ""


def _kind(family: Any, value: object, where: str, name: str, default: object) -> Any:
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise InputError(f"{name} must be a name, or a name and fields, not {_shown(value)}", where)
    try:
        cls = family.kind(str(given.get("name", getattr(default, "name", ""))))
    except InputError as error:
        raise error.at(f"{where}: {name}") from None
    return build(cls, {key: item for key, item in given.items() if key != "name"}, where, f"{name}.")


def default_of(field: Field[Any]) -> Any:
    """A field's default; ``dataclasses.MISSING`` where it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists; a kind without fields as its name alone."""
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if not hasattr(value, "kinds"):
            return values
        return {"name": value.name} | values if values else value.name  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
