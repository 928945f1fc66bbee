"""The jobs of storms."""

from __future__ import annotations

import random
from typing import Any

from muster.sim.deeds import gang


def job(name: str, draw: random.Random) -> dict[str, Any]:
    """A TrainingJob that a storm may create."""
    shape = draw.choice(["plain", "plain", "rack", "segments", "several"])
    replicas, topology = draw.randint(1, 5), dict[str, Any]()
    if shape == "rack":
        replicas, topology = draw.randint(2, 4), {"required": {"level": "nvlink"}}
    elif shape == "segments":
        replicas, topology = 4, {"segments": [{"level": "nvlink", "size": 2}]}
    words: dict[str, Any] = {
        "failurePolicy": policy(draw),
        "backoff": {"baseSeconds": 1, "maxSeconds": 15},
        "bindTimeoutSeconds": draw.randint(5, 30),
        "startTimeoutSeconds": draw.randint(20, 60),
        "priorityClassName": draw.choice(["muster-default", "muster-high"]),
    }
    made = gang(name, replicas, gpus=draw.choice([4, 4, 2]), topology=topology, **words)
    if shape == "several":
        (first,) = made["spec"]["roles"]
        (second,) = gang(name, draw.randint(1, 2), gpus=1)["spec"]["roles"]
        reach = draw.choice(["RestartJob", "RestartRole", "Ignore"])
        made["spec"]["roles"] = [first, {**second, "name": "reader", "onFailure": reach}]
    return made


def policy(draw: random.Random) -> dict[str, Any]:
    """A failurePolicy; what it avoids it does not avoid for long, so that a storm comes to rest."""
    rules: list[list[dict[str, Any]]] = [
        [],
        [{"action": "ReplaceNode", "onExitCodes": {"operator": "In", "values": [9]}}],
        [
            {"action": "Requeue", "onExitCodes": {"operator": "In", "values": [9]}},
            {"action": "Restart", "counted": False, "onExitCodes": {"operator": "In", "values": [75]}},
        ],
    ]
    return {
        "restart": draw.choice(["Gang", "FailedPods"]),
        "nodeFailure": draw.choice(["Repair", "Repair", "Repair", "Requeue"]),
        "waitForRepairSeconds": draw.choice([0, 0, 20]),
        "maxRestarts": draw.choice([2, 100]),
        "failureGraceSeconds": draw.choice([0, 2, 15]),
        "quarantineSeconds": 60,
        "unreachable": {"action": draw.choice(["Replace", "Replace", "Wait"]), "afterSeconds": draw.choice([0, 4, 20])},
        "rules": draw.choice(rules),
    }
