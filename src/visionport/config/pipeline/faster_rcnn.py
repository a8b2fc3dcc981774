"""The two-stage models' part of a `pipeline.config`."""

import dataclasses

from visionport import config
from visionport.config import faster_rcnn as two_stage
from visionport.config.pipeline import common
from visionport.errors import ConfigError, UnsupportedError


def faster_rcnn(m, api: str) -> two_stage.FasterRcnn:
    refuse(m)
    post = common.post_processing(m.second_stage_post_processing)
    if post.nms.combined:
        raise UnsupportedError("second_stage_post_processing: use_combined_nms cannot be built in two-stage models.")
    # The reference's second stage always answers in the image's frame.
    post = dataclasses.replace(post, nms=dataclasses.replace(post.nms, change_coordinate_frame=True))
    masks = m.number_of_stages == 3
    return two_stage.FasterRcnn(
        num_classes=m.num_classes,
        proposals_only=m.number_of_stages == 1,
        feature_extractor=extractor(m.feature_extractor, api),
        resizer=common.one_of(m.image_resizer, "image_resizer_oneof", common.RESIZERS),
        anchors=anchors(m.first_stage_anchor_generator),
        first_stage=first_stage(m, api),
        crop_size=m.initial_crop_size,
        pool_kernel=m.maxpool_kernel_size,
        pool_stride=m.maxpool_stride,
        heads=common.one_of(m.second_stage_box_predictor, "box_predictor_oneof", HEADS, api),
        masks=mask_head(m.second_stage_box_predictor.mask_rcnn_box_predictor, api) if masks else None,
        post_processing=post,
        box_coder=config.BoxCoder(),
        context=context(m.context_config, api) if m.HasField("context_config") and not rfcn(m) else None,
        output_box_features=m.output_final_box_features and m.number_of_stages == 2,
        output_rpn_features=m.output_final_box_rpn_features and m.number_of_stages == 2 and api == "tf2",
        output_map_indices=m.return_raw_detections_during_predict,
        output_predictions=masks and api == "tf2",
    )


def refuse(m) -> None:
    """Raises for what the reference refuses, and for what is not supported."""
    if m.num_classes < 1:
        raise ConfigError("model.faster_rcnn.num_classes must be at least 1.")
    features = m.output_final_box_features or m.output_final_box_rpn_features
    if m.HasField("context_config") and not rfcn(m) and (m.number_of_stages == 3 or features):
        raise UnsupportedError(
            "model.faster_rcnn.context_config gives neither masks nor features of the detections: the reference cannot "
            "look at these with context. Leave out number_of_stages: 3 and output_final_box_*_features."
        )
    if m.HasField("feature_extractor") and not m.feature_extractor.type:
        raise ConfigError("model.faster_rcnn.feature_extractor.type is empty.")
    if rfcn(m) and "_fpn" in m.feature_extractor.type:
        raise UnsupportedError("model.faster_rcnn: rfcn_box_predictor needs one feature map, not those of a pyramid.")
    if rfcn(m) and (m.number_of_stages == 3 or features):
        raise UnsupportedError("model.faster_rcnn: rfcn_box_predictor gives neither masks nor features of boxes.")
    if m.number_of_stages > 1 and not rfcn(m) and min(m.initial_crop_size, m.maxpool_kernel_size, m.maxpool_stride) < 1:
        raise ConfigError("model.faster_rcnn: initial_crop_size, maxpool_kernel_size, maxpool_stride must be set.")


def rfcn(m) -> bool:
    return m.second_stage_box_predictor.WhichOneof("box_predictor_oneof") == "rfcn_box_predictor"


def extractor(m, api: str) -> two_stage.TwoStageExtractor:
    stride = m.first_stage_features_stride
    # The reference's Keras networks cannot be built with dilation; pyramids do not look at the stride.
    allowed = (16,) if api == "tf2" and "_fpn" not in m.type else (8, 16)
    if stride not in allowed:
        raise ConfigError(
            f"feature_extractor.first_stage_features_stride is {stride}; {m.type} can have "
            f"{' or '.join(map(str, allowed))}."
        )
    return two_stage.TwoStageExtractor(
        type=m.type,
        stride=stride,
        stride_placement="first" if api == "tf2" else "last",
        second_stage_padding="SAME" if api == "tf2" else "VALID",
        pyramid=pyramid(m, api) if "_fpn" in m.type else None,
    )


def pyramid(m, api: str) -> config.SsdFeatureExtractor:
    """The fields that SSD's pyramids have; what is left out is the reference's default, not the message's."""
    if not m.HasField("conv_hyperparams"):
        raise ConfigError(f"feature_extractor.conv_hyperparams must be set for {m.type}.")
    common.check_levels(m.fpn, "feature_extractor.fpn")
    levels = (m.fpn.min_level, m.fpn.max_level) if m.HasField("fpn") else (2, 6)
    return config.SsdFeatureExtractor(
        type=m.type,
        hyperparams=common.hyperparams(m.conv_hyperparams, api),
        override_base_hyperparams=m.override_base_feature_extractor_hyperparams,
        pad_to_multiple=32,  # whatever the config says: the reference does not pass it on
        fpn_min_level=levels[0],
        fpn_max_level=levels[1],
    )


