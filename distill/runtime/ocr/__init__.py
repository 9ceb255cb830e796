"""OCR: reads the text on images, for posts that come without one."""
