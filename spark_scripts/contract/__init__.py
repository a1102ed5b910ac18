"""What Dagster, the commands and the Spark job agree on: months, layout, manifest, tables, request.

Pure Python 3.9: no pyspark, no boto3, no Dagster. Every other package may import it; it imports none of them.
"""
