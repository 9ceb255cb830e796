"""Other toolkits on the same model: PyTorch, OpenVINO, NNCF and optimum."""
