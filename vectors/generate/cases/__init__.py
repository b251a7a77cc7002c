"""What each vector file shows. Expectations are stated by hand here, and checked against what `format` computes."""
