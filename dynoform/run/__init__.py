"""One-off dynos: the runtime agent of a host makes their containers and connects their terminals."""
