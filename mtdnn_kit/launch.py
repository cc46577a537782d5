"""`mtdnn train` by the name that launchers are given: accelerate launch --num_processes 2 -m mtdnn_kit.launch FILE --set KEY=VALUE."""

import sys

from mtdnn_kit.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
