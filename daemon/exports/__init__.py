"""What others take away of the numbers: copies as CSV, JSON and Parquet, and the shapes of a peer."""
