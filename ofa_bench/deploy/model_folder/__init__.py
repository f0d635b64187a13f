"""The folder that an export leaves: what it holds, and how it is read back."""
