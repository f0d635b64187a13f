"""Tables: what ships, and how a user's mistakes in one are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa_bench.errors import RecipeError, UnknownName
from ofa_bench.space import load_table, round8, table_names

from .spaces import loaded

SHIPPED = [
    *("laptop-32", "laptop-32-proxyless", "laptop-8", "mobilenetv3", "mobilenetv3-32"),
    "mobilenetv3-compofa",
    *("mobilenetv3-ofa", "mobilenetv3-ofa-32", "mobilenetv3-ofa-w1.2", "mobilenetv3-ofa-w1.2-32"),
    *("proxylessnas", "proxylessnas-32", "proxylessnas-ofa", "proxylessnas-ofa-32"),
    *("proxylessnas-ofa-w1.3", "proxylessnas-ofa-w1.3-32", "toy"),
]


def test_round8() -> None:
    expected = {18: 24, 30: 32, 36: 40, 84: 88, 19.2: 24, 20.8: 24, 41.6: 40, 124.8: 128}
    assert {value: round8(value) for value in expected} == expected
    assert (round8(249.6), round8(1)) == (248, 8)


def test_every_shipped_table_says_what_it_is() -> None:
    assert table_names() == SHIPPED
    for name in SHIPPED:
        table = load_table(name)
        assert table.name == name and table.summary and table.source
        assert set(table.listed) <= set(table.resolutions)


def test_widths() -> None:
    def widths(name: str) -> list[int]:
        table = load_table(name)
        rows = [row.width for row in table.rows]
        return [table.stem.width, table.first.width, *rows, table.head.final, table.head.mix]

    assert widths("mobilenetv3") == [16, 16, 24, 40, 80, 112, 160, 960, 1280]
    assert widths("mobilenetv3-ofa-w1.2") == [24, 24, 32, 48, 96, 136, 192, 1152, 1536]
    assert widths("proxylessnas-ofa-w1.3") == [40, 24, 32, 56, 104, 128, 248, 416, 1664, 0]
    assert widths("laptop-32") == [8, 8, 16, 32, 48, 64, 96, 256, 256]
    assert widths("laptop-8") == [8, 8, 16, 24, 32, 40, 48, 96, 128]


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("mobilenetv3", [2, 1, 2, 2, 2, 1, 2]),
        ("mobilenetv3-ofa-32", [1, 1, 1, 2, 2, 1, 2]),
        ("mobilenetv3-ofa-w1.2-32", [1, 1, 1, 2, 2, 1, 2]),
        ("proxylessnas", [2, 1, 2, 2, 2, 1, 2, 1]),
        ("proxylessnas-ofa-w1.3-32", [1, 1, 1, 2, 2, 1, 2, 1]),
        ("laptop-32", [2, 1, 2, 1, 2, 1, 2]),
        ("laptop-8", [1, 1, 1, 2, 1, 2, 1]),
    ],
)
def test_strides(name: str, strides: list[int]) -> None:
    table = load_table(name)
    found = [table.stem.stride, table.first.stride, *(row.stride for row in table.rows)]
    assert found == strides


def test_activations_and_squeeze_and_excite() -> None:
    table = load_table("mobilenetv3-ofa")
    assert [row.act for row in table.rows] == ["relu", "relu", "h_swish", "h_swish", "h_swish"]
    assert [row.se for row in table.rows] == [False, True, False, True, True]
    assert table.first.shortcut and table.transforms and table.norm_eps == 1e-5
    assert load_table("laptop-32").rows[1].se and not load_table("mobilenetv3").transforms
    proxyless = load_table("laptop-32-proxyless")
    assert {row.act for row in proxyless.rows} == {"relu6"}
    assert not any(row.se for row in proxyless.rows)
    assert not proxyless.first.shortcut and proxyless.head.mix == 0


def test_resolutions() -> None:
    space = loaded("proxylessnas-ofa")
    assert space.resolutions == tuple(range(128, 225, 4))
    assert space.listed == (128, 160, 192, 224)
    assert loaded("mobilenetv3").resolutions == (224,)
    assert loaded("mobilenetv3-ofa-32").resolutions == loaded("laptop-32").listed == (32,)


def test_unknown_name_lists_the_nearest_first() -> None:
    with pytest.raises(UnknownName) as caught:
        load_table("mobilenet")
    assert "did you mean mobilenetv3?" in caught.value.hint


def mine(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'base = "toy"\nsummary = "mine"\nsource = "me"\n{text}')
    return path


def test_a_table_of_ones_own_by_path_or_folder(tmp_path: Path) -> None:
    path = mine(tmp_path, "resolution = 12\n[stages]\nkernel = [5, 3]\n")
    table = load_table(path)
    assert (table.name, table.resolutions, table.rows[0].kernel) == ("mine", (12,), (3, 5))
    assert table.rows[0].expand == load_table("toy").rows[0].expand
    assert load_table(str(path)) == load_table("mine", tmp_path) == table


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("widht_mult = 1.2", "widht_mult", "unknown key"),
        ("[stages]\nkernels = [3]", "stages.kernels", "unknown key"),
        ("stages = 3", "stages", "not a table"),
        ('norm_eps = "small"', "norm_eps", "not a number"),
        ("norm_eps = 0", "norm_eps", "must be positive"),
        ("width_mult = -1.0", "width_mult", "must be positive"),
        ("transforms = 1", "transforms", "not true or false"),
        ("[stem]\nwidth = 0", "stem.width", "at least 1"),
        ("[stem]\nwidth = true", "stem.width", "not a whole number"),
        ("[stages]\nwidth = [8, -8, 16]", "stages.width", "at least 1"),
        ("[stages]\nwidth = []", "stages.width", "one or more"),
        ("[stages]\nwidth = [8, 16]", "stages.stride", "3 entries for 2 stages"),
        ("[stages]\nexpand = []", "stages.expand", "one or more"),
        ("[stages]\nexpand = [2.5]", "stages.expand", "not a whole number"),
        ("[stages]\nkernel = [3, 4]", "stages.kernel", "kernels are odd"),
        ("[stages]\ndepth = [1, 1]", "stages.depth", "twice"),
        ("[stages]\ndepth = [[1], [2]]", "stages.depth", "2 entries for 3 stages"),
        ('[stages]\nact = "swish"', "stages.act", "'swish'"),
        ("[head]\nmix = -1", "head.mix", "at least 0"),
        ('family = "resnet"', "family", "'resnet'"),
        ("resolution = 0", "resolution", "at least 1"),
        ("resolution = {from = 8, to = 16, steps = 4}", "resolution.steps", "unknown key"),
        ("resolution = {from = 8, to = 16}", "resolution.step", "missing"),
        ("resolution = {from = 16, to = 8, step = 4, listed = [8]}", "resolution.from", "over"),
        ("resolution = {from = 8, to = 16, step = 4, listed = [9]}", "resolution.listed", "9"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, key: str, message: str) -> None:
    path = mine(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_table(path)
    assert str(caught.value).startswith(f"{path}: {key}: ")
    assert message in caught.value.reason


def test_suggestions(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_table(mine(tmp_path, "[stages]\nkernels = [3]"))
    assert caught.value.hint.startswith("did you mean kernel? ")
    with pytest.raises(RecipeError) as caught:
        load_table(mine(tmp_path, '[head]\nact = "hswish"'))
    assert "did you mean h_swish?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('base = "toy"\nsource = "me"', "summary"),
        ('base = "toy"\nsummary = "mine"\nsource = " "', "source"),
        ('base = "tyo"\nsummary = "mine"\nsource = "me"', "base"),
        ('base = 3\nsummary = "mine"\nsource = "me"', "base"),
        ('base = "mine"\nsummary = "mine"\nsource = "me"', "base"),
        ('summary = "mine"\nsource = "me"', "stem"),
    ],
)
def test_what_a_table_must_say_itself(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_table(path)
    assert (caught.value.file, caught.value.key) == (str(path), key)


def test_a_mistake_in_the_base_is_the_bases(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text('base = "toy"\nsummary = "s"\nsource = "s"\nnorm_eps = -1')
    path = tmp_path / "above.toml"
    path.write_text('base = "below"\nsummary = "mine"\nsource = "me"\nnorm_eps = 1e-3')
    with pytest.raises(RecipeError) as caught:
        load_table(path)
    assert caught.value.file == str(tmp_path / "below.toml")


def test_broken_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_table(tmp_path / "absent.toml")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_table(mine(tmp_path, "[stages"))
