"""Networks handed to other engines: `to_onnx`, `to_jax`, and weights in other frameworks' layouts."""
