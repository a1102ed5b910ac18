"""The approach that the project started from, as its document describes it: the yardstick of `make bench`.

One JDBC connection, Spark's defaults, year and month from the date column, the list as one field, every month
overwritten at once. Arguments: secret, table, date column, target.
"""

import json
import sys

import boto3
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)


def main(secret: str, table: str, date_column: str, target: str) -> None:
    """Read the table and write it."""
    fields = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    spark = SparkSession.builder.appName("seed").getOrCreate()
    frame = spark.read.jdbc(
        f"jdbc:postgresql://{fields['POSTGRES_HOST']}:{fields['POSTGRES_PORT']}/{fields['POSTGRES_DB']}",
        table,
        properties={
            "user": fields["POSTGRES_USER"],
            "password": fields["POSTGRES_PASSWORD"],
            "driver": "org.postgresql.Driver",
        },
    )
    frame = (
        frame.withColumn("year", F.year(date_column))
        .withColumn("month", F.month(date_column))
        .withColumn("questions_list", F.concat_ws(",", "questions_list"))
    )
    frame.write.mode("overwrite").partitionBy("year", "month").option("header", "true").csv(target)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
