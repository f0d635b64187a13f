"""What only a CUDA device does: recorded graphs and quicker kernels."""
