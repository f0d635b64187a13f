"""ImageNet as it is handed out: validation images in one folder, with their labels in a list.
Torch-free."""
