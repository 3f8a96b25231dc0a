"""The cut language: read (`grammar`), evaluated (`values`), compared without data (`overlap`)."""
