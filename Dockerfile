# The project with exactly the packages of requirements.lock. Build: docker build -t wildaffect .
# Run: docker run --rm -v /path/to/data:/data wildaffect snakemake --cores 4 --directory /data --configfile /data/mine.yaml
FROM python:3.11-slim
COPY . /opt/wildaffect
WORKDIR /opt/wildaffect
RUN pip install --no-cache-dir --no-deps --requirement requirements.lock \
 && pip install --no-cache-dir --no-deps --no-build-isolation --editable .
ENTRYPOINT []
CMD ["wildaffect", "doctor"]
