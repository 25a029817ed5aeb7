"""What the library shares within itself; nothing here is for users to import."""
