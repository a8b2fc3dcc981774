"""The two-stage models' part of a `pipeline.config`."""

import dataclasses

from visionport import config
from visionport import config_faster_rcnn as two_stage
from visionport.configs import pipeline
from visionport.errors import ConfigError, UnsupportedError

ANCHORS = ("grid_anchor_generator", "multiscale_anchor_generator")


def faster_rcnn(m, api: str) -> two_stage.FasterRcnn:
    refuse(m)
    post = pipeline.post_processing(m.second_stage_post_processing)
    if post.nms.combined:
        raise UnsupportedError("second_stage_post_processing: use_combined_nms cannot be built in two-stage models.")
    # The reference's second stage always answers in the image's frame.
    post = dataclasses.replace(post, nms=dataclasses.replace(post.nms, change_coordinate_frame=True))
    masks = m.number_of_stages == 3
    return two_stage.FasterRcnn(
        num_classes=m.num_classes,
        feature_extractor=extractor(m.feature_extractor, api),
        resizer=pipeline.one_of(m.image_resizer, "image_resizer_oneof", pipeline.RESIZERS),
        anchors=anchors(m.first_stage_anchor_generator),
        first_stage=first_stage(m, api),
        crop_size=m.initial_crop_size,
        pool_kernel=m.maxpool_kernel_size,
        pool_stride=m.maxpool_stride,
        heads=pipeline.one_of(m.second_stage_box_predictor, "box_predictor_oneof", HEADS, api),
        masks=mask_head(m.second_stage_box_predictor.mask_rcnn_box_predictor, api) if masks else None,
        post_processing=post,
        box_coder=config.BoxCoder(),
        output_box_features=m.output_final_box_features and not masks,
        output_rpn_features=m.output_final_box_rpn_features and not masks and api == "tf2",
        output_predictions=masks and api == "tf2",
    )


def refuse(m) -> None:
    """Raises for what the reference refuses, and for what is not supported."""
    if m.num_classes < 1:
        raise ConfigError("model.faster_rcnn.num_classes must be at least 1.")
    if m.number_of_stages not in (2, 3):
        raise UnsupportedError(
            f"model.faster_rcnn.number_of_stages is {m.number_of_stages}: detections need 2, masks need 3."
        )
    if m.HasField("context_config"):
        raise UnsupportedError("model.faster_rcnn.context_config (Context R-CNN) is not supported.")
    if m.HasField("feature_extractor") and not m.feature_extractor.type:
        raise ConfigError("model.faster_rcnn.feature_extractor.type is empty.")
    rfcn = m.second_stage_box_predictor.WhichOneof("box_predictor_oneof") == "rfcn_box_predictor"
    if rfcn and (m.number_of_stages == 3 or m.output_final_box_features or m.output_final_box_rpn_features):
        raise UnsupportedError("model.faster_rcnn: rfcn_box_predictor gives neither masks nor features of boxes.")
    if not rfcn and min(m.initial_crop_size, m.maxpool_kernel_size, m.maxpool_stride) < 1:
        raise ConfigError("model.faster_rcnn: initial_crop_size, maxpool_kernel_size, maxpool_stride must be set.")


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
    levels = (m.fpn.min_level, m.fpn.max_level) if m.HasField("fpn") else (2, 6)
    return config.SsdFeatureExtractor(
        type=m.type,
        hyperparams=pipeline.hyperparams(m.conv_hyperparams, api),
        override_base_hyperparams=m.override_base_feature_extractor_hyperparams,
        pad_to_multiple=32,  # whatever the config says: the reference does not pass it on
        fpn_min_level=levels[0],
        fpn_max_level=levels[1],
    )


def anchors(m):
    kind = m.WhichOneof("anchor_generator_oneof")
    found = pipeline.one_of(m, "anchor_generator_oneof", {k: pipeline.ANCHORS[k] for k in ANCHORS})
    if kind == "multiscale_anchor_generator" and found.normalize:
        raise ConfigError("first_stage_anchor_generator: normalize_coordinates must be false in two-stage models.")
    return found


def first_stage(m, api: str) -> two_stage.FirstStage:
    if not 0 <= m.first_stage_nms_iou_threshold <= 1:
        raise ConfigError(f"first_stage_nms_iou_threshold is {m.first_stage_nms_iou_threshold}; it is from 0 to 1.")
    # Its convolution ends in relu6 whatever the config says.
    hyper = dataclasses.replace(
        pipeline.hyperparams(m.first_stage_box_predictor_conv_hyperparams, api), activation="relu6"
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
    if m.fc_hyperparams.WhichOneof("normalizer_oneof"):
        raise UnsupportedError("mask_rcnn_box_predictor.fc_hyperparams: a normalizer is not supported.")
    if m.box_code_size != 4:
        raise ConfigError(f"mask_rcnn_box_predictor.box_code_size is {m.box_code_size}; the box coder's is 4.")
    return two_stage.BoxHeads(share_box=m.share_box_across_classes, use_dropout=m.use_dropout)


def rfcn_heads(m, api: str) -> two_stage.RfcnHeads:
    if api == "tf2":
        raise UnsupportedError("rfcn_box_predictor is supported for TF1's feature extractors only.")
    bins, crop = (m.num_spatial_bins_height, m.num_spatial_bins_width), (m.crop_height, m.crop_width)
    if min(bins) < 1 or any(c % b for c, b in zip(crop, bins, strict=True)):
        raise ConfigError(f"rfcn_box_predictor: the crop {crop} must be divisible by the spatial bins {bins}.")
    if m.box_code_size != 4:
        raise ConfigError(f"rfcn_box_predictor.box_code_size is {m.box_code_size}; the box coder's is 4.")
    return two_stage.RfcnHeads(hyperparams=pipeline.hyperparams(m.conv_hyperparams, api), bins=bins, crop_size=crop)


def mask_head(m, api: str) -> two_stage.MaskHead:
    if not m.predict_instance_masks:
        raise ConfigError("model.faster_rcnn.number_of_stages is 3, but predict_instance_masks is not set.")
    return two_stage.MaskHead(
        hyperparams=pipeline.hyperparams(m.conv_hyperparams, api),
        size=(m.mask_height, m.mask_width),
        num_layers=m.mask_prediction_num_conv_layers,
        class_agnostic=m.masks_are_class_agnostic,
        upsample_last=m.convolve_then_upsample_masks,
    )


HEADS = {"mask_rcnn_box_predictor": box_heads, "rfcn_box_predictor": rfcn_heads}
