"""What every section of a recipe shares: reading, overrides, and mistakes told all at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from acclimate.errors import RecipeError
from acclimate.recipe import (
    Section,
    apply_overrides,
    check,
    parse_overrides,
    read_recipe,
    unknown_key,
    validate,
    write_yaml,
)


class Oven(Section):
    SHORTHAND: ClassVar[str | None] = "degrees"

    degrees: int = 180
    fan: bool = False


class Topping(Section):
    SHORTHAND: ClassVar[str | None] = "name"
    RENAMED: ClassVar[Mapping[str, str]] = {"quantity": "write `grams`"}

    name: str
    grams: float = Field(10.0, gt=0)


class Pizza(Section):
    RENAMED: ClassVar[Mapping[str, str]] = {"flour": "write `dough`"}

    dough: Literal["wheat", "rye"] = "wheat"
    oven: Oven = Oven()
    toppings: list[Topping] = []
    spare: Topping | None = None
    extra: dict[str, Any] = {}
    notes: str | list[str] = ""
    slices: int

    @model_validator(mode="after")
    def _even(self) -> Pizza:
        if self.slices % 2:
            raise ValueError("`slices` must be even")
        return self


def read(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_recipe(path)


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # As in the core schema of YAML 1.2, not as in YAML 1.1.
        ("1e-4", 1e-4),
        ("5E3", 5000.0),
        ("+1.5e+2", 150.0),
        (".5e1", 5.0),
        ("1.0", 1.0),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("500", 500),
        ("-3", -3),
        ("1_000", 1000),
        ("0", 0),
        ("007", "007"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1e-4'", "1e-4"),
        ("資治通鑑", "資治通鑑"),
        ("[1e-4, no, [a, {b: 2}]]", [1e-4, "no", ["a", {"b": 2}]]),
    ],
)
def test_values_are_read_as_people_write_them(tmp_path: Path, text: str, value: Any) -> None:
    found = read(tmp_path, f"key: {text}\n")["key"]
    assert found == value and type(found) is type(value)
    assert parse_overrides([f"key={text}"]) == {"key": value}


def test_nan_is_a_number(tmp_path: Path) -> None:
    value = read(tmp_path, "key: .nan\n")["key"]
    assert value != value


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffmodel: a\r\nseed: 3\r\n") == {"model": "a", "seed": 3}


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nmiddle: &middle\n  <<: *base\n  b: 3\nlast:\n  <<: *middle\n  c: 4\n"
    assert read(tmp_path, text)["last"] == {"a": 1, "b": 3, "c": 4}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping"),
        ("# only a comment\n", "must be a mapping"),
        ("- model\n- corpus\n", "must be a mapping"),
        ("just words\n", "must be a mapping"),
        ("a: 1\na: 2\n", "the key 'a' is given twice.*line 2"),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", "the key 'a' is given twice.*line 4"),
        ("x: [{a: 1, a: 2}]\n", "the key 'a' is given twice"),
        ("training:\n\tmax_steps: 3\n", r"not valid YAML.*'\\t'.*line 2"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 'x\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("model: {{ name }}\n", "a key must be a plain word.*line 1"),
        ("? [a, b]\n: 1\n", "a key must be a plain word"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: *nowhere\n", "not valid YAML"),
        ("a: \x00\n", "not valid YAML"),
        (b"a: caf\xe9\n", "cannot be read"),
        ("a: 1\n".encode("utf-16"), "cannot be read"),
    ],
)
def test_files_that_are_no_recipes_are_told(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(RecipeError, match=rf"(?s)recipe .*recipe\.yaml .*{told}"):
        read(tmp_path, text)


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe .*no\.yaml does not exist"):
        read_recipe(tmp_path / "no.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)


TRICKY = st.sampled_from(["no", "1e-4", "7e10", "12:30", "2024-01-01", "null", "~", "", "<<", "=", "a: b", "- x", "#"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | TRICKY
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | TRICKY, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), PLAIN, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "recipe.yaml"
    path.write_text(write_yaml(data), encoding="utf-8", newline="\n", errors="surrogatepass")
    assert read_recipe(path) == data


@given(st.dictionaries(TRICKY, TRICKY, max_size=4))
def test_other_readers_of_yaml_read_the_same_text(data: dict[str, str]) -> None:
    # PyYAML's own loader follows YAML 1.1.
    assert yaml.safe_load(write_yaml(data)) == data


# ---- overrides ------------------------------------------------------------------------------------------------------


def test_overrides_are_keys_and_yaml_values() -> None:
    assert parse_overrides(["a.b=500", " c =x y", "d=[1, a]", "e=", "f=x=y", "g={h: 1}", "資=治"]) == {
        "a.b": 500,
        "c": "x y",
        "d": [1, "a"],
        "e": None,
        "f": "x=y",
        "g": {"h": 1},
        "資": "治",
    }


def test_overrides_that_cannot_be_read_are_told_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_overrides(["seed", "=3", "a..b=1", ".a=1", "ok=1", "x=[1", "y={a: 1, a: 2}"])
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "`seed`",
        "`=3`",
        "`a..b=1`",
        "`.a=1`",
        "`x=[1`",
        "`y={a",
    ]


@pytest.mark.parametrize(
    ("data", "overrides", "expected"),
    [
        ({}, {"slices": 8}, {"slices": 8}),
        ({"slices": 4}, {"slices": 8}, {"slices": 8}),
        ({}, {"oven.fan": True}, {"oven": {"fan": True}}),
        # A shorthand on the way is written out, and its value kept.
        ({"oven": 200}, {"oven.fan": True}, {"oven": {"degrees": 200, "fan": True}}),
        # A bare value for a section that is written out is its shorthand, and the rest is kept.
        ({"oven": {"fan": True}}, {"oven": 200}, {"oven": {"fan": True, "degrees": 200}}),
        ({"oven": {"fan": True}}, {"oven": {"degrees": 9}}, {"oven": {"degrees": 9}}),
        ({"oven": {"fan": True}}, {"oven": None}, {"oven": None}),
        ({"oven": None}, {"oven.fan": True}, {"oven": {"fan": True}}),
        ({"spare": "ham"}, {"spare.grams": 3}, {"spare": {"name": "ham", "grams": 3}}),
        ({}, {"oven": 200, "oven.fan": True}, {"oven": {"degrees": 200, "fan": True}}),
        # Lists: an item by its number, the whole, and one item written without its list.
        ({"toppings": ["a", "b"]}, {"toppings.1.grams": 3}, {"toppings": ["a", {"name": "b", "grams": 3}]}),
        ({"toppings": ["a", {"name": "b"}]}, {"toppings.0": "c"}, {"toppings": ["c", {"name": "b"}]}),
        ({"toppings": ["a", {"grams": 1}]}, {"toppings.1": "c"}, {"toppings": ["a", {"grams": 1, "name": "c"}]}),
        ({"toppings": "a"}, {"toppings.0.grams": 3}, {"toppings": [{"name": "a", "grams": 3}]}),
        ({"toppings": ["a"]}, {"toppings": ["b", ["c"]]}, {"toppings": ["b", ["c"]]}),
        # Free mappings, whose keys may be numbers and whose lists may hold lists.
        ({}, {"extra.id2label.0": "x"}, {"extra": {"id2label": {"0": "x"}}}),
        ({"extra": {"a": [[1, 2], [3]]}}, {"extra.a.0.1": 9}, {"extra": {"a": [[1, 9], [3]]}}),
        ({}, {"typo.a": 1}, {"typo": {"a": 1}}),  # `check` tells of it
    ],
)
def test_overrides_reach_their_place(data: Any, overrides: Any, expected: Any) -> None:
    before = repr(data)
    assert apply_overrides(data, overrides, Pizza) == expected
    assert repr(data) == before  # a copy was changed


@pytest.mark.parametrize(
    ("data", "path", "told"),
    [
        ({"slices": 3}, "slices.x", "there is 3, which has no settings below it"),
        ({"extra": 5}, "extra.x", "there is 5, which has no settings below it"),
        ({"toppings": ["a"]}, "toppings.1.grams", "there is no item 1 in a list of 1"),
        ({"toppings": ["a"]}, "toppings.-1", "there is no item -1 in a list of 1"),
        ({"toppings": ["a"]}, "toppings.name", "there is no item name in a list of 1"),
        ({}, "toppings.0.grams", "there is no item 0 in a list of 0"),
    ],
)
def test_overrides_that_lead_nowhere_are_told(data: Any, path: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(data, {path: 1, "slices": 4}, Pizza)
    (problem,) = caught.value.problems
    assert problem.startswith(f"`{path}`: {told}")


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_a_right_section_has_no_mistakes() -> None:
    data = {"slices": 8, "oven": 200, "toppings": ["ham", {"name": "olives", "grams": 5}], "spare": "basil"}
    assert check(Pizza, data) == []
    pizza = validate(Pizza, data, "pizza")
    assert pizza.oven == Oven(degrees=200)
    assert pizza.toppings == [Topping(name="ham"), Topping(name="olives", grams=5)]
    assert pizza.spare == Topping(name="basil")


def test_a_section_with_nothing_in_it_is_left_out() -> None:
    # `oven:` above lines that are commented out.
    pizza = validate(Pizza, {"slices": 8, "oven": None, "extra": None, "spare": None}, "pizza")
    assert (pizza.oven, pizza.extra, pizza.spare) == (Oven(), {}, None)
    assert check(Pizza, {"slices": None}) == ["`slices`: expected a whole number, got None"]


def test_all_mistakes_are_told_at_once_with_their_paths() -> None:
    data = {
        "dough": "corn",
        "oven": {"degrees": "hot", "fna": True},
        "toppings": ["ham", {"grams": 0, "quantity": 3}, 7],
        "notes": 3,
        "flour": "wheat",
        "grams": 3,
        "xyz": 1,
    }
    with pytest.raises(RecipeError) as caught:
        validate(Pizza, data, "pizza.yaml")
    assert str(caught.value).startswith("pizza.yaml has 12 mistakes:\n")
    assert sorted(caught.value.problems) == sorted(
        [
            "`dough`: Input should be 'wheat' or 'rye', got 'corn'",
            "`oven.degrees`: expected a whole number, got 'hot'",
            "unknown key `oven.fna`; did you mean `oven.fan`?",
            "`toppings.1.name` is missing",
            "`toppings.1.grams`: Input should be greater than 0, got 0",
            "`toppings.1.quantity` is not a setting here: write `grams`",
            "`toppings.2.name`: expected text, got 7; put it in quotes",
            "`notes`: expected text or a list, got 3; put it in quotes",
            "`flour` is not a setting here: write `dough`",
            "unknown key `grams`; `grams` belongs at `spare.grams`",
            "unknown key `xyz`; known here: dough, extra, notes, oven, slices, spare, toppings",
        ]
        + ["`slices` is missing"]
    )


def test_rules_between_settings_are_told() -> None:
    assert check(Pizza, {"slices": 7}) == ["`slices` must be even"]
    assert check(Pizza, {"slices": 7}, "dinner") == ["`dinner`: `slices` must be even"]


@pytest.mark.parametrize("value", [3, "x", ["a"], True])
def test_what_is_no_section_is_told(value: Any) -> None:
    assert check(Pizza, {"slices": 2, "extra": value}) == [f"`extra`: expected a mapping of settings, got {value!r}"]


def test_keys_that_are_no_text_are_told() -> None:
    assert check(Pizza, {"slices": 2, 1: 2}) == ["`1`: Keys should be strings, got 1"]


def test_a_long_value_is_cut_short_in_the_message() -> None:
    (problem,) = check(Pizza, {"slices": "x" * 10_000})
    assert len(problem) < 200


def test_places_from_elsewhere_are_told_with_the_prefix_of_the_section() -> None:
    places = {"waiter": "service.waiter", "fan": "service.fan", "tip": "tip"}
    assert check(Oven, {"waiter": 1}, "pizza.oven", places=places) == [
        "unknown key `pizza.oven.waiter`; `waiter` belongs at `service.waiter`"
    ]
    assert check(Oven, {"tip": 1}, "oven", places=places) == [
        "unknown key `oven.tip`; `tip` stands at the top of the recipe"
    ]
    assert check(Pizza, {"slices": 2, "degrees": 1}, "p") == [
        "unknown key `p.degrees`; `degrees` belongs at `p.oven.degrees`"
    ]


def test_of_two_places_the_one_nearest_the_top_is_told() -> None:
    class Menu(Section):
        dinner: Pizza | None = None
        oven: Oven = Oven()

    assert check(Menu, {"fan": True}) == ["unknown key `fan`; `fan` belongs at `oven.fan`"]


def test_not_more_known_keys_are_named_than_can_be_read() -> None:
    text = unknown_key("x", "x", [f"key_{number:03}" for number in range(100)], {})
    assert text.endswith("key_029, …") and "key_030" not in text
