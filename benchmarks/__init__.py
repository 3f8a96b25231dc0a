"""Our speed against named peers; each ``bench_NAME.py`` holds one subject, ``results/NAME.json`` what was measured."""
