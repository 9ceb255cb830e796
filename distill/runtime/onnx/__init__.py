"""ONNX files read, guarded and profiled without the onnx package."""
