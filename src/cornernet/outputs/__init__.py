"""What is written about every image, in the forms that other programs read."""
