"""Records of ground truth: a supernet's scores of nets beside the nets alone. Without torch."""
