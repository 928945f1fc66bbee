"""Which API server the tests of the API run against; the default is each suite's own."""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --server."""
    parser.addoption(
        "--server",
        default=os.environ.get("MUSTER_TEST_SERVER"),
        help="embedded: muster.embedded; real: a control plane of our own (needs Go once); or, for tests/conformance, "
        "a kubeconfig. tests/ use embedded by default, e2e/ uses real. Also MUSTER_TEST_SERVER.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marker."""
    config.addinivalue_line("markers", "real(why): needs the real control plane")
    config.addinivalue_line("markers", "alone: compares times that it measures, so nothing may run beside it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, saying why, what the embedded server cannot stand in for."""
    if config.getoption("--server") != "embedded":
        return
    for item in items:
        marker = item.get_closest_marker("real")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=f"needs the real control plane: {marker.args[0]}"))
