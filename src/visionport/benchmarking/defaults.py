"""How often artifacts are called, unless the user says otherwise."""

RUNS, SECONDS = 50, 1.0  # as LiteRT's benchmark_model has them
