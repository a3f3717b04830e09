"""One page about one host: how it is, where it looks, what runs, and what to type next."""
