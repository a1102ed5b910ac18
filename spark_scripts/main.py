"""The entry point that EMR Serverless runs; the job is in the package that `--py-files` sends."""

import sys

try:
    from spark_scripts.job import main
except ModuleNotFoundError as error:
    sys.exit(
        f"ModuleNotFoundError: {error}, in Python {sys.version.split()[0]} at {sys.executable}: give the job an"
        " interpreter that has it, by --archives in SparkSubmitParameters"
    )

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
