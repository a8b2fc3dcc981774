"""`visionport package`."""

from pathlib import Path

import click

from visionport.commands.common import Command
from visionport.formats import FORMATS
from visionport.packaging import TARGETS


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport package exported --for tf-serving --name digits --out package
  visionport package exported --for triton --format onnx --out repository
  visionport package exported --for kserve --storage-uri s3://models/digits \\
    --image a.jpg --image b.jpg --out package""",
)
@click.argument("folder", metavar="DIR", type=Path)
@click.option("--for", "target", type=click.Choice([*TARGETS]), required=True, help="The server that is to take it.")
@click.option("--out", type=Path, required=True, help="The folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier package there.")
@click.option("--format", "kind", type=click.Choice([*FORMATS]), help="Default: the first that the server takes.")
@click.option("--name", help="The model's name. Default: the folder's.")
@click.option("--version", type=int, metavar="N", help="Its version. Default: the checkpoint's step, or 1.")
@click.option(
    "--signature", metavar="NAME", help="Of the README's request, and of Triton's config. Default: encoded pictures'."
)
@click.option(
    "--image",
    "images",
    type=Path,
    multiple=True,
    help="A picture to make warm-up requests of. Repeatable. Default: bundled ones.",
)
@click.option("--warmup/--no-warmup", default=True, show_default=True, help="Put warm-up requests into a SavedModel.")
@click.option("--storage-uri", metavar="URI", help="kserve: where the model's folder will lie.")
def package(folder, target, out, overwrite, kind, name, version, signature, images, warmup, storage_uri):
    """Lay out an export directory as a model server takes it, with warm-up requests and a README.

    What was written is read again: configs are parsed, files compared with the export's.
    """
    from visionport.errors import OptionError
    from visionport.packaging.package import Request
    from visionport.packaging.package import package as write_package

    if storage_uri and target != "kserve":
        raise OptionError(f"--storage-uri is for --for kserve, not for {target}. Leave it out.")
    request = Request(
        folder=folder,
        target=target,
        out=out,
        name=name,
        version=version,
        kind=kind,
        images=images,
        warmup=warmup,
        signature=signature,
        overwrite=overwrite,
        more={"storage_uri": storage_uri},
    )
    for line in write_package(request):
        print(line)
    print(f"{out}  see README.md there")
