"""Messages that several meta-architectures share: hyperparameters, predictors, anchors, resizers, post-processing."""

import dataclasses
from collections.abc import Iterator

from visionport import config
from visionport.config import ranges
from visionport.errors import ConfigError, UnsupportedError


def hyperparams(m, api: str) -> config.Hyperparams:
    norm = m.WhichOneof("normalizer_oneof")
    if norm == "group_norm":
        raise UnsupportedError("conv_hyperparams.group_norm: the reference builds no layer from it. Use batch_norm.")
    bn = getattr(m, norm) if norm else None
    return config.Hyperparams(
        activation=name_of(m, "activation").replace("_", "").lower(),
        batch_norm=config.BatchNorm(epsilon=bn.epsilon, center=bn.center, scale=bn.scale) if bn else None,
        # slim: a bias, or batch norm; Keras: a bias where batch norm has none.
        use_bias=m.force_use_bias or (bn is None or (api == "tf2" and not bn.center)),
        force_use_bias=m.force_use_bias,
    )


def convolutional_predictor(m, api: str) -> config.ConvolutionalPredictor:
    if m.use_depthwise and m.kernel_size == 1:
        raise ConfigError("convolutional_box_predictor: use_depthwise needs a kernel_size above 1.")
    if m.min_depth > m.max_depth:
        raise ConfigError("convolutional_box_predictor: min_depth is above max_depth.")
    return config.ConvolutionalPredictor(
        hyperparams=hyperparams(m.conv_hyperparams, api),
        kernel_size=m.kernel_size,
        num_layers=m.num_layers_before_predictor,
        min_depth=m.min_depth,
        max_depth=m.max_depth,
        use_depthwise=m.use_depthwise,
        use_dropout=m.use_dropout,
        box_code_size=m.box_code_size,
        clip_range=clip_range(m),
        apply_sigmoid_to_scores=api == "tf1" and m.apply_sigmoid_to_scores,
    )


def weight_shared_predictor(m, api: str) -> config.WeightSharedPredictor:
    if m.use_depthwise and m.kernel_size == 1:
        raise ConfigError("weight_shared_convolutional_box_predictor: use_depthwise needs a kernel_size above 1.")
    hyper = hyperparams(m.conv_hyperparams, api)
    if m.conv_hyperparams.WhichOneof("normalizer_oneof") == "sync_batch_norm":
        # The reference applies the tower's batch norms only where the field is `batch_norm`.
        hyper = dataclasses.replace(hyper, batch_norm=None)
    return config.WeightSharedPredictor(
        hyperparams=hyper,
        depth=m.depth,
        kernel_size=m.kernel_size,
        num_layers=m.num_layers_before_predictor,
        use_depthwise=m.use_depthwise,
        use_dropout=m.use_dropout,
        share_tower=m.share_prediction_tower,
        box_code_size=m.box_code_size,
        clip_range=clip_range(m),
        score_converter=name_of(m, "score_converter").lower(),
    )


def clip_range(m):
    r = m.box_encodings_clip_range
    return (r.min, r.max) if m.HasField("box_encodings_clip_range") else None


def ssd_anchors(m) -> config.SsdAnchors:
    of_maps = {name: len(getattr(m, name)) for name in ("scales", *STRIDES, *OFFSETS)}
    if of_maps["scales"] and of_maps["scales"] < m.num_layers:
        raise ConfigError(
            f"ssd_anchor_generator: {of_maps['scales']} scales for {m.num_layers} layers; one each, or none."
        )
    for pair in (STRIDES, OFFSETS):
        counts = [of_maps[name] for name in pair]
        if any(counts) and counts != [m.num_layers] * 2:
            raise ConfigError(
                f"ssd_anchor_generator: {counts[0]} {pair[0]} and {counts[1]} {pair[1]} for {m.num_layers} layers; one "
                "each, or none."
            )
    return config.SsdAnchors(
        num_layers=m.num_layers,
        min_scale=m.min_scale,
        max_scale=m.max_scale,
        scales=tuple(m.scales),
        aspect_ratios=tuple(m.aspect_ratios),
        interpolated_scale_aspect_ratio=m.interpolated_scale_aspect_ratio,
        base_anchor_size=(m.base_anchor_height, m.base_anchor_width),
        strides=tuple(zip(m.height_stride, m.width_stride, strict=False)),
        offsets=tuple(zip(m.height_offset, m.width_offset, strict=False)),
        reduce_boxes_in_lowest_layer=m.reduce_boxes_in_lowest_layer,
    )


