# The image of NATS Manager: one static program, run by an unprivileged user. `cargo xtask image` builds the same without
# Docker. For several architectures at once:
#   docker buildx build --platform linux/amd64,linux/arm64 .
# The compiler runs on the architecture of the builder, and compiles for that of the image.
# The version is that of rust-toolchain.toml, which is not copied: it would have rustup fetch what only developers need.
# The base image is pinned by tag, not by digest. This command prints the digest to pin, as IMAGE@sha256:DIGEST:
#   docker buildx imagetools inspect rust:1.95.0-slim-bookworm --format '{{.Manifest.Digest}}'
FROM --platform=$BUILDPLATFORM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# BuildKit sets this: amd64 or arm64.
ARG TARGETARCH
# Targets of rustc, and the package with the C compiler that AWS-LC needs and that links the program.
RUN case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu compiler=x86_64-linux-gnu package=gcc-x86-64-linux-gnu libc=amd64 ;; \
      arm64) target=aarch64-unknown-linux-gnu compiler=aarch64-linux-gnu package=gcc-aarch64-linux-gnu libc=arm64 ;; \
      *) echo "the architecture '$TARGETARCH' is not supported; build for amd64 or arm64, with BuildKit" >&2; exit 1 ;; \
    esac \
 && if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then \
      rustup target add "$target" \
      && apt-get update \
      && apt-get install --yes --no-install-recommends "$package" "libc6-dev-$libc-cross"; \
    fi \
 && echo "$target" > /target \
 && echo "$compiler-gcc" > /compiler
COPY . .
ARG REVISION=unknown
ENV NATS_MANAGER_REVISION=$REVISION RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
# Naming the target keeps the flags from build scripts and macros, which have to be dynamic.
RUN target="$(cat /target)" \
 && variable="CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER" \
 && env "$variable=$(cat /compiler)" cargo build --locked --release --bin nats-manager --target "$target" \
 && cp "target/$target/release/nats-manager" /nats-manager

FROM scratch
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title=nats-manager \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /nats-manager /nats-manager
USER 10001:10001
ENTRYPOINT ["/nats-manager"]
