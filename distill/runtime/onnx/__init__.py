"""ONNX files: read and guarded without the onnx package, run and profiled with onnxruntime."""
