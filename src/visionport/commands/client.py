"""`visionport client`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, Command, exif_option, print_json
from visionport.config.ranges import FRACTION, check_option

KINDS = ("image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport client http://localhost:8501/v1/models/digits photo.jpg
  visionport client localhost:8500 photo.jpg --model digits --draw
  visionport client http://localhost:8501 photo.jpg --repeat 100""",
)
@click.argument("url")
@click.argument("images", type=Path, nargs=-1, required=True)
@click.option("--model", metavar="NAME", help="The model, where URL does not name it. Default: the server's only one.")
@click.option("--signature", metavar="NAME", help="Default: serving_default.")
@click.option(
    "--input",
    "kind",
    type=click.Choice(KINDS),
    metavar="TYPE",
    help=f"What is sent: {', '.join(KINDS)}. Default: as the server's metadata says.",
)
@click.option("--labels", type=Path, help="A label map, or a name a line, from class 1. Default: the server's.")
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Leave out detections below.")
@click.option("--draw", is_flag=True, help="Write pictures with boxes, names and scores: IMAGE_detections.png.")
@click.option("--draw-dir", type=Path, help="Where to write them. Default: beside each image.")
@click.option("--overwrite", is_flag=True, help="Replace drawn pictures.")
@click.option("--raw", is_flag=True, help="Print the model's outputs as they are.")
@exif_option
@click.option(
    "--repeat", type=click.IntRange(1, 1_000_000), default=1, show_default=True, metavar="N", help="Ask so often."
)
@click.option(
    "--timeout", type=click.FloatRange(0.001), default=30, show_default=True, metavar="SECONDS", help="For each answer."
)
@click.option("--ca", type=Path, help="TLS: a PEM file with who signs the server's certificate.")
@click.option("--token-file", type=Path, help="Send the token in that file: Authorization: Bearer TOKEN.")
def client(url, images, model, kind, labels, token_file, ca, timeout, draw_dir, **given):
    """Ask any TensorFlow Serving server about pictures, over REST or gRPC. JSON out.

    URL is http://HOST:8501/v1/models/NAME, perhaps with /versions/N or /labels/L behind it, http://HOST:8501,
    grpc://HOST:8500 or HOST:8500; https and grpcs with TLS. What is sent is decided by what the server says of the
    model. Latency goes to standard error.
    """
    from visionport.client.address import read_address
    from visionport.client.ask import Request, ask, latency_line
    from visionport.client.connection import Access
    from visionport.config.labels import read_label_map
    from visionport.errors import InputError
    from visionport.serving.configs import read_token

    check_option("--min-score", given["min_score"], FRACTION)
    bad: list[InputError] = []
    request = Request(
        address=read_address(url, model),
        access=Access(ca=ca, token=read_token(token_file) if token_file else "", seconds=timeout),
        images=images,
        kind=kind,
        labels=read_label_map(labels) if labels else None,
        draw_dir=draw_dir,
        skip=bad.append,
        **given,
    )
    found = ask(request)
    if bad and not found.records:
        raise InputError("\n".join(map(str, bad)))
    for error in bad:
        print(f"skipped: {error}", file=sys.stderr)
    if found.note:
        print(f"note: {found.note}", file=sys.stderr)
    print_json(found.records)
    print(f"{found.signature}, {found.kind}: {latency_line(found.seconds)}", file=sys.stderr)
    if bad:
        sys.exit(DISAGREES)
