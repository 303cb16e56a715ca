"""What a batch is made of: clips, their own options from job files, the style and the output of each."""
