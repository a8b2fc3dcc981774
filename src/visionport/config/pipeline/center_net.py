"""CenterNet's part of a `pipeline.config`, and the keypoints' label map that it names."""

import itertools
import os.path
from pathlib import Path, PureWindowsPath

from google.protobuf import text_format

from visionport import config
from visionport.config import center_net as center
from visionport.config.pipeline import common
from visionport.config.pipeline.text import UNSET, lies_near, merge_text, message_class, read_text
from visionport.errors import ConfigError, InputError, UnsupportedError, nearest

# The class and the keypoints of COCO, as every published config means them.
DEEPMAC = "model.center_net.deepmac_mask_estimation"
COCO_PERSON = "/m/01g317"
COCO_SIDES = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_KEYPOINTS = ("nose", *(f"{side}_{part}" for part in COCO_SIDES for side in ("left", "right")))


def center_net(m, *, folder: Path, keypoint_label_map=None) -> center.CenterNet:
    """folder: of the config. keypoint_label_map: the file to take in place of the one that the config names."""
    if m.num_classes < 1:
        raise ConfigError("model.center_net.num_classes must be at least 1.")
    if m.HasField("deepmac_mask_estimation"):
        m = detections_alone(m)
    if m.output_prediction_dict and m.HasField("post_processing"):
        raise ConfigError("center_net: the reference cannot build output_prediction_dict with post_processing.")
    if not m.HasField("object_detection_task") and not m.keypoint_estimation_task:
        raise ConfigError("model.center_net has neither object_detection_task nor keypoint_estimation_task.")
    if m.HasField("densepose_estimation_task") and not m.HasField("mask_estimation_task"):
        raise ConfigError("model.center_net.densepose_estimation_task needs mask_estimation_task.")
    explicit = Path(keypoint_label_map) if keypoint_label_map else None
    classes = keypoint_classes(m, folder, explicit) if m.keypoint_estimation_task else {}
    resizer = common.one_of(m.image_resizer, "image_resizer_oneof", common.RESIZERS)
    if resizer.grayscale:
        raise UnsupportedError("convert_to_grayscale: no CenterNet of the reference can be built with it.")
    return center.CenterNet(
        num_classes=m.num_classes,
        extractor=m.feature_extractor.type,
        upsampling=m.feature_extractor.upsampling_interpolation or "nearest",
        normalization=normalization(m.feature_extractor),
        resizer=resizer,
        use_depthwise=m.use_depthwise,
        center=object_center(m.object_center_params),
        detection=object_detection(m.object_detection_task) if m.HasField("object_detection_task") else None,
        keypoints=keypoint_tasks(m, classes),
        masks=masks(m.mask_estimation_task) if m.HasField("mask_estimation_task") else None,
        densepose=densepose(m.densepose_estimation_task) if m.HasField("densepose_estimation_task") else None,
        deepmac=deepmac(m.deepmac_mask_estimation) if m.HasField("deepmac_mask_estimation") else None,
        embedding_size=m.track_estimation_task.reid_embed_size if m.HasField("track_estimation_task") else None,
        temporal_offset=m.HasField("temporal_offset_task"),
        nms=non_max_suppression(m.post_processing) if m.HasField("post_processing") else None,
        outputs_maps=m.output_prediction_dict,
        keypoint_label_map=label_map_text(classes),
    )


def normalization(m) -> config.Normalization:
    means, stds = tuple(m.channel_means) or (0.0,) * 3, tuple(m.channel_stds) or (1.0,) * 3
    if len(means) != 3 or len(stds) != 3 or 0 in stds:
        raise ConfigError("feature_extractor: channel_means and channel_stds need three values, and no deviation of 0.")
    return config.Normalization(mean=means, std=stds, bgr=m.bgr_ordering, pads_first=True)


def head(m, field: str) -> center.Head:
    """The head of a task's `field`, PredictionHeadParams."""
    if not m.HasField(field):
        return center.Head()
    params = getattr(m, field)
    if len(params.kernel_sizes) != len(params.num_filters):
        raise ConfigError(f"{m.DESCRIPTOR.name}.{field}: as many kernel_sizes as num_filters are needed.")
    return center.Head(kernel_sizes=tuple(params.kernel_sizes))


