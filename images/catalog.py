"""Prints the packages of an environment, separated by commas: catalog.py CATALOG NAME"""

import sys
import tomllib

path, name = sys.argv[1:]
with open(path, "rb") as file:
    environments = {entry["name"]: entry for entry in tomllib.load(file)["environment"]}
if name not in environments:
    sys.exit(f"no environment {name} in the catalog; there are: {', '.join(environments)}")
print(",".join(environments[name]["packages"]))
