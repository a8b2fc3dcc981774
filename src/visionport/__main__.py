"""python -m visionport: the command line."""

from visionport import signals, streams


def run() -> None:
    """The command line as a process: nothing is imported before a signal may come."""
    with signals.process():
        streams.open_standard()
        from visionport.cli import main

        main(prog_name="visionport")


if __name__ == "__main__":
    run()
