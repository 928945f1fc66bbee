"""Fixtures: one server a session, a namespace a module, and a further one where a test needs it for itself."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.client import Client, core, wait_for
from tests.conformance import servers
from tests.conformance.servers import Server

_numbers = itertools.count()
_session = uuid.uuid4().hex[:6]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    which = request.config.getoption("--server") or "embedded"
    known = {"embedded": servers.embedded, "real": servers.real}
    with known[which]() if which in known else servers.given(Path(which)) as running:
        yield running


@pytest.fixture(scope="session")
def api(server: Server) -> Client:
    return server.client


@pytest.fixture(scope="session")
def namespaces(api: Client) -> Iterator[Callable[[str], str]]:
    """A maker of namespaces that are ready for pods; all are deleted at the end."""
    made: list[str] = []

    def make(word: str) -> str:
        body = {"metadata": {"generateName": f"{word[:40]}-"}}
        name = str(api.post(core("namespaces"), body)["metadata"]["name"])
        made.append(name)
        # Pods are refused until the namespace has its service account.
        wait_for(lambda: api.find(core("serviceaccounts", name, "default")), 20, "the namespace is ready")
        return name

    yield make
    for name in made:
        api.send("DELETE", core("namespaces", name=name))


@pytest.fixture(scope="module")
def ns(namespaces: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """The namespace of the module's tests."""
    return namespaces(request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-"))


@pytest.fixture
def own(namespaces: Callable[[str], str]) -> str:
    """A namespace of this test alone."""
    return namespaces("own")


@pytest.fixture
def name() -> str:
    """A name that no other test uses, nor any earlier session."""
    return f"x{_session}-{next(_numbers)}"
