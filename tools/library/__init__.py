"""What the programs in tools/ and workshop/ share."""
