# The image of all of bucketmount's processes: the first argument says which (controller, node, keeper, mount ...).
#   docker buildx build --platform linux/amd64,linux/arm64 -t bucketmount/bucketmount:VERSION .
# The build stage runs on the builder's own processor, for whatever platform: nothing is compiled to machine code.
ARG NODE_VERSION=26.10.0

FROM --platform=$BUILDPLATFORM node:${NODE_VERSION}-trixie-slim AS build
ARG TARGETARCH
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/image.ts app /app "$(echo "$TARGETARCH" | sed s/amd64/x64/)"

# Node.js and the one library of it that the base below lacks, for the target.
FROM node:${NODE_VERSION}-trixie-slim AS node
RUN mkdir -p /out/usr/local/bin /out/usr/lib && \
    cp /usr/local/bin/node /out/usr/local/bin/ && \
    cp -L /usr/lib/*-linux-gnu/libatomic.so.1 /out/usr/lib/

# glibc, libstdc++, certificate authorities and the user nonroot (65532); no shell, no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bucketmount" \
      org.opencontainers.image.description="S3 buckets as file systems: CSI driver and command" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=node /out /
COPY --from=build /app /app
ENV NODE_ENV=production
# The node plugin and the keeper mount, and the chart runs them as root; the rest needs no more than this.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node", "/app/dist/cli/main.js"]
CMD ["--help"]
