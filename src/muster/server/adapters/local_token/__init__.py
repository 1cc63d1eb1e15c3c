"""Identity from a token file, for one person's machine."""
