"""What commands share: types of options, printing, exit statuses."""

import sys

import click

DONE, DISAGREES, WRONG, FAULT = 0, 1, 2, 3


class Listed(click.ParamType):
    """Values separated by commas, in an option that may be repeated."""

    name = "name[,name...]"

    def convert(self, value, param, ctx):
        return tuple(v for v in value.split(",") if v) if isinstance(value, str) else value


class Pair(click.ParamType):
    name = "H,W"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            height, width = (int(v) for v in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not H,W such as 480,640", param, ctx)
        return height, width


class Batch(click.ParamType):
    name = "n or dynamic"

    def convert(self, value, param, ctx):
        if value is None or value == "dynamic" or isinstance(value, int):
            return None if value == "dynamic" else value
        if not value.isdecimal():
            self.fail(f"{value!r} is neither a number nor 'dynamic'", param, ctx)
        return int(value)


def flat(values):
    return tuple(v for group in values for v in group)


def unique(values):
    return tuple(dict.fromkeys(values))


def show(renderable, *, error=False):
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    Console(file=stream, width=None if stream.isatty() else 160, highlight=False).print(renderable)


def print_json(content):
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False))


quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Show stages even where no terminal watches, and TensorFlow's own log."
)
