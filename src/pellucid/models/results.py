"""What modules return: tensors, tuples, dicts, ModelOutputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pellucid.errors import ModelError

__all__ = ["OutputChoice", "first_tensor", "output_of", "with_first_tensor"]

OutputChoice = Callable[[Any], Tensor] | str | int | None

_LOGITS = ("logits", "out")  # in a Hugging Face ModelOutput, in a torchvision segmentation


def first_tensor(result: Any) -> Tensor | None:
    """The tensor a module's result stands for: itself, or the first in a tuple, dict or ModelOutput."""
    if isinstance(result, Tensor):
        return result
    parts = result.values() if isinstance(result, Mapping) else result if isinstance(result, (tuple, list)) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def with_first_tensor(result: Any, value: Tensor) -> Any:
    """The same result with its first tensor, as `first_tensor` finds it, replaced."""
    if isinstance(result, Tensor):
        return value
    items = result.items() if isinstance(result, Mapping) else enumerate(result)
    place = next(key for key, part in items if first_tensor(part) is not None)
    inner = with_first_tensor(result[place], value)
    if isinstance(result, Mapping):
        changed = copy.copy(result)
        changed[place] = inner  # type: ignore[index]  # dicts and ModelOutputs can be written to
        return changed
    parts = [*result[:place], inner, *result[place + 1 :]]
    return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)


def output_of(result: Any, choice: OutputChoice, model_name: str) -> Tensor:
    """The logits in whatever a network returned: by key, index or function, else `logits` or `out`, else the first.

    Raises:
        ModelError: there is no such tensor.
    """
    if choice is None:
        named = result if isinstance(result, Mapping) else {key: getattr(result, key, None) for key in _LOGITS}
        tensors = (value for key in _LOGITS if isinstance(value := named.get(key), Tensor))
        found = next(tensors, None)
        found = first_tensor(result) if found is None else found
    else:
        try:
            found = choice(result) if callable(choice) else result[choice]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelError(f"output={choice!r} does not fit the result of {model_name}: {error!r}") from error
    if not isinstance(found, Tensor):
        raise ModelError(f"{model_name} returned no tensor, but {type(result).__name__}; pass output=… to pl.Model")
    return found
