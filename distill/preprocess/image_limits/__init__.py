"""Looks at an image file before it is decoded: what its headers hide from Pillow's own limits."""
