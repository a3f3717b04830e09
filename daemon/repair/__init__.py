"""Claims that point at the wrong log: matched with the right one or with none, put right by plan, and taken back."""
