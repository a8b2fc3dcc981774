"""The TensorFlow.js format: options, runner, what a browser gets beside the model, and what writes and opens it."""
