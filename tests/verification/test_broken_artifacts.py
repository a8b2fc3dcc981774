"""An artifact that does not give its checkpoint's answers fails, whatever is wrong with it; a sound one does not."""

import pytest
from broken import FORMATS, KINDS, SOUND, break_export
from click.testing import CliRunner

from visionport import cli


@pytest.fixture(scope="module")
def once():
    """The models that were built, by the names of their configs: all copies of an export have the same."""
    return {}


@pytest.fixture
def verify(exported, digits, tmp_path, monkeypatch, once):
    """(kind, format) -> the result of `visionport verify` of such a copy, on one picture."""
    from visionport.models import build

    def built(config, *given, make=build.build, **how):
        if config.path.name not in once:
            once[config.path.name] = make(config, *given, **how)
        return once[config.path.name]

    monkeypatch.setattr(build, "build", built)
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)  # it takes the process's own standard error

    def run(kind, which):
        folder = break_export(exported, tmp_path / "copy", kind, which)
        return CliRunner().invoke(cli.main, ["verify", str(folder), "--image", str(digits / "images" / "digits-0.jpg")])

    return run


@pytest.mark.parametrize("which", FORMATS)
def test_sound(verify, which):
    """The copy, its manifest and the way in which it is changed are not what fails."""
    done = verify(SOUND, which)
    assert done.exit_code == 0, done.output
    assert which in done.output


@pytest.mark.parametrize(("kind", "which"), KINDS, ids=[f"{which}, {kind}" for kind, which in KINDS])
def test_broken(verify, kind, which):
    done = verify(kind, which)
    assert done.exit_code == 1, done.output
    assert which in done.output
