"""A client of any TensorFlow Serving server: pictures in, answers out, over REST or gRPC."""
