"""A process of the local runner: Beam's own worker, which ends with the process that started it, however that ends."""

import os
import sys
import threading
import time

LOOK = 1.0  # seconds


def main() -> None:
    parent = os.getppid()
    with open(os.path.join(sys.argv[1], str(os.getpid())), "w"):
        pass  # by which it is known to that process
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main  # pyright: ignore[reportMissingImports]

    sdk_worker_main.main([])


def end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


if __name__ == "__main__":
    main()
