"""The service's certificate, which stands in files: read again when they change."""
