"""One shared encoder with transformers' heads (`multitask`), its files, the device, and the scoring of models (`evaluation`)."""