def object_center(m) -> center.ObjectCenter:
    if m.max_box_predictions < 1:
        raise ConfigError("object_center_params.max_box_predictions must be at least 1.")
    return center.ObjectCenter(
        head=head(m, "center_head_params"),
        max_detections=m.max_box_predictions,
        peak_kernel=m.peak_max_pool_kernel_size,
    )


def object_detection(m) -> center.ObjectDetection:
    return center.ObjectDetection(scale_head=head(m, "scale_head_params"), offset_head=head(m, "offset_head_params"))


def masks(m) -> center.Masks:
    return center.Masks(
        head=head(m, "mask_head_params"), height=m.mask_height, width=m.mask_width, threshold=m.score_threshold
    )


def densepose(m) -> center.DensePose:
    return center.DensePose(class_id=m.class_id, num_parts=m.num_parts)


# What the reference's DeepMAC does not look at.
OTHER_TASKS = (
    "keypoint_estimation_task",
    "mask_estimation_task",
    "densepose_estimation_task",
    "track_estimation_task",
    "temporal_offset_task",
    "post_processing",
    "use_depthwise",
    "output_prediction_dict",
)


def detections_alone(m):
    """The message without tasks that DeepMAC ignores."""
    if not m.HasField("object_detection_task"):
        raise ConfigError("model.center_net.deepmac_mask_estimation needs object_detection_task, for the boxes.")
    alone = type(m)()
    alone.CopyFrom(m)
    for field in OTHER_TASKS:
        alone.ClearField(field)
    return alone


def deepmac(m) -> center.DeepMac:
    found = center.DeepMac(
        network=m.network_type,
        instance_channels=m.dim,
        pixel_channels=m.pixel_embedding_dim,
        uses_instance=m.use_instance_embedding,
        uses_coordinates=m.use_xy,
        mask_size=m.mask_size,
        channels=m.num_init_channels,
        full_resolution=m.predict_full_resolution_masks,
        crop_size=m.postprocess_crop_size,
    )
    if min(found.mask_size, found.crop_size, found.channels) < 1:
        raise ConfigError(f"{DEEPMAC}: mask_size, postprocess_crop_size and num_init_channels must be at least 1.")
    if found.parameter_free and found.uses_instance:
        raise ConfigError(f"{DEEPMAC}.network_type {found.network!r} needs use_instance_embedding: false.")
    if found.network == "embedding_projection" and (found.uses_coordinates or m.dim != m.pixel_embedding_dim):
        raise ConfigError(f"{DEEPMAC}: embedding_projection needs use_xy: false, and dim as pixel_embedding_dim.")
    if found.conditional_widths:
        given = (m.pixel_embedding_dim + 2 * m.use_xy, *found.conditional_widths)
        needed = sum((k + 1) * n for k, n in itertools.pairwise(given))
        if m.dim != needed:
            raise ConfigError(f"{DEEPMAC}: {found.network} needs dim: {needed}, a number for each weight and bias.")
    return found


def non_max_suppression(m) -> config.Nms:
    nms = common.post_processing(m).nms
    if nms.combined or nms.change_coordinate_frame:
        raise ConfigError(
            "center_net.post_processing: the reference cannot build use_combined_nms or change_coordinate_frame (on by "
            "default) here. Set change_coordinate_frame: false."
        )
    return nms


# Keypoints


def keypoint_tasks(m, classes) -> tuple[center.KeypointTask, ...]:
    single = m.num_classes == 1 and len(m.keypoint_estimation_task) == 1
    how = {"boxes": m.HasField("object_detection_task"), "single": single}
    tasks = tuple(keypoint_task(t, classes, **how) for t in m.keypoint_estimation_task)
    total = sum(len(t.indices) for t in tasks)
    indices = sorted(i for t in tasks for i in t.indices)
    if len({t.class_id for t in tasks}) < len(tasks):
        raise ConfigError("keypoint_estimation_task: two tasks are of one class.")
    if indices != list(range(total)) and not (single and len(set(indices)) == total):
        raise ConfigError(f"the keypoint label map's ids are not 0 to {total - 1}, each once: {indices}.")
    if not single and any(t.predict_depth for t in tasks):
        raise ConfigError("keypoint_estimation_task: predict_depth needs num_classes: 1 and one task.")
    return tasks


