"""What hostile files, hostile text and hostile networks may not do."""