def anchors(m):
    found = common.one_of(m, "anchor_generator_oneof", common.ANCHORS)
    if getattr(found, "normalize", False):
        raise ConfigError("first_stage_anchor_generator: normalize_coordinates must be false in two-stage models.")
    return found


def first_stage(m, api: str) -> two_stage.FirstStage:
    # Its convolution ends in relu6 whatever the config says.
    hyper = dataclasses.replace(
        common.hyperparams(m.first_stage_box_predictor_conv_hyperparams, api), activation="relu6"
    )
    return two_stage.FirstStage(
        hyperparams=hyper,
        kernel_size=m.first_stage_box_predictor_kernel_size,
        atrous_rate=m.first_stage_atrous_rate,
        nms=config.Nms(
            score_threshold=m.first_stage_nms_score_threshold,
            iou_threshold=m.first_stage_nms_iou_threshold,
            max_per_class=m.first_stage_max_proposals,
            max_total=m.first_stage_max_proposals,
            combined=m.use_combined_nms_in_first_stage,
        ),
    )


def box_heads(m, api: str) -> two_stage.BoxHeads:
    if m.box_code_size != 4:
        raise ConfigError(f"mask_rcnn_box_predictor.box_code_size is {m.box_code_size}; the box coder's is 4.")
    hyper = common.hyperparams(m.fc_hyperparams, api)
    # slim applies them to the layers of their `op` alone; Keras's fully connected layers have a bias all the same.
    applies = api == "tf2" or common.name_of(m.fc_hyperparams, "op") == "FC"
    return two_stage.BoxHeads(
        share_box=m.share_box_across_classes,
        use_dropout=m.use_dropout,
        batch_norm=hyper.batch_norm if applies else None,
        use_bias=api == "tf2" or not (applies and hyper.batch_norm),
    )


def rfcn_heads(m, api: str) -> two_stage.RfcnHeads:
    bins, crop = (m.num_spatial_bins_height, m.num_spatial_bins_width), (m.crop_height, m.crop_width)
    if min(bins) < 1 or any(c % b for c, b in zip(crop, bins, strict=True)):
        raise ConfigError(f"rfcn_box_predictor: the crop {crop} must be divisible by the spatial bins {bins}.")
    if m.box_code_size != 4:
        raise ConfigError(f"rfcn_box_predictor.box_code_size is {m.box_code_size}; the box coder's is 4.")
    return two_stage.RfcnHeads(hyperparams=common.hyperparams(m.conv_hyperparams, api), bins=bins, crop_size=crop)


def mask_head(m, api: str) -> two_stage.MaskHead:
    if not m.predict_instance_masks:
        raise ConfigError("model.faster_rcnn.number_of_stages is 3, but predict_instance_masks is not set.")
    if m.mask_prediction_num_conv_layers < 1:
        raise ConfigError("mask_rcnn_box_predictor.mask_prediction_num_conv_layers is from 1.")
    return two_stage.MaskHead(
        hyperparams=common.hyperparams(m.conv_hyperparams, api),
        size=(m.mask_height, m.mask_width),
        num_layers=m.mask_prediction_num_conv_layers,
        class_agnostic=m.masks_are_class_agnostic,
        upsample_last=m.convolve_then_upsample_masks,
    )


def context(m, api: str) -> two_stage.Context:
    if min(m.max_num_context_features, m.context_feature_length, m.attention_bottleneck_dimension) < 1:
        raise ConfigError(
            "context_config: max_num_context_features, context_feature_length and attention_bottleneck_dimension are "
            "from 1."
        )
    heads, layers = m.num_attention_heads, m.num_attention_layers
    more = m.use_self_attention or m.self_attention_in_sequence or not m.use_long_term_attention
    if api == "tf2" and (more or heads > 1 or layers > 1):
        raise UnsupportedError(
            "context_config: on TF2 the reference has one head of one layer of long-term attention alone; it builds "
            "self-attention, more heads and more layers on TF1 only."
        )
    if api == "tf1" and (heads < 1 or layers < 0):
        raise ConfigError("context_config: num_attention_heads is from 1, num_attention_layers from 0.")
    if not m.use_long_term_attention and not m.use_self_attention:
        raise ConfigError("context_config: neither use_long_term_attention nor use_self_attention is set.")
    return two_stage.Context(
        max_features=m.max_num_context_features,
        feature_length=m.context_feature_length,
        temperature=m.attention_temperature,
        position=POSITIONS[common.name_of(m, "attention_position")],  # type: ignore[arg-type]
        self_attention=m.use_self_attention,
        long_term=m.use_long_term_attention,
        in_sequence=m.self_attention_in_sequence,
        heads=heads if api == "tf1" else 1,
        layers=layers if api == "tf1" else 1,
        adds_input=api == "tf1",
        use_bias=api == "tf2",
    )


POSITIONS = {"POST_BOX_CLASSIFIER": "post_box_classifier", "POST_RPN": "post_rpn", "ATTENTION_DEFAULT": "none"}
HEADS = {"mask_rcnn_box_predictor": box_heads, "rfcn_box_predictor": rfcn_heads}