def keypoint_task(m, classes, *, boxes: bool, single: bool) -> center.KeypointTask:
    """boxes: the model predicts them. single: it is of one class, and this is its one task."""
    if m.keypoint_class_name not in classes:
        raise ConfigError(
            f"keypoint_class_name {m.keypoint_class_name!r} is not among the keypoint label map's classes with "
            f"keypoints{nearest(m.keypoint_class_name, list(classes))}: {', '.join(classes)}."
        )
    item = classes[m.keypoint_class_name]
    argmax = m.argmax_postprocessing and single  # elsewhere the reference does not look at it
    modes = center.ARGMAX_RANKING_MODES if argmax else center.RANKING_MODES
    mode = m.candidate_ranking_mode
    if mode not in modes:
        raise ConfigError(f"candidate_ranking_mode {mode!r} is unknown here. One of: {', '.join(modes)}.")
    if not boxes and mode not in ("min_distance", "score_distance_ratio"):
        raise ConfigError(f"candidate_ranking_mode {mode!r} needs object_detection_task, for the boxes.")
    if argmax and not m.per_keypoint_offset:
        raise ConfigError("argmax_postprocessing needs per_keypoint_offset.")
    return center.KeypointTask(
        name=m.task_name,
        class_id=item.id - 1,
        indices=tuple(k.id for k in item.keypoints),
        std_dev=tuple(m.std_dev_multiplier * m.keypoint_label_to_std.get(k.label, 1.0) for k in item.keypoints),
        heatmap_head=head(m, "heatmap_head_params"),
        offset_head=head(m, "offset_head_params"),
        regression_head=head(m, "regress_head_params"),
        per_keypoint_offset=m.per_keypoint_offset,
        predict_depth=m.predict_depth,
        per_keypoint_depth=m.per_keypoint_depth,
        num_candidates=m.num_candidates_per_keypoint,
        candidate_threshold=m.keypoint_candidate_score_threshold,
        peak_kernel=m.peak_max_pool_kernel_size,
        ranking_mode=mode,
        argmax=argmax,
        unmatched_score=m.unmatched_keypoint_score,
        box_scale=m.box_scale,
        search_scale=m.candidate_search_scale,
        score_distance_offset=m.score_distance_offset,
        score_distance_multiplier=m.score_distance_multiplier,
        gaussian_denom_ratio=m.gaussian_denom_ratio,
        clip_out_of_frame=m.clip_out_of_frame_keypoints,
        rescore=m.rescore_instances,
        rescoring_threshold=m.rescoring_threshold,
    )


def keypoint_classes(m, folder: Path, explicit: Path | None) -> dict:
    """{name: StringIntLabelMapItem} of the classes that have keypoints.

    From the file asked for, else the one that the config names, there or beside the config, else an export's own, else
    COCO's where the config means them.
    """
    named = m.keypoint_label_map_path.strip()
    candidates = [folder / named, folder / PureWindowsPath(named).name] if named else []
    candidates = [path for path in (*candidates, folder / center.KEYPOINT_LABEL_MAP) if lies_near(path, folder)]
    candidates = [explicit] if explicit else candidates
    label_map = message_class("StringIntLabelMap")()
    path = next((p for p in candidates if os.path.isfile(p)), explicit)
    if path:
        merge_text(read_text(path, "keypoint label map", InputError), label_map, str(path), error=InputError)
    elif all(t.keypoint_class_name == COCO_PERSON for t in m.keypoint_estimation_task) and (
        not named or named.startswith(UNSET) or "coco" in named.lower()
    ):
        item = label_map.item.add(name=COCO_PERSON, id=1, display_name="person")
        for i, label in enumerate(COCO_KEYPOINTS):
            item.keypoints.add(id=i, label=label)
    else:
        raise ConfigError(
            f"keypoint_label_map_path {named!r} is not there, below the config's folder or the working directory, and "
            f"neither is {folder / center.KEYPOINT_LABEL_MAP}. Copy the label map with the keypoints there, or name it "
            "with --keypoint-label-map."
        )
    found = {item.name: item for item in label_map.item if item.keypoints}
    if not found:
        raise ConfigError(f"{path}: this label map has no keypoints. Give the one that the model was trained with.")
    return found


def label_map_text(classes) -> str:
    label_map = message_class("StringIntLabelMap")()
    label_map.item.extend(classes.values())
    return text_format.MessageToString(label_map)
