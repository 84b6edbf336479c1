"""A recipe is plain data: it reads, writes, compares, and refuses what it does not know."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from pellucid.ascent.recipe import Recipe
from pellucid.errors import RecipeError


def test_a_recipe_survives_json_and_toml(tmp_path: Path) -> None:
    recipe = Recipe(steps=12, size=(32, 48), snapshots=(12, 0), transforms="jitter:2")
    (tmp_path / "a.json").write_text(json.dumps(recipe.as_dict()))
    assert Recipe.load(tmp_path / "a.json") == recipe
    (tmp_path / "a.toml").write_text('steps = 12\nsize = [32, 48]\nsnapshots = [0, 12]\ntransforms = "jitter:2"\n')
    assert Recipe.load(tmp_path / "a.toml") == recipe
    assert Recipe.load(tmp_path / "a.toml").hash == recipe.hash != Recipe().hash


def test_every_setting_says_what_it_is() -> None:
    assert all(setting.metadata["help"] for setting in fields(Recipe))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"steps": 3', "is not a recipe"),
        ("[1]", "it holds a list"),
        ('{"lerning_rate": 1}', "Did you mean 'learning_rate'"),
        ('{"image": "furier"}', "no image 'furier'. Did you mean 'fourier'?"),
        ('{"schedule": "x"}', "There are: constant, linear, cosine"),
        ('{"learning_rate": -1}', "learning_rate must be a positive number"),
        ('{"snapshots": [400]}', "snapshots lie between 0 and steps (256)"),
        ('{"size": [1, 2, 3]}', "size is a height and a width"),
    ],
)
def test_a_bad_recipe_is_refused_with_the_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(RecipeError) as caught:
        Recipe.load(tmp_path / "bad.json")
    assert message in str(caught.value)


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        Recipe.load(tmp_path / "none.toml")
