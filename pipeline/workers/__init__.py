"""One clip on several processes or machines: partition, segment jobs, and the merge of their results."""
