"""TensorFlow.js graph models: a GraphDef becomes one, and what a file of anybody's holds. No model is known here."""
