"""Identity from the tokens of OpenID Connect providers."""
