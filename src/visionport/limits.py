"""How much a file may unfold to: what is read of files is bounded here, each bound with its reason.

They keep a small hostile file from taking all memory or minutes; files that people really have lie far below.
"""

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

# Pictures. 179 million pixels is where Pillow refuses too: the largest cameras have 150 million.
PICTURE_PIXELS = 178_956_970
PICTURE_SIDE = 1 << 16  # of what pictures are resized to, in pixels; a JPEG ends there
JPEG_PIXELS = 2_500_000_000  # with each of its scans, of which a progressive JPEG has about ten, up to thousands
PICTURE_BYTES = 2 * GIBIBYTE  # as many pixels with four channels of 16 bits are 1.4 GB
FRAME_PIXELS = 1 << 25  # of an animation, whose decoders keep several pictures: 8K video has as many
CLIP_PIXELS = 100_000_000  # of all frames together: 325 of 640x480; a network takes some dozens

# TFLite files. A network of 5,000 operations has about 40,000 tables; one that is shared counts as often as it is read.
TFLITE_TABLES = 300_000
TFLITE_NUMBERS = 4_000_000  # in vectors of shapes, scales and indices, weights not among them: 4,096 channels each
TFLITE_TEXT = 16 * MEBIBYTE  # bytes of all names together
TFLITE_RANK = 16  # of tensors; kernels know up to 8
TFLITE_TENSOR = 4 * GIBIBYTE  # bytes of a tensor that a network makes: 16 times the largest of Mask R-CNN at 1365x1365
FLEXBUFFER_BYTES = 64 << 10  # of a custom op's options that are read; those of the detection op have 300
FLEXBUFFER_VALUES, FLEXBUFFER_DEPTH = 10_000, 16  # parts may be shared, so that few bytes unfold to many values
PACKED_FILES = 1_000  # behind a TFLite file; there is one label list, or one a language
PACKED_TEXT = 16 * MEBIBYTE  # of one label list, unpacked: 22,000 classes of ImageNet have 0.5 MB

# ONNX files. Protobuf ends at 2 GiB; networks have some thousand operations.
ONNX_BYTES = 2 * GIBIBYTE
ONNX_NODES = 200_000  # those of branches too

# OpenVINO's model.xml. One of 5,000 layers has 5 MB and 100,000 elements.
IR_TEXT = 256 * MEBIBYTE  # bytes
IR_ELEMENTS, IR_DEPTH = 10_000_000, 200  # bodies of loops and branches lie in one another

# TensorFlow.js models.
TFJS_NODES = 200_000
TFJS_SHARDS = 10_000  # of 4 MB each
TFJS_RANK = 16  # of weights; TensorFlow.js knows up to 6
TFJS_BYTES = 2 * GIBIBYTE  # of weights
TFJS_HEAP = 4 * GIBIBYTE  # of JavaScript's own memory, in the process that runs a model
TFJS_MEMORY = 12 * GIBIBYTE  # of that process: WebAssembly has 4 GiB, weights and copies of them stand beside
TFJS_SECONDS = 120  # of the CPU for a call of a small one, and a second for each MEBIBYTE of its weights more

# A TFLite, ONNX or OpenVINO file of unknown origin is tried in a process of its own.
TRIAL_MEMORY = 8 * GIBIBYTE  # address space besides the file's own bytes
EXPENDABLE = "VISIONPORT_EXPENDABLE"  # set in the environment of a process that is there for one artifact alone
TRIAL_SECONDS = 8  # of the CPU for a small file, and a second for each MEBIBYTE of it more

# TFRecords. Four times the largest picture of a camera, as a PNG.
RECORD_BYTES = GIBIBYTE
RECORD_VALUES = 100_000  # of one feature, as labels of boxes; COCO has at most 93, aerial pictures some thousands

# Arrays of .npy and .npz, unpacked.
ARRAY_BYTES = 4 * GIBIBYTE

# Checkpoints. The largest models have some thousand tensors, with the slots of their optimizer.
CHECKPOINT_TENSORS = 100_000  # and parts of tensors; also blocks of a file
CHECKPOINT_INDEX = 64 * MEBIBYTE  # bytes of an index, of which 2,000 tensors take 0.2 MB
CHECKPOINT_ENTRY = MEBIBYTE  # bytes of what is said of one tensor: hundreds, unless it is in thousands of parts
CHECKPOINT_META = 8 * MEBIBYTE  # bytes of what a file of the V1 format says of all its tensors
CHECKPOINT_SHARDS = 100_000  # their names have five digits
CHECKPOINT_RANK = 32  # of tensors; NumPy 1 has no more
CHECKPOINT_TENSOR = 1 << 60  # bytes of a tensor, dimensions of zero counted as one; the files of data decide before
CHECKPOINT_STRINGS, CHECKPOINT_TEXT = MEBIBYTE, 32 * MEBIBYTE  # of a tensor of strings: how many, and their bytes
OBJECT_GRAPH = 8 * MEBIBYTE  # bytes; the largest models' have half a megabyte
OBJECT_GRAPH_NODES = 200_000
OBJECT_GRAPH_PATHS = 64 * MEBIBYTE  # characters of the shortest paths to all of its nodes
CONSTANT_REPEATED = 1 << 28  # values of a graph's constant that is stored as one
