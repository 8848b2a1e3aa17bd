#!/usr/bin/env python3
"""The standard cache as Python's own tools see it.

    PYTHON test/golden/hub_cache.py download NAME      downloads what magrpo would, by huggingface_hub
    PYTHON test/golden/hub_cache.py find NAME          opens it from the cache, without a question to the hub

Both print {"folder": .., "files": [..]}; `find` also {"parameters": N}. The environment says where hub and cache are.
"""

import json
import os
import sys

import huggingface_hub


def main(what, name):
    offline = what == 'find'
    patterns = None if offline else ['*.json', '*.safetensors']
    folder = huggingface_hub.snapshot_download(name, local_files_only=offline, allow_patterns=patterns)
    report = {'folder': folder, 'files': sorted(os.listdir(folder))}
    if offline:
        import transformers
        model = transformers.AutoModelForCausalLM.from_pretrained(name, local_files_only=True)
        report['parameters'] = model.num_parameters()
        cached = huggingface_hub.scan_cache_dir()
        report['warnings'] = [str(warning) for warning in cached.warnings]
        report['revisions'] = [[sorted(r.refs) for r in repo.revisions] for repo in cached.repos if repo.repo_id == name]
    print(json.dumps(report))


if __name__ == '__main__':
    main(*sys.argv[1:])
