"""The decoders of TF Official Vision, by the config's type."""

from collections.abc import Iterable, Mapping

from visionport.config.decoders import Aspp, Decoder, Fpn, NasFpn
from visionport.models.necks import aspp, fpn, nas_fpn


def decode(s, maps: dict, config: Decoder | None, backbone: Iterable[str]):
    """What heads take, by level, from a backbone's maps: those themselves where there is no decoder.

    backbone: those of its outputs that a pyramid stands on.
    """
    if config is None:
        return maps
    return DECODERS[type(config)](s, maps if isinstance(config, Aspp) else {n: maps[n] for n in backbone}, config)


def names(config: Decoder | None, backbone: Mapping[str, int | None]) -> dict[str, str]:
    """Canonical scope -> path below the decoder; backbone: the width of its levels (see nas_fpn.py: names)."""
    if isinstance(config, Fpn):
        return fpn.names(config, backbone)
    if isinstance(config, NasFpn):
        return nas_fpn.names(config, backbone)
    return aspp.names(config) if config else {}


DECODERS = {Fpn: fpn.fpn, NasFpn: nas_fpn.nas_fpn, Aspp: aspp.aspp}
