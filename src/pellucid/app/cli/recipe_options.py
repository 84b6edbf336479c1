"""Every setting of a recipe as an option, made from the fields of `Recipe`: the two cannot drift apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pellucid.app.cli.model_options import read_size
from pellucid.ascent.recipe import Recipe, kind_of
from pellucid.errors import RecipeError

__all__ = ["RecipeFile", "option_name", "read_recipe", "with_recipe_options"]

# Where an option stands in the help; a field that is not named here comes last, by itself.
_PANELS = {
    "Picture": ("size", "image", "squash", "color", "alpha", "decay", "sd", "start", "seed"),
    "Ascent": (
        *("steps", "learning_rate", "schedule", "final_rate", "optimizer", "transforms", "blur", "octaves", "refine"),
        *("parameter_noise", "noise_draws", "refine_draws", "plateau", "plateau_gain", "level", "best_of", "rescue"),
    ),
    "What else moves the picture": ("penalties", "prior", "relu_gradient", "max_pool_gradient"),
    "Groups": ("members", "diversity", "alignment", "group_layer", "shared_low_res", "shared_start"),
    "Run": ("snapshots", "precision", "layout", "fold", "trial", "batch", "lanes", "device"),
}
_METAVARS = {
    "size": "H[xW]",
    "snapshots": "N,N,…",
    "start": "FILE",
    "transforms": "NAME|STEPS",
    "penalties": "NAME:X",
    "blur": "X,X",
    "octaves": "NAME|OCTAVES",
    "group_layer": "LAYER",
}


RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="Settings from TOML or JSON; options override them.")
]
"""Where a recipe is read from."""


def option_name(field: Field[Any]) -> str:
    """The option that sets a field: `learning_rate` is `--learning-rate`."""
    return f"--{field.name.replace('_', '-')}"


def with_recipe_options(command: Callable[..., Any], only: Collection[str] | None = None) -> Callable[..., Any]:
    """A command that takes every recipe field, or some, as an option and passes those given on as dict `settings`."""
    taken = [field for panel in [*_PANELS, "Recipe"] for field in _fields_of(panel) if not only or field.name in only]
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
    settings = [_parameter(field) for field in taken]

    def with_settings(**given: Any) -> Any:
        chosen = {field.name: given.pop(field.name) for field in taken}
        return command(**given, settings={name: value for name, value in chosen.items() if value is not None})

    # Typer reads options off a signature.
    with_settings.__signature__ = inspect.Signature([*own, *settings])  # type: ignore[attr-defined]
    with_settings.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *settings]}
    with_settings.__doc__ = command.__doc__
    return with_settings


def read_recipe(file: Path | None, settings: dict[str, Any]) -> Recipe:
    """The recipe of a file, or the default one, with the options given on top.

    Raises:
        RecipeError: the file or an option is bad.
    """
    given = {field.name: _value(field, settings[field.name]) for field in fields(Recipe) if field.name in settings}
    return Recipe.of(Recipe.load(file) if file is not None else None, **given)


def _fields_of(panel: str) -> list[Field[Any]]:
    by_name = {field.name: field for field in fields(Recipe)}
    if panel in _PANELS:
        return [by_name[name] for name in _PANELS[panel] if name in by_name]
    placed = {name for names in _PANELS.values() for name in names}
    return [field for name, field in by_name.items() if name not in placed]


def _parameter(field: Field[Any]) -> inspect.Parameter:
    """One option; None stands for "not given", so that a recipe's file is not overridden by defaults."""
    is_flag = isinstance(field.default, bool)
    name = option_name(field)
    option = typer.Option(
        f"{name}/--no-{name[2:]}" if is_flag else name,
        help=f"{escape(field.metadata['help'])}{_default(field)}",
        metavar=None if is_flag else _metavar(field),
        show_default=False,
        rich_help_panel=next((panel for panel, names in _PANELS.items() if field.name in names), "Recipe"),
    )
    annotation = Annotated[bool | None, option] if is_flag else Annotated[str | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(field: Field[Any]) -> str:
    by_type = {int: "N", float: "X"}.get(kind_of(field), "NAME")
    return _METAVARS.get(field.name, by_type)


def _default(field: Field[Any]) -> str:
    if field.default is None or field.default in ((), ""):
        return ""
    shown = {True: "on", False: "off"}[field.default] if isinstance(field.default, bool) else field.default
    return f" [dim]({shown})[/dim]"


def _value(field: Field[Any], given: Any) -> Any:
    """An option's text as the type of its field.

    Raises:
        RecipeError: it is none.
    """
    if field.name == "size":
        return read_size(given)
    if field.name == "snapshots":
        return _numbers(field, given, int, "a list of steps, such as 0,16,64")
    if field.name == "blur":
        return _numbers(field, given, float, "two sigmas in px, such as 2.4,0.8")
    kind = kind_of(field)
    if kind not in (int, float):
        return given
    try:
        return kind(given)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise RecipeError(f"{option_name(field)} is {what}, not {given!r}") from None


def _numbers(field: Field[Any], text: str, kind: type, what: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise RecipeError(f"{option_name(field)} is {what}, not {text!r}") from None
