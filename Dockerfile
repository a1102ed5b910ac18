# Dagster's webserver, daemon, code location and runs: one image, told apart by its command. See docs/production.md.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home dagster

WORKDIR /opt/ingestion
COPY Makefile pyproject.toml requirements.lock ./
RUN make production

COPY workspace.yaml ./
COPY ingest_assets ingest_assets
COPY spark_scripts spark_scripts
COPY aws_setup aws_setup
COPY docs/production/dagster.yaml /opt/dagster/dagster.yaml
RUN chown dagster /opt/dagster

ENV DAGSTER_HOME=/opt/dagster \
    PATH=/opt/ingestion/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER dagster
EXPOSE 3000
CMD ["dagster-webserver", "--host", "0.0.0.0", "--port", "3000", "--workspace", "workspace.yaml"]
