import pytest

from sutrolib.batch.parameters import ParameterError, assigned_in, check_names, declared_in

CELL = """
n_bits: int = 20  # bits, 3 to 200
lr: float = 0.1  # learning rate, 1e-4 to 10
offset: int = -3  # -5 to 5
label: str = "x"  # any text
deep: bool = False  # whether to look further
profile: str = "quick"  # quick, anew or full
axis: str = "a"  # a, b-c or d
"""
DECLARED = declared_in(CELL)


def test_type_default_help_range_and_choices_are_read():
    assert [(p.name, p.type, p.default) for p in DECLARED.values()] == [
        ("n_bits", int, 20),
        ("lr", float, 0.1),
        ("offset", int, -3),
        ("label", str, "x"),
        ("deep", bool, False),
        ("profile", str, "quick"),
        ("axis", str, "a"),
    ]
    assert (DECLARED["n_bits"].help, DECLARED["n_bits"].low, DECLARED["n_bits"].high) == ("bits, 3 to 200", 3, 200)
    assert (DECLARED["lr"].low, DECLARED["offset"].low) == (1e-4, -5)
    assert DECLARED["profile"].choices == ("quick", "anew", "full")
    assert DECLARED["axis"].choices == ("a", "b-c", "d")
    assert DECLARED["label"].choices == ()


@pytest.mark.parametrize(
    ("cell", "choices"),
    [
        ("kk: int = 3  # 3 or 5", (3, 5)),
        ("kk: int = -1  # bits, -1, 3 or 5", (-1, 3, 5)),
        ("lr: float = 0.1  # learning rate, 1e-3, .1 or 1", (0.001, 0.1, 1.0)),
        ("deep: bool = True  # true or false", (True, False)),
        ('file: str = "a.txt"  # a.txt, b-2 or c', ("a.txt", "b-2", "c")),
        ("n: int = 4  # 3 or more", ()),
        ("n: int = 4  # bits, 3 to 5", ()),
        ("deep: bool = True  # 1 or 0", ()),
        ('text: str = "x"  # a name, or none at all', ()),
    ],
)
def test_choices_are_of_the_type_of_the_parameter(cell, choices):
    (parameter,) = declared_in(cell).values()
    assert [(type(one), one) for one in parameter.choices] == [(type(one), one) for one in choices]
    assert parameter.check(parameter.default) == parameter.default
    assert [parameter.parse(str(one)) for one in choices] == [*choices]
    if choices and parameter.type is not bool:
        with pytest.raises(ParameterError, match=f"must be one of {', '.join(map(str, choices))} .got"):
            parameter.check(parameter.type(7))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused_where_there_is_no_range_too(text):
    (lr,) = declared_in("lr: float = 0.1  # learning rate").values()
    with pytest.raises(ParameterError, match=r"lr must be a finite number \(got"):
        lr.parse(text)


@pytest.mark.parametrize(
    "cell", ["x = 1", "import os", "x: int = f()", "x: int", "x: int = 1\nprint(x)", "x: list = []", "("]
)
def test_a_cell_that_holds_anything_else_declares_nothing(cell):
    assert declared_in(cell) == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_bits", "30", 30),
        ("lr", "1", 1.0),
        ("lr", "5e-1", 0.5),
        ("deep", "true", True),
        ("deep", "False", False),
        ("profile", "full", "full"),
        ("offset", "-5", -5),
    ],
)
def test_text_becomes_a_value_of_the_declared_type(name, text, value):
    parsed = DECLARED[name].parse(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n_bits", "2"),
        ("n_bits", "201"),
        ("n_bits", "3.5"),
        ("n_bits", "many"),
        ("lr", "nan"),
        ("lr", "inf"),
        ("deep", "1"),
        ("profile", "fast"),
        ("n_bits", '__import__("os").system("touch pwned")'),
    ],
)
def test_a_value_that_is_not_accepted_is_refused_by_name(name, text):
    with pytest.raises(ParameterError, match=name):
        DECLARED[name].parse(text)


def test_code_given_for_a_text_stays_that_text():
    code = '__import__("os").system("touch pwned")'
    assert DECLARED["label"].parse(code) == code


@pytest.mark.parametrize(
    ("name", "value"), [("n_bits", True), ("n_bits", 20.0), ("n_bits", "20"), ("deep", 1), ("lr", "1")]
)
def test_types_are_strict(name, value):
    with pytest.raises(ParameterError, match="must be of type"):
        DECLARED[name].check(value)


def test_an_int_is_widened_to_a_float():
    assert type(DECLARED["lr"].check(1)) is float


def test_unknown_names_are_refused_with_the_valid_ones():
    with pytest.raises(ParameterError, match=r"(?s)here has no parameter 'n_bit'.*n_bits: int = 20  # bits, 3 to 200"):
        check_names(["n_bit"], DECLARED, "here")


def test_assigned_names_are_those_of_the_cell_in_which_papermill_passes_parameters():
    assert assigned_in('# Parameters\nn_bits = 30\nlabel = "a"\n') == ("n_bits", "label")
