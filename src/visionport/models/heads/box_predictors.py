"""From feature maps to box encodings and class logits: heads of their own a map, or shared by all.

Reference: predictors/convolutional_keras_box_predictor.py, predictors/heads/*.
"""

import tensorflow as tf

from visionport.config import ConvolutionalPredictor, Hyperparams, WeightSharedPredictor
from visionport.ops import boxes as box_ops
from visionport.ops import nn

BOX, CLASS = "BoxEncodingPredictor", "ClassPredictor"


def convolutional(s, maps, p: ConvolutionalPredictor, anchors_per_location, class_slots):
    """Heads of their own for each map (Liu et al. 2016); scopes BoxPredictor_N.

    Returns float32 [b, n, code] box encodings and [b, n, slots] class logits, in the order of the maps.
    """
    codes, logits = [], []
    for i, (x, count) in enumerate(zip(maps, anchors_per_location, strict=True)):
        head = s / (f"BoxPredictor_{i}" if len(maps) > 1 else "BoxPredictor")
        for k in range(shared_layers(p, x.shape[-1])):
            x = nn.layer(head / f"Conv2d_{k}_1x1_{layer_depth(p, x.shape[-1])}", x, p.hyperparams, kernel=1)
        codes.append(_flat(_head(head / BOX, x, p, count * p.box_code_size), p.box_code_size))
        logits.append(_flat(_head(head / CLASS, x, p, count * class_slots), class_slots))
    codes, logits = tf.concat(codes, 1), tf.concat(logits, 1)
    return _clip(codes, p), tf.sigmoid(logits) if p.apply_sigmoid_to_scores else logits


def weight_shared(s, maps, p: WeightSharedPredictor, anchors_per_location, class_slots):
    """The same heads and towers for every map, batch norms apart (Lin et al. 2017, RetinaNet)."""
    name = "WeightSharedConvolutionalBoxPredictor"
    levels = [s / (f"{name}_{i}" if i else name) for i in range(len(maps))]  # scopes of operations
    s = s / name
    box_tower, class_tower = towers(p)
    (count,) = set(anchors_per_location)
    maps = _same_depth(s, maps, p)
    codes, logits = [], []
    for i, x in enumerate(maps):
        box = _tower(s / box_tower, x, p, i, levels[i] / box_tower)
        cls = box if p.share_tower else _tower(s / class_tower, x, p, i, levels[i] / class_tower)
        code = _shared_head(s / "BoxPredictor", box, p, count * p.box_code_size, levels[i] / "BoxPredictor")
        codes.append(_flat(code, p.box_code_size))
        logit = _shared_head(s / CLASS, cls, p, count * class_slots, levels[i] / CLASS)
        logits.append(_flat(logit, class_slots))
    logits = box_ops.SCORE_CONVERTERS[p.score_converter](tf.concat(logits, 1))
    return _clip(tf.concat(codes, 1), p), logits


def _head(s, x, p, out):
    kernel = p.kernel_size
    if p.use_depthwise:
        deep = s.params.scope(f"{s.prefix}_depthwise")
        x, kernel = nn.layer(deep, x, p.hyperparams, nn.depthwise, kernel=kernel), 1
    return nn.layer(s, x, nn.BIASED, kernel=kernel, out=out)


def _shared_head(s, x, p, out, ranges):
    by = nn.separable if p.use_depthwise else nn.conv
    return nn.layer(s, x, nn.BIASED, by, ranges=ranges, shared=s, kernel=p.kernel_size, out=out)


def _tower(s, x, p, index, ranges):
    by = nn.separable if p.use_depthwise else nn.conv
    apart = not p.use_depthwise  # separable weights are few
    how = {"use_bias": tower_bias(p.hyperparams), "apart": apart, "kernel": p.kernel_size}
    for k in range(p.num_layers):
        name = f"conv2d_{k}"
        norm = s / name / "BatchNorm" / f"feature_{index}"
        x = nn.layer(s / name, x, p.hyperparams, by, norm=norm, ranges=ranges / name, shared=s / name, **how)
    return x


