"""The short form of the chaos run; `make chaos` is the long one."""

import random

import pytest

from chaos import Chaos


@pytest.mark.parametrize("mode", ["polling", "webhook"])
def test_every_message_is_answered_once_in_order_while_everything_is_killed(mode):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    problems, _ = Chaos(messages=80, conversations=16, kills=8, seed=seed, mode=mode).run()
    assert not problems, f"seed {seed}: {problems}"
