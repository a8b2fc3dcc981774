"""A model server that speaks TensorFlow Serving's own API, REST and gRPC, for every kind of artifact.

Read server.py first. A request comes in by rest.py or rpc.py, is bounded by limits.py, becomes arrays in
json_tensors.py or messages.py, and is answered by inference.py, which asks a version that repository.py keeps loaded,
together with others of its shape where batching.py may. What an answer's status is, statuses.py says.

Packages of the extra `serve` are imported inside functions: `visionport --help` and all else work without them.
"""
