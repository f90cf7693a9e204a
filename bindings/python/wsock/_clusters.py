# SPDX-License-Identifier: MIT
"""Clusters: servers that share their rooms over a broker, by the option cluster."""
import enum
from typing import NamedTuple

from . import _wsock


class ClusterState(enum.IntEnum):
    """What a server has of its cluster."""

    NONE = _wsock.CLUSTER_NONE
    AWAY = _wsock.CLUSTER_AWAY
    UP = _wsock.CLUSTER_UP


class Cluster(NamedTuple):
    """How a server's cluster is: a ClusterState, and why the broker is away, else ""."""

    state: ClusterState
    why: str


class Node(NamedTuple):
    """A server of a cluster: an id that was drawn when it began to listen, its option
    cluster_name, its open connections as of its last beat, and whether it is the one that
    was asked."""

    id: str
    name: str
    connections: int
    is_self: bool


def cluster_of(state: int, why: str) -> Cluster:
    """What the library tells."""
    return Cluster(ClusterState(state), why)
