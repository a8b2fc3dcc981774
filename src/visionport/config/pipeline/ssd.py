"""The `ssd` message."""

from visionport import config
from visionport.config.pipeline.common import (
    ANCHORS,
    BOX_CODERS,
    PREDICTORS,
    RESIZERS,
    check_levels,
    hyperparams,
    one_of,
    post_processing,
)
from visionport.errors import ConfigError, UnsupportedError


def ssd(m, api: str) -> config.Ssd:
    if m.num_classes < 1:
        raise ConfigError("model.ssd.num_classes must be at least 1.")
    if m.add_background_class and m.explicit_background_class:
        raise ConfigError("model.ssd: add_background_class and explicit_background_class exclude each other.")
    if m.HasField("mask_head_config"):
        raise UnsupportedError("model.ssd.mask_head_config: no SSD of the reference can be built with a mask head.")
    predictor = one_of(m.box_predictor, "box_predictor_oneof", PREDICTORS, api)
    coder = one_of(m.box_coder, "box_coder_oneof", BOX_CODERS)
    if predictor.box_code_size != coder.code_size:
        raise ConfigError(
            f"box_code_size is {predictor.box_code_size}, but the box coder's codes are of {coder.code_size}."
        )
    return config.Ssd(
        num_classes=m.num_classes,
        add_background_class=m.add_background_class,
        explicit_background_class=m.explicit_background_class,
        feature_extractor=ssd_feature_extractor(m.feature_extractor, api),
        predictor=predictor,
        anchors=one_of(m.anchor_generator, "anchor_generator_oneof", ANCHORS),
        box_coder=coder,
        resizer=one_of(m.image_resizer, "image_resizer_oneof", RESIZERS),
        post_processing=post_processing(m.post_processing),
    )


def ssd_feature_extractor(m, api: str) -> config.SsdFeatureExtractor:
    check_levels(m.fpn, "model.ssd.feature_extractor.fpn")
    return config.SsdFeatureExtractor(
        type=m.type,
        depth_multiplier=m.depth_multiplier,
        min_depth=m.min_depth,
        pad_to_multiple=m.pad_to_multiple,
        hyperparams=hyperparams(m.conv_hyperparams, api),
        override_base_hyperparams=m.override_base_feature_extractor_hyperparams,
        override_epsilon_only=api == "tf1",
        use_explicit_padding=m.use_explicit_padding,
        use_depthwise=m.use_depthwise,
        num_layers=m.num_layers,
        fpn_min_level=m.fpn.min_level,
        # What is left out is the extractor's default, which is the message's but for MnasFPN.
        fpn_max_level=6 if "mnasfpn" in m.type and not m.HasField("fpn") else m.fpn.max_level,
        fpn_depth=m.fpn.additional_layer_depth,
        fpn_pass_smoothed=api == "tf2",
        bifpn=bifpn(m.bifpn) if m.HasField("bifpn") else None,
        spaghettinet=m.spaghettinet_arch_name or "spaghettinet_edgetpu_m",
    )


def bifpn(m) -> config.Bifpn:
    methods = ("sum", "weighted_sum", "attention", "fast_attention")
    if m.combine_method not in methods:
        raise ConfigError(f"bifpn.combine_method is {m.combine_method!r}; choose one of: {', '.join(methods)}.")
    check_levels(m, "model.ssd.feature_extractor.bifpn")
    return config.Bifpn(
        min_level=m.min_level,
        max_level=m.max_level,
        num_iterations=m.num_iterations,
        combine_method=m.combine_method,
    )
