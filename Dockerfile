# The image of NATS Manager: one static program, run as nobody in particular. `cargo xtask image` makes the same
# without Docker.
# The version is that of rust-toolchain.toml, which is not copied: it would have rustup fetch what only developers need.
# The base image is pinned by tag, not by digest. This command prints the digest to pin, as IMAGE@sha256:DIGEST:
#   docker buildx imagetools inspect rust:1.95.0-slim-bookworm --format '{{.Manifest.Digest}}'
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
ARG REVISION=unknown
ENV NATS_MANAGER_REVISION=$REVISION RUSTFLAGS="-C target-feature=+crt-static"
# Naming the target keeps the flag from build scripts and macros, which have to be dynamic.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && cargo build --locked --release --bin nats-manager --target "$target" \
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
