"""One shared encoder with transformers' own heads (`multitask`), its files, the device, and what a model scores (`evaluation`)."""
