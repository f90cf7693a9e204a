# SPDX-License-Identifier: MIT
"""The fixture wsock_world, for pytest."""
from typing import Iterator

import pytest

from .testing import World


@pytest.fixture
def wsock_world() -> Iterator[World]:
    """A world of its own for each test: see wsock.testing."""
    with World() as world:
        yield world
