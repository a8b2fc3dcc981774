"""Official Vision's `decoder`: one of the dataclasses of config/decoders.py, or None."""

from collections.abc import Callable, Mapping
from typing import Any

from visionport.config.decoders import Aspp, Decoder, Fpn, NasFpn
from visionport.config.official.fields import check_choice, check_length, check_range, chosen, taken, with_norm


def decoder(model: Mapping[str, Any]) -> Decoder | None:
    """The decoder of a model's tree."""
    kind, tree = chosen(model["decoder"], "task.model.decoder")
    return DECODERS[kind](tree, model)


def levels(model) -> dict[str, int]:
    """The model's min_level and max_level. Raises ConfigError where there is nothing between them."""
    check_range("task.model.min_level", model["min_level"], 1, model["max_level"])
    return {"min_level": model["min_level"], "max_level": model["max_level"]}


def identity(tree, model) -> None:
    return None


def fpn(tree, model) -> Fpn:
    check_choice("task.model.decoder.fpn.fusion_type", tree["fusion_type"], ("sum", "concat"))
    return taken(Fpn, tree, **levels(model), **with_norm(Fpn, model["norm_activation"]))


def nasfpn(tree, model) -> NasFpn:
    return taken(NasFpn, tree, **levels(model), **with_norm(NasFpn, model["norm_activation"]))


def aspp(tree, model) -> Aspp:
    check_choice("task.model.decoder.aspp.spp_layer_version", tree["spp_layer_version"], ("v1", "v2"))
    check_length("task.model.decoder.aspp.pool_kernel_size", tree["pool_kernel_size"] or None, 2)
    return taken(Aspp, tree, ("dropout_rate",), **with_norm(Aspp, model["norm_activation"]))


DECODERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Decoder | None]] = {
    "identity": identity,
    "fpn": fpn,
    "nasfpn": nasfpn,
    "aspp": aspp,
}
