import sys
sys.stderr.write("loading\n")
import no_such_module_here
