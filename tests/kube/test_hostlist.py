"""Host lists: what goes in comes out, in little room and little time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.kube.hostlist import compress, expand, from_run_lengths, run_lengths
from muster.kube.quantity import Malformed

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
"""DNS-1123 subdomains, with digits wherever those may stand."""
RACKS = st.builds(
    lambda rs, ns, w: [f"r{r}-n{n:0{w}d}" for r in rs for n in ns],
    st.lists(st.integers(0, 12), max_size=4),
    st.lists(st.integers(0, 120), max_size=5),
    st.integers(1, 3),
)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a0", "a1", "a2", "a3", "a07"], "a[0-3,07]"),
        (["a9", "a10", "a11"], "a[9-11]"),
        (["a09", "a10", "a011"], "a[09-10,011]"),
        ([f"r{r}-n{n:02}" for r in range(8) for n in range(18)], "r[0-7]-n[00-17]"),
        (["a0", "a0", "a1", "a1"], "a[0,0-1,1]"),
        (["a", "a"], "a,a"),
        (["n7", "n7"], "n[7,7]"),
        (["r0-n0", "r1-n0"], "r[0-1]-n0"),
        (["a3", "a2", "b"], "a[3,2],b"),
        (["ip-10-0-1-2.ec2.internal", "ip-10-0-1-3.ec2.internal"], "ip-10-0-1-[2-3].ec2.internal"),
    ],
)
def test_examples(names: list[str], text: str) -> None:
    assert compress(names) == text
    assert expand(text) == tuple(names)


@given(st.lists(NAME, max_size=12) | RACKS | st.lists(st.sampled_from(["r0-n1", "r0-n2", "r1-n1", "r1-n2", "r1-n02"])))
def test_comes_back_as_it_was(names: list[str]) -> None:
    assert expand(compress(names)) == tuple(names)


@pytest.mark.parametrize(
    "text",
    [
        "a[",
        "a]",
        "a[0-]",
        "a[]",
        ",",
        "a,",
        ",a",
        "a,,b",
        "a[0-99999999999]",
        "a[3-1]",
        "[[0]]",
        "a[0-999]b[0-999]",
        "a[0]b[0]c[0]",
        "a[x]",
        "a[" + "0," * 200_000 + "0]",
    ],
)
def test_refuses(text: str) -> None:
    assert isinstance(expand(text), Malformed)


@given(st.text(alphabet="ab0123[],-x"))
def test_never_raises(text: str) -> None:
    expand(text, limit=100)
    from_run_lengths(text, limit=100)


@given(st.lists(st.integers(0, 3)))
def test_run_lengths(numbers: list[int]) -> None:
    assert from_run_lengths(run_lengths(numbers)) == tuple(numbers)


def test_run_length_examples() -> None:
    assert run_lengths([1] * 6 + [2]) == "1x6,2x1"
    assert isinstance(from_run_lengths("1x999999999"), Malformed)
    assert isinstance(from_run_lengths("1x"), Malformed)


def test_how_fast_and_how_small() -> None:
    names = [f"gb300-rack-{r:03}-node-{n:02}" for r in range(556) for n in range(18)][:10_000]
    ragged = [name for i, name in enumerate(names) if i % 7]
    for what, some in (("whole racks", names), ("every seventh missing", ragged)):
        start = time.perf_counter()
        text = compress(some)
        middle = time.perf_counter()
        assert expand(text) == tuple(some)
        end = time.perf_counter()
        ratio = len(",".join(some)) / len(text)
        print(f"{what}: {len(some)} names, {ratio:.1f}:1, {1e3 * (middle - start):.1f} + {1e3 * (end - middle):.1f} ms")
