# The operator. Nothing here depends on the architecture: `make image PLATFORMS=linux/amd64,linux/arm64`.
#
# BASE is what the operator runs on: any image with python3 (3.11 or later) and the usual certificates. BUILDER is where
# it is installed: a BASE of the same Python, with venv and a package index within reach. docs/air-gapped.md makes both
# without an image registry.
# checkov:skip=CKV_DOCKER_2:the cluster probes it, see the chart
# checkov:skip=CKV_DOCKER_7:BASE names a version, and its digest if you like; the checker does not follow arguments
ARG BASE=python:3.13-slim
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# pip stays in a place of its own, so that it is not in the result.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/muster
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY operator operator
RUN /opt/pip/bin/pip --python /opt/muster/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --constraint constraints.txt .
# Compiled here, since the file system is read-only at run time; by hash, so that equal sources make an equal image. Not
# the asynchronous half of the Kubernetes client: 35 MB that nobody imports.
RUN python3 -m compileall -q -j 0 -x kubernetes/aio --invalidation-mode unchecked-hash /opt/muster/lib
COPY image/sbom.py /tmp/
RUN mkdir -p /opt/muster/share/sbom \
    && /opt/muster/bin/python /tmp/sbom.py muster > /opt/muster/share/sbom/muster.cdx.json

FROM ${BASE}
# A BASE made for developing has pip; an operator needs none.
RUN python3 -m pip uninstall --yes --quiet --root-user-action=ignore pip 2>/dev/null || true
COPY --from=build /opt/muster /opt/muster
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="muster" \
      org.opencontainers.image.description="A Kubernetes gang scheduler for GB300 NVL72 racks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/muster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/nonexistent
# By number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["muster"]
CMD ["run"]
