"""What every HTML door uses: responder, fragments, forms, headers, sign-in wrapper, error pages."""
