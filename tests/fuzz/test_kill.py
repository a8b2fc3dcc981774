"""Commands that are ended by signals leave their target as it was or whole, and nothing else."""

import os

import kill
import pytest


def test_a_program_that_only_writes(tmp_path):
    tallies = kill.run([kill.slow_job(tmp_path)], signals=12, seed=3)
    assert not kill.wrong(tallies), kill.table(tallies)


@pytest.mark.skipif(not os.environ.get("VISIONPORT_ALL"), reason="some 20 minutes")
def test_commands(tmp_path):
    tallies = kill.run(kill.real_jobs(tmp_path), signals=200, seed=1)
    assert not kill.wrong(tallies), kill.table(tallies)
