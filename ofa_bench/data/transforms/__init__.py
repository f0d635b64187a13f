"""Transforms and augmentation of images."""
