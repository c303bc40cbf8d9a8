import pytest

from clawbot import Clawbot, launch_fake


@pytest.fixture
def server(tmp_path):
    """A fresh platform on the demo provider."""
    running = Clawbot(tmp_path / "clawbot").start()
    yield running
    running.stop()


@pytest.fixture
def admin(server):
    return server.sign_in()


@pytest.fixture(scope="session")
def anthropic():
    """A Messages API that speaks the real protocol; answers its base URL."""
    process, base = launch_fake("Tests/Fakes/anthropic/fake_anthropic.py")
    yield base
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def telegram():
    """A Bot API server; answers its base URL."""
    process, base = launch_fake("Tests/Fakes/telegram/fake_telegram.py")
    yield base
    process.kill()
    process.wait()
