# Spiccato in a container: non-root, kernels compiled at build, a health check.
#   docker build -t spiccato .
#   docker run --rm -p 127.0.0.1:8000:8000 -e SPICCATO_TOKEN="$(docker run --rm spiccato spiccato token)" spiccato
# A container's service listens beyond the container, so it needs a token: choose your own, 16 characters or more.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY spiccato spiccato
COPY engine engine
COPY server server
COPY client client
COPY models models
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.11-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libportaudio2 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 spiccato
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels
USER spiccato
WORKDIR /home/spiccato
# Generic machine code: the image may run on another CPU than the one that built it.
ENV NUMBA_CACHE_DIR=/home/spiccato/kernels NUMBA_CPU_NAME=generic PYTHONUNBUFFERED=1
RUN spiccato warm && mkdir -p .local/state/spiccato
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["spiccato", "serve", "--host", "0.0.0.0"]
