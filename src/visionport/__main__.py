"""python -m visionport: the command line."""

from visionport.process import program


def run() -> None:
    """The command line as a process: nothing is imported before a signal may come."""
    with program():
        from visionport.cli import main

        main(prog_name="visionport")


if __name__ == "__main__":
    run()
