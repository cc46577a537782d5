"""Reading answers: `state` is what is shown, `html` how it looks, `widgets` the controls of it in a notebook."""
