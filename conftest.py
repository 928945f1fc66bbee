"""Which API server the tests of the API run against; the default is each suite's own."""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --server."""
    parser.addoption(
        "--server",
        default=os.environ.get("MUSTER_TEST_SERVER"),
        help="embedded: muster.embedded; real: a control plane of our own (needs Go once); or a kubeconfig. "
        "tests/ use embedded by default, e2e/ uses real. Also MUSTER_TEST_SERVER.",
    )
