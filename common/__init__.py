"""What every script shares and a learner already knows: data, pictures, files, flags."""