STRIDES, OFFSETS = ("height_stride", "width_stride"), ("height_offset", "width_offset")


def multiscale_anchors(m) -> config.MultiscaleAnchors:
    check_levels(m, "multiscale_anchor_generator")
    needed(m, "multiscale_anchor_generator", "aspect_ratios")
    return config.MultiscaleAnchors(
        min_level=m.min_level,
        max_level=m.max_level,
        anchor_scale=m.anchor_scale,
        aspect_ratios=tuple(m.aspect_ratios),
        scales_per_octave=m.scales_per_octave,
        normalize=m.normalize_coordinates,
    )


def check_levels(m, path: str) -> None:
    if m.min_level > m.max_level:
        raise ConfigError(f"{path}: min_level {m.min_level} is above max_level {m.max_level}.")


def needed(m, path: str, *fields: str) -> None:
    """Raises ConfigError where one of these lists is empty."""
    for field in fields:
        if not getattr(m, field):
            raise ConfigError(f"{path}.{field} is empty; it has one number at least.")


def grid_anchors(m) -> config.GridAnchors:
    needed(m, "grid_anchor_generator", "scales", "aspect_ratios")
    return config.GridAnchors(
        scales=tuple(m.scales),
        aspect_ratios=tuple(m.aspect_ratios),
        base_anchor_size=(m.height, m.width),
        stride=(m.height_stride, m.width_stride),
        offset=(m.height_offset, m.width_offset),
    )


def flexible_grid_anchors(m) -> config.FlexibleGridAnchors:
    needed(m, "flexible_grid_anchor_generator", "anchor_grid")
    for i, grid in enumerate(m.anchor_grid):
        needed(grid, f"flexible_grid_anchor_generator.anchor_grid[{i}]", "base_sizes", "aspect_ratios")
        if len(grid.base_sizes) != len(grid.aspect_ratios):
            raise ConfigError(
                f"flexible_grid_anchor_generator.anchor_grid[{i}] has {len(grid.base_sizes)} base_sizes and "
                f"{len(grid.aspect_ratios)} aspect_ratios; they are pairs."
            )
    return config.FlexibleGridAnchors(
        base_sizes=tuple(tuple(g.base_sizes) for g in m.anchor_grid),
        aspect_ratios=tuple(tuple(g.aspect_ratios) for g in m.anchor_grid),
        strides=tuple((g.height_stride, g.width_stride) for g in m.anchor_grid),
        offsets=tuple((g.height_offset, g.width_offset) for g in m.anchor_grid),
        normalize=m.normalize_coordinates,
    )


def resizer_options(m):
    method = {"nearest_neighbor": "nearest"}.get(name := name_of(m, "resize_method").lower(), name)
    return {"method": method, "grayscale": m.convert_to_grayscale}


def keep_aspect_ratio(m) -> config.KeepAspectRatio:
    if m.min_dimension > m.max_dimension:
        raise ConfigError("keep_aspect_ratio_resizer: min_dimension is above max_dimension.")
    if len(m.per_channel_pad_value) not in (0, 3):
        raise ConfigError(
            f"keep_aspect_ratio_resizer.per_channel_pad_value has {len(m.per_channel_pad_value)} values; it has three."
        )
    return config.KeepAspectRatio(
        min_dimension=m.min_dimension,
        max_dimension=m.max_dimension,
        pad_to_max=m.pad_to_max_dimension,
        pad_value=tuple(m.per_channel_pad_value) or (0.0, 0.0, 0.0),
        **resizer_options(m),
    )


