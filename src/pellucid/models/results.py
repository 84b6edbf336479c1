"""What modules return: tensors, tuples, dicts, ModelOutputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pellucid.errors import ModelError

__all__ = ["OutputChoice", "first_tensor", "output_of"]

OutputChoice = Callable[[Any], Tensor] | str | int | None

_LOGITS = ("logits", "out")  # in a Hugging Face ModelOutput, in a torchvision segmentation


def first_tensor(result: Any) -> Tensor | None:
    """The tensor a module's result stands for: itself, or the first in a tuple, dict or ModelOutput."""
    if isinstance(result, Tensor):
        return result
    parts = result.values() if isinstance(result, Mapping) else result if isinstance(result, (tuple, list)) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


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
