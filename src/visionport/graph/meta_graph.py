"""TF1's `.meta`: the inference graph with variables and a saver, for `tf.compat.v1.train.import_meta_graph`.

Not a format to ask for: it stands beside a TF1 export's checkpoint, as the reference writes it.
"""

from pathlib import Path

from visionport.graph import edit
from visionport.graph.function import node_names


def write(model, signature, prefix: Path) -> Path:
    """Writes PREFIX.meta. Its variables are in the collections, so that importing it finds and restores them."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    function = signature.function
    graph_def = convert_to_constants._run_inline_graph_optimization(
        function, lower_control_flow=True, aggressive_inlining=False
    )
    del graph_def.library.function[:]
    captured = {id(handle): inner.op.name for handle, inner in function.graph.captures}
    sources = [t.op.name for t in function.inputs if t.op.name not in captured.values()]
    edit.prune(graph_def, [*sources, *(t.op.name for t in function.outputs)])
    inputs = {signature.input_name: signature.name} | {name: name for name in signature.more}
    names = node_names(function, sources, inputs)
    edit.rename(graph_def, names)
    with tf.Graph().as_default():
        handles = {}
        for name, variable in model.params.variables.items():
            made = tf.compat.v1.get_variable(
                name,
                variable.shape,
                variable.dtype,
                tf.compat.v1.zeros_initializer(),
                trainable=variable.trainable,
                use_resource=True,
            )
            handles[f"{captured[id(variable.handle)]}:0"] = made.handle
        tf.compat.v1.import_graph_def(graph_def, input_map=handles, name="")
        saver = tf.compat.v1.train.Saver(save_relative_paths=True) if handles else None  # none where all is frozen
        target = prefix.parent / f"{prefix.name}.meta"
        tf.compat.v1.train.export_meta_graph(str(target), saver_def=saver and saver.as_saver_def(), clear_devices=True)
    return target