def conditional_shape(m) -> config.ConditionalShape:
    condition = name_of(m, "condition").lower()
    if condition not in ("greater", "smaller"):
        raise ConfigError("conditional_shape_resizer.condition must be GREATER or SMALLER.")
    return config.ConditionalShape(condition=condition, threshold=m.size_threshold, **resizer_options(m))  # type: ignore[arg-type]


def post_processing(m) -> config.PostProcessing:
    n = m.batch_non_max_suppression
    if n.max_detections_per_class > n.max_total_detections:
        raise ConfigError("batch_non_max_suppression: max_detections_per_class is above max_total_detections.")
    if n.use_class_agnostic_nms and n.max_classes_per_detection > 1:
        raise UnsupportedError(
            "use_class_agnostic_nms with max_classes_per_detection above 1: the reference refuses it too."
        )
    if n.use_combined_nms and (n.use_class_agnostic_nms or n.soft_nms_sigma or n.change_coordinate_frame):
        raise ConfigError(
            "batch_non_max_suppression: use_combined_nms excludes use_class_agnostic_nms, soft_nms_sigma and "
            "change_coordinate_frame (on by default)."
        )
    return config.PostProcessing(
        nms=config.Nms(
            score_threshold=n.score_threshold,
            iou_threshold=n.iou_threshold,
            max_per_class=n.max_detections_per_class,
            max_total=n.max_total_detections,
            soft_sigma=0.0 if n.use_hard_nms and not n.use_class_agnostic_nms else n.soft_nms_sigma,
            class_agnostic=n.use_class_agnostic_nms,
            combined=n.use_combined_nms,
            change_coordinate_frame=n.change_coordinate_frame,
        ),
        score_converter=name_of(m, "score_converter").lower(),
        logit_scale=m.logit_scale,
        calibration=calibration(m.calibration_config) if m.HasField("calibration_config") else None,
    )


def calibration(m) -> config.Calibration:
    kind = m.WhichOneof("calibrator")
    if kind == "temperature_scaling_calibration":
        if m.temperature_scaling_calibration.scaler <= 0:
            raise ConfigError("temperature_scaling_calibration.scaler must be above 0.")
        return config.Calibration(temperature=m.temperature_scaling_calibration.scaler)
    if kind == "function_approximation":
        return config.Calibration(curve=points(m.function_approximation.x_y_pairs))
    if kind == "class_id_function_approximations":
        curves = m.class_id_function_approximations.class_id_xy_pairs_map
        return config.Calibration(class_curves={i: points(curves[i]) for i in sorted(curves)})
    raise UnsupportedError(
        f"calibration_config.{kind}: the reference builds nothing from it. Use function_approximation."
    )


def points(m):
    found = tuple((p.x, p.y) for p in m.x_y_pair)
    if not found or list(found) != sorted(found, key=lambda p: p[0]):
        raise ConfigError("calibration_config: the x_y_pairs of a curve are at least one, in the order of their x.")
    return found


# Sizes that follow from several numbers


def check_size(model, path: str, picture_size: tuple[int, int] | None) -> None:
    """Raises ConfigError for pictures, anchors or answers of a model that fill a memory. path: the model's."""
    size = largest_input(model.resizer, picture_size)
    ranges.check_pixels(f"{path}.image_resizer: a picture", *size)
    proposals, classes = 0, model.num_classes + 1
    if isinstance(model, config.FasterRcnn):
        proposals = model.first_stage.nms.max_total
        side = max(model.crop_size, model.pool_kernel, *getattr(model.heads, "crop_size", (1,)))
        ranges.check_samples(f"{path}: first_stage_max_proposals by initial_crop_size", proposals * side**2)
        ranges.check_scores(f"{path}: first_stage_max_proposals by num_classes", proposals * classes)
    if anchors := getattr(model, "anchors", None):
        count = sum(anchors_of_maps(anchors, *size))
        ranges.check_anchors(f"{path}.anchor_generator", count)
        ranges.check_scores(f"{path}: anchors by num_classes", count * (1 if proposals else classes))


