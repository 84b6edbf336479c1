"""Which output a class name stands for."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.errors import ModelError, TargetError, did_you_mean

__all__ = ["class_index", "find_class"]


def find_class(name: str, classes: Sequence[str], model_name: str) -> int:
    """The index of the class of this name, or of one of the synonyms between its commas, or that it is a part of.

    The closest way of fitting wins, and then only one class may fit: ImageNet has two that are called crane.

    Raises:
        TargetError: no class, or several, fit.
    """
    wanted = name.casefold()
    folded = [label.casefold() for label in classes]
    synonyms = [[part.strip() for part in label.split(",")] for label in folded]
    found = (
        [i for i, label in enumerate(classes) if name == label]
        or [i for i, label in enumerate(folded) if wanted == label]
        or [i for i, parts in enumerate(synonyms) if wanted in parts]
        or [i for i, label in enumerate(folded) if wanted in label]
    )
    if len(found) == 1:
        return found[0]
    if found:
        options = ", ".join(f"{classes[i]!r} ({i})" for i in found[:5])
        raise TargetError(f"class {name!r} of {model_name} could be {options}: give the whole name or its index")
    hint = did_you_mean(wanted, dict.fromkeys(part for parts in synonyms for part in parts))
    raise TargetError(f"no class {name!r} in {model_name}.{hint}")


def class_index(name: str, classes: Sequence[str] | None, count: int, model_name: str) -> int:
    """The output that a class name or index stands for, among `count`.

    Raises:
        TargetError: no class, or several, fit.
        ModelError: the names are not as many as the outputs.
    """
    if name.isdecimal():
        if int(name) >= count:
            raise TargetError(f"class {name} is out of range: {model_name} has {count} classes, 0 to {count - 1}")
        return int(name)
    if classes is None:
        raise TargetError(f"{model_name} has no class names; give an index, 0 to {count - 1}, instead of {name!r}")
    if len(classes) != count:
        raise ModelError(f"{model_name} has {count} outputs, but {len(classes)} class names were given")
    return find_class(name, classes, model_name)
