"""Lets generated requests meet things that exist: path parameters are often those of a real bot with a conversation and a task."""

import json
import os

import schemathesis
from schemathesis.core.parameters import ParameterLocation

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


@schemathesis.check
def bad_bodies_are_refused(context, response, case):
    """Bodies alone: undeclared query parameters are ignored by design (API.md §1.3), and map_path_parameters mends bad ids."""
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    # Anything is a file, also nothing.
    if body and body.mode.is_negative and response.status_code < 300 and "/files/" not in case.path and not case.path.startswith("/blob/"):
        raise AssertionError(f"{response.status_code} for a body that breaks its schema")
