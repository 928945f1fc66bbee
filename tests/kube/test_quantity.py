"""Quantities: the grammar of apimachinery's resource.Quantity."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.kube.quantity import LARGEST, Malformed, amount, amount_of, amounts, resources


@pytest.mark.parametrize(
    ("resource", "text", "expected"),
    [
        ("cpu", "0.5", 500),
        ("cpu", "500m", 500),
        ("cpu", "100n", 1),
        ("cpu", "1001u", 2),
        ("cpu", "1", 1000),
        ("cpu", "144", 144_000),
        ("cpu", "1e-3", 1),
        ("cpu", "2k", 2_000_000),
        ("memory", "128974848", 128_974_848),
        ("memory", "129e6", 129_000_000),
        ("memory", "129M", 129_000_000),
        ("memory", "128974848000m", 128_974_848),
        ("memory", "123Mi", 128_974_848),
        ("memory", "1.5Gi", 1_610_612_736),
        ("memory", ".5Ki", 512),
        ("memory", "1.", 1),
        ("memory", "1E", 10**18),
        ("memory", "1E3", 1000),
        ("memory", "1e3", 1000),
        ("memory", "+5", 5),
        ("memory", "1m", 1),
        ("memory", "9Ei", LARGEST),
        ("memory", "1e9999", LARGEST),
        ("memory", "1e-9999", 1),
        ("memory", "0", 0),
        ("memory", "-0", 0),
        ("nvidia.com/gpu", "4", 4),
    ],
)
def test_reads_what_kubernetes_documents(resource: str, text: str, expected: int) -> None:
    assert amount(resource, text) == expected


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "4 GPUs", "1.2.3", "Ki", "1KI", "1ki", "0x10", "1e", "١", "9" * 65, "."]
)
def test_says_what_is_wrong(text: str) -> None:
    answer = amount("memory", text)
    assert isinstance(answer, Malformed)
    assert "is not a quantity of memory" in answer.message


def test_refuses_below_zero() -> None:
    assert amount("cpu", "-1") == Malformed("'-1' of cpu is below zero; write zero or more")


def test_takes_numbers_as_written() -> None:
    assert amount_of("cpu", 0.5) == 500
    assert amount_of("cpu", 2) == 2000
    assert isinstance(amount_of("cpu", float("nan")), Malformed)
    assert isinstance(amount_of("cpu", 10**5000), Malformed)


def test_maps() -> None:
    assert resources(amounts({"memory": "1Ki", "cpu": "1", "x": "0", "bad": "?"})) == (("cpu", 1000), ("memory", 1024))


@given(st.integers(0, 10**9), st.integers(0, 6), st.sampled_from(["", "m", "k", "Ki", "Gi", "u", "n", "M"]))
def test_is_exact(mantissa: int, places: int, suffix: str) -> None:
    scale = {"": 1, "m": Fraction(1, 1000), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9), "k": 1000, "M": 10**6}
    scale |= {"Ki": 1024, "Gi": 1024**3}
    digits = f"{mantissa:0{places + 1}d}"
    text = (digits[:-places] + "." + digits[-places:] if places else digits) + suffix
    exact = Fraction(mantissa, 10**places) * scale[suffix]
    assert amount("memory", text) == min(-(-exact.numerator // exact.denominator), LARGEST)


@given(st.text())
def test_never_raises(text: str) -> None:
    amount("cpu", text)
