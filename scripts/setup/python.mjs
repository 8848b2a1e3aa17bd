/** Finds out about the `python3` on PATH: its version, whether it has pip, and its own PyTorch. */
import { capture, which } from './common.mjs'

// find_spec looks torch up without importing it, which would take seconds.
const probe = `
import importlib.util, json, os, sys
def folder(name):
    spec = importlib.util.find_spec(name)
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "pip": folder("pip") is not None, "torch": folder("torch")}))
`

/**
 * @returns {{ path: string, version: string, pip: boolean, torch: string | null } | null} `torch` is its package folder;
 * null if there is no working python3
 */
export function probePython(env = process.env) {
  const python = which('python3', env)
  if (python === null) return null
  const { ok, stdout } = capture(python, ['-c', probe], { env })
  if (!ok) return null
  try {
    return { path: python, ...JSON.parse(lastLine(stdout)) }
  } catch {
    return null
  }
}

const lastLine = (text) => text.trimEnd().split('\n').pop() ?? ''
