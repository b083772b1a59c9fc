"""The service: it talks. Bytes and messages in, events out; what it hears comes from `engine`."""
