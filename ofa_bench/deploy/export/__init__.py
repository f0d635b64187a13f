"""Export of a subnet: extraction, file formats, and the proof that a file is what was measured."""
