"""Tables that go beyond the sources."""
