"""Lets generated requests meet things that exist: path parameters are often those of a real bot with a conversation and a task."""

import json
import os

import schemathesis

KNOWN = json.loads(os.environ["CLAWBOT_KNOWN_IDS"])


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if not path_parameters:
        return path_parameters
    for name, value in path_parameters.items():
        known = KNOWN.get(name)
        # By the value itself, so that a replay meets the same: about three in four.
        if known and sum(str(value).encode()) % 4:
            path_parameters[name] = known
    return path_parameters