def largest_input(resizer: config.Resizer, picture_size: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) at the most; (1, 1) where pictures decide."""
    if isinstance(resizer, config.FixedShape):
        return resizer.height, resizer.width
    if isinstance(resizer, config.KeepAspectRatio):
        return resizer.max_dimension if resizer.pad_to_max else resizer.min_dimension, resizer.max_dimension
    return picture_size or (1, 1)


def anchors_of_maps(anchors: config.Anchors, height: int, width: int) -> Iterator[int]:
    """About how many anchors each map has, rather too many."""

    def places(stride: int) -> int:
        return (height // stride + 1) * (width // stride + 1)

    if isinstance(anchors, config.MultiscaleAnchors):
        each = len(anchors.aspect_ratios) * anchors.scales_per_octave
        yield ranges.pyramid_anchors(height, width, anchors.min_level, anchors.max_level, each)
    elif isinstance(anchors, config.GridAnchors):
        yield places(8) * len(anchors.scales) * len(anchors.aspect_ratios)
    elif isinstance(anchors, config.SsdAnchors):
        yield from (places(8 << i) * (len(anchors.aspect_ratios) + 2) for i in range(anchors.num_layers))
    else:
        yield from (places(8 << i) * len(sizes) for i, sizes in enumerate(anchors.base_sizes))


def one_of(message, oneof, choices, *more):
    """The chosen alternative, translated. Raises where none is chosen or it is not supported."""
    kind = message.WhichOneof(oneof)
    if kind is None:
        raise ConfigError(f"{message.DESCRIPTOR.name} is empty; choose one of: {', '.join(choices)}.")
    if kind not in choices:
        raise UnsupportedError(f"{kind} is not supported here; supported: {', '.join(choices)}. See docs/support.md.")
    return choices[kind](getattr(message, kind), *more)


def name_of(message, field) -> str:
    """The name of an enum field's value."""
    return message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(message, field)].name


ANCHORS = {
    "ssd_anchor_generator": ssd_anchors,
    "multiscale_anchor_generator": multiscale_anchors,
    "grid_anchor_generator": grid_anchors,
    "flexible_grid_anchor_generator": flexible_grid_anchors,
}
BOX_CODERS = {
    "faster_rcnn_box_coder": lambda m: config.BoxCoder(scales=(m.y_scale, m.x_scale, m.height_scale, m.width_scale)),
    "keypoint_box_coder": lambda m: config.BoxCoder(
        kind="keypoint",
        scales=(m.y_scale, m.x_scale, m.height_scale, m.width_scale),
        num_keypoints=m.num_keypoints,
    ),
    "mean_stddev_box_coder": lambda m: config.BoxCoder(kind="mean_stddev", stddev=m.stddev),
    "square_box_coder": lambda m: config.BoxCoder(kind="square", scales=(m.y_scale, m.x_scale, m.length_scale)),
}
PREDICTORS = {
    "convolutional_box_predictor": convolutional_predictor,
    "weight_shared_convolutional_box_predictor": weight_shared_predictor,
}
RESIZERS = {
    "fixed_shape_resizer": lambda m: config.FixedShape(height=m.height, width=m.width, **resizer_options(m)),
    "keep_aspect_ratio_resizer": keep_aspect_ratio,
    "conditional_shape_resizer": conditional_shape,
    "pad_to_multiple_resizer": lambda m: config.PadToMultiple(multiple=m.multiple, grayscale=m.convert_to_grayscale),
    "identity_resizer": lambda m: config.Identity(),
}