def _same_depth(s, maps, p):
    """Maps of other depths than most are projected first."""
    depths = [x.shape[-1] for x in maps]
    if len(set(depths)) == 1:
        return maps
    target, out = max(set(depths), key=depths.count), []
    for i, x in enumerate(maps):
        linear = Hyperparams(activation="none", batch_norm=p.hyperparams.batch_norm)
        layer = s / "ProjectionLayer" / f"conv2d_{i}"
        out.append(nn.layer(layer, x, linear, use_bias=tower_bias(p.hyperparams), kernel=1, out=target))
    return out


def _flat(x, width):
    return tf.reshape(
        x, (tf.shape(x)[0], -1 if None in x.shape[1:] else x.shape[1] * x.shape[2] * x.shape[3] // width, width)
    )


def _clip(codes, p):
    return tf.clip_by_value(codes, *p.clip_range) if p.clip_range else codes


def towers(p: WeightSharedPredictor):
    return ("PredictionTower",) * 2 if p.share_tower else ("BoxPredictionTower", "ClassPredictionTower")


def tower_bias(hyper: Hyperparams) -> bool:
    # Unlike elsewhere, the batch norm's `center` does not matter here.
    return hyper.force_use_bias or not hyper.batch_norm


def layer_depth(p, width):
    return max(min(width, p.max_depth), p.min_depth)


def shared_layers(p, width):
    return p.num_layers if width is not None and layer_depth(p, width) > 0 else 0


def convolutional_names(p: ConvolutionalPredictor, count: int, path="model/_box_predictor") -> dict[str, str]:
    """Canonical scope -> object path of a Keras ConvolutionalBoxPredictor with `count` maps."""
    out = {}
    heads = {
        BOX: ("box_encodings", "_box_encoder_layers", 0),
        CLASS: ("class_predictions_with_background", "_class_predictor_layers", int(p.use_dropout)),
    }
    for i in range(count):
        scope = f"BoxPredictor_{i}" if count > 1 else "BoxPredictor"
        for k in range(p.num_layers):
            # The layer's name holds its depth, which is the weights' affair: any depth leads here.
            out[f"{scope}/Conv2d_{k}_1x1_*"] = f"{path}/_shared_nets/{i}/{3 * k}"
            out[f"{scope}/Conv2d_{k}_1x1_*/BatchNorm"] = f"{path}/_shared_nets/{i}/{3 * k + 1}"
        for head, (group, layers, first) in heads.items():
            at = f"{path}/_prediction_heads/{group}/{i}/{layers}"
            if p.use_depthwise:
                out[f"{scope}/{head}_depthwise"] = f"{at}/{first}"
                out[f"{scope}/{head}_depthwise/BatchNorm"] = f"{at}/{first + 1}"
                first += 3
            out[f"{scope}/{head}"] = f"{at}/{first}"
    return out


def weight_shared_names(p: WeightSharedPredictor, count: int, path="model/_box_predictor") -> dict[str, str]:
    """Canonical scope -> object path of a Keras WeightSharedConvolutionalBoxPredictor with `count` maps."""
    s = "WeightSharedConvolutionalBoxPredictor"
    out = {
        f"{s}/BoxPredictor": f"{path}/_box_prediction_head/_box_encoder_layers/0",
        f"{s}/{CLASS}": f"{path}/_prediction_heads/class_predictions_with_background/_class_predictor_layers/"
        f"{int(p.use_dropout)}",
    }
    step = 3 if p.hyperparams.batch_norm else 2  # convolution, batch norm, activation
    groups = ("box_encodings", "class_predictions_with_background")
    for tower, group in zip(towers(p), groups, strict=True):
        if p.share_tower and group != groups[0]:
            continue
        for k in range(p.num_layers):
            out[f"{s}/{tower}/conv2d_{k}"] = f"{path}/_head_scope_conv_layers/{tower}/{k}"
            for i in range(count):
                norm = f"{path}/_base_tower_layers_for_heads/{group}/{i}/{step * k + 1}"
                out[f"{s}/{tower}/conv2d_{k}/BatchNorm/feature_{i}"] = norm
    for i in range(count):
        out[f"{s}/ProjectionLayer/conv2d_{i}"] = f"{path}/_additional_projection_layers/{i}/0"
        out[f"{s}/ProjectionLayer/conv2d_{i}/BatchNorm"] = f"{path}/_additional_projection_layers/{i}/1"
    return out


PREDICTORS = {
    ConvolutionalPredictor: (convolutional, convolutional_names),
    WeightSharedPredictor: (weight_shared, weight_shared_names),
}
