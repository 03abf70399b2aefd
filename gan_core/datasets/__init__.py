"""Image sources: whatever the pictures come from, one uint8 array of them with labels and facts."""
